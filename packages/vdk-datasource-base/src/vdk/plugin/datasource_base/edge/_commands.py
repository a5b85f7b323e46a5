"""``vdk datasource …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.group(name="datasource", help="Get data from data sources into destinations.")
def datasource() -> None:
    """The group of commands; upstream's plugin has ``data-sources``."""


_OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


_FLOW = click.argument("flow", type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path))
_STREAMS = click.option("--stream", multiple=True, help="Only streams of this name or pattern; can be said again.")


@datasource.command(name="list", help="List the data sources and destinations that are installed.")
@_OUTPUT
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    from ._environment import registry_of

    registry = registry_of(ctx.obj.plugin_registry)
    rows = [
        {"kind": kind, "name": one.name, "class": one.location, "from": one.origin}
        for kind, entries in (("source", registry.sources()), ("destination", registry.destinations()))
        for one in entries
    ]
    _print(rows, output, empty="No data sources are installed.")


@datasource.command(help="Show the options of a data source: names, types, defaults and what they mean.")
@click.argument("name")
@_OUTPUT
@click.pass_context
def config(ctx: click.Context, name: str, output: str) -> None:
    from ..parts._describe import describe
    from ._environment import registry_of

    with _reported():
        found = registry_of(ctx.obj.plugin_registry).source(name)
    _print(describe(found.config_type), output, empty=f"Data source {name} has no options.")


@datasource.command(help="Run a flow file as a job of one step.")
@_FLOW
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    help="Write what happened, stream by stream, to this file as JSON.",
)
@click.pass_context
def run(ctx: click.Context, flow: Path, summary: Path | None) -> None:
    from ._environment import run_in_job
    from ._single import run_single

    run_single(ctx.obj, flow, lambda job_input: run_in_job(job_input, flow, summary=summary))


@datasource.group(help="Show or reset how far the streams of a flow file have got.")
def state() -> None:
    """The group of commands about states."""


@state.command(help="Show the stored states.")
@_FLOW
@_STREAMS
@_OUTPUT
@click.pass_context
def show(ctx: click.Context, flow: Path, stream: tuple[str, ...], output: str) -> None:
    from ..runtime._states import show_states
    from ._environment import environment_of
    from ._single import run_single

    found: list[dict[str, Any]] = []

    def work(job_input: Any) -> None:
        found.extend(one.as_dict() for one in show_states(flow, environment_of(job_input), list(stream)))

    run_single(ctx.obj, flow, work)
    _print(found if output == "json" else _shortened(found), output, empty="No state is stored.")


@state.command(help="Forget the stored states, so that the next run reads from the beginning. Rows stay.")
@_FLOW
@_STREAMS
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def reset(ctx: click.Context, flow: Path, stream: tuple[str, ...], yes: bool) -> None:
    from ..runtime._states import forget_states
    from ._environment import environment_of
    from ._single import run_single

    if not yes:
        which = ", ".join(stream) if stream else "every stream"
        click.confirm(
            f"Forget the states of {which} of {flow.name}? The next run reads them from the beginning", abort=True
        )
    forgotten: list[dict[str, Any]] = []

    def work(job_input: Any) -> None:
        forgotten.extend(one.as_dict() for one in forget_states(flow, environment_of(job_input), list(stream)))

    run_single(ctx.obj, flow, work)
    _print(_shortened(forgotten), "text", empty="No state is stored, so none was forgotten.")
    if forgotten:
        click.echo(f"{len(forgotten)} states were forgotten.")


def _print(rows: list[dict[str, Any]], output: str, *, empty: str) -> None:
    from tabulate import tabulate

    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        click.echo(tabulate(rows, headers="keys", maxcolwidths=[None] * (len(rows[0]) - 1) + [70]))
    else:
        click.echo(empty)


def _shortened(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For people: without the identity and the run, and with the beginning of the state."""
    left_out = ("identity", "run")
    rows = [{name: value for name, value in one.items() if name not in left_out} for one in states]
    return [{**row, "state": f"{json.dumps(row['state']):.200}"} for row in rows]


class _reported:
    """Turns our errors into the one line that click prints, with exit code 1."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from ..contract import DataSourceError

        if isinstance(error, DataSourceError):
            raise click.ClickException(str(error)) from None
