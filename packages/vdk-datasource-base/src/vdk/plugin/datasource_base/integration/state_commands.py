"""``vdk datasource state …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .command import Command
from .flow_job import in_job
from .output import FLOW, OUTPUT, print_rows

SHOWN = 200
"""Characters of a state in a table; JSON has it whole."""

_STREAMS = click.option("--stream", multiple=True, help="Only streams of this name or pattern; can be said again.")


@click.group(help="Show or reset how far the streams of a flow file have got.")
def state() -> None:
    """The group of commands about states."""


@state.command(cls=Command, help="Show the stored states.")
@FLOW
@_STREAMS
@OUTPUT
@click.pass_context
def show(ctx: click.Context, flow: Path, stream: tuple[str, ...], output: str) -> None:
    from ..runtime.states import show_states

    found = in_job(ctx.obj, flow, lambda job: show_states(flow, job, list(stream)))
    rows = [one.as_dict() for one in found]
    print_rows(rows if output == "json" else _shortened(rows), output, empty="No state is stored.")


@state.command(cls=Command, help="Forget the stored states, so that the next run reads from the beginning. Rows stay.")
@FLOW
@_STREAMS
@click.option("--yes", is_flag=True, help="Do not ask.")
@OUTPUT
@click.pass_context
def reset(ctx: click.Context, flow: Path, stream: tuple[str, ...], yes: bool, output: str) -> None:
    from ..runtime.states import reset_states

    if not yes:
        which = ", ".join(stream) if stream else "every stream"
        click.confirm(
            f"Forget the states of {which} of {flow.name}? The next run reads them from the beginning",
            abort=True,
            err=True,
        )
    forgotten = in_job(ctx.obj, flow, lambda job: reset_states(flow, job, list(stream)))
    rows = [one.as_dict() for one in forgotten]
    shown = rows if output == "json" else _shortened(rows)
    print_rows(shown, output, empty="No state is stored, so none was forgotten.")
    if rows and output != "json":
        click.echo("1 state was forgotten." if len(rows) == 1 else f"{len(rows)} states were forgotten.", err=True)


def _shortened(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For people: without the identity and the run, and with the beginning of the state."""
    left_out = ("identity", "run")
    rows = [{name: value for name, value in one.items() if name not in left_out} for one in states]
    return [{**row, "state": _beginning(json.dumps(row["state"]))} for row in rows]


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
