"""``vdk datasource …``."""

from __future__ import annotations

from pathlib import Path

import click

from ._look_commands import check, discover, preview
from ._new import new
from ._output import FLOW, OUTPUT, print_rows, reported
from ._state_commands import state


@click.group(name="datasource", help="Get data from data sources into destinations.")
def datasource() -> None:
    """The group of commands; upstream's plugin has ``data-sources``."""


@datasource.command(name="list", help="List the data sources and destinations that are installed.")
@OUTPUT
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    from ..parts._entries import Entries
    from ._registered import with_plugins

    registry = with_plugins(Entries(), ctx.obj.plugin_registry)
    rows = [
        {"kind": kind, "name": one.name, "class": one.location, "from": one.origin}
        for kind, entries in (("source", registry.sources()), ("destination", registry.destinations()))
        for one in entries
    ]
    print_rows(rows, output, empty="No data sources are installed.")


@datasource.command(help="Show the options of a data source: names, types, defaults and what they mean.")
@click.argument("name")
@OUTPUT
@click.pass_context
def config(ctx: click.Context, name: str, output: str) -> None:
    from ..parts._describe import describe
    from ._environment import registry_of

    with reported():
        found = registry_of(ctx.obj.plugin_registry).source(name)
    print_rows(describe(found.config_type), output, empty=f"Data source {name} has no options.")


@datasource.command(help="Run a flow file as a job of one step.")
@FLOW
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


for one in (check, discover, new, preview, state):
    datasource.add_command(one)
