# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource state show | reset``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .base_command import Command
from .flow_job import call_in_job
from .output import FLOW, OUTPUT, print_rows

MAX_STATE_WIDTH = 200
"""Characters of a state in a table; JSON has the whole state."""

_STREAMS = click.option("--stream", multiple=True, help="Only streams with this name or pattern; can be repeated.")


@click.group(help="Show or reset the stored states of a flow file's streams.")
def state() -> None:
    """The group of the commands about states."""


@state.command(cls=Command, help="Show the stored states.")
@FLOW
@_STREAMS
@OUTPUT
@click.pass_context
def show(ctx: click.Context, flow: Path, stream: tuple[str, ...], output: str) -> None:
    from ..runtime.states import show_states

    states = call_in_job(ctx.obj, flow, lambda environment: show_states(flow, environment, list(stream)))
    rows = [state.as_dict() for state in states]
    print_rows(rows if output == "json" else _shortened(rows), output, empty="No state is stored.")


@state.command(cls=Command, help="Reset the stored states, so that the next run reads from the beginning. Rows stay.")
@FLOW
@_STREAMS
@click.option("--yes", is_flag=True, help="Do not prompt.")
@OUTPUT
@click.pass_context
def reset(ctx: click.Context, flow: Path, stream: tuple[str, ...], yes: bool, output: str) -> None:
    from ..runtime.states import reset_states

    if not yes:
        streams = ", ".join(stream) if stream else "every stream"
        click.confirm(
            f"Reset the states of {streams} of {flow.name}? The next run reads from the beginning",
            abort=True,
            err=True,
        )
    states = call_in_job(ctx.obj, flow, lambda environment: reset_states(flow, environment, list(stream)))
    rows = [state.as_dict() for state in states]
    print_rows(rows if output == "json" else _shortened(rows), output, empty="No state is stored, so none was reset.")
    if rows and output != "json":
        click.echo("1 state was reset." if len(rows) == 1 else f"{len(rows)} states were reset.", err=True)


def _shortened(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows for people: without the identity and the run, and with the beginning of the state."""
    hidden = ("identity", "run")
    rows = [{name: value for name, value in state.items() if name not in hidden} for state in states]
    return [{**row, "state": _beginning(json.dumps(row["state"]))} for row in rows]


def _beginning(text: str) -> str:
    return text if len(text) <= MAX_STATE_WIDTH else f"{text[:MAX_STATE_WIDTH]}…"
