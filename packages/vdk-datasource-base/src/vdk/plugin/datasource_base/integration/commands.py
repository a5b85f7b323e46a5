"""``vdk datasource …``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command, console_of
from .inspect_commands import check, discover, preview
from .new import new
from .output import FLOW, OUTPUT, print_json, print_rows, print_text
from .state_commands import state

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput

    from ..runtime import RunSummary
    from .console import Console


@click.group(name="datasource", help="Get data from data sources into destinations.")
def datasource() -> None:
    """The group of commands; upstream's plugin has ``data-sources``."""


@datasource.command(cls=Command, name="list", help="List the data sources and destinations that are installed.")
@OUTPUT
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    from ..parts.registry import Entries
    from .hooks import with_plugins

    registry = with_plugins(Entries(), ctx.obj.plugin_registry)
    rows = [
        {"kind": kind, "name": entry.name, "class": entry.location, "from": entry.origin}
        for kind, entries in (("source", registry.sources()), ("destination", registry.destinations()))
        for entry in entries
    ]
    print_rows(rows, output, empty="No data sources are installed.")


@datasource.command(cls=Command, help="Show the options of a data source: names, types, defaults and what they mean.")
@click.argument("name")
@OUTPUT
@click.pass_context
def config(ctx: click.Context, name: str, output: str) -> None:
    from ..parts.describe import describe
    from .environment import registry_of

    found = registry_of(ctx.obj.plugin_registry).source(name)
    print_rows(describe(found.config_type), output, empty=f"Data source {name} has no options.")


@datasource.command(cls=Command, raises=True, holds=True, help="Run a flow file as a job of one step.")
@FLOW
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    help="Write what happened, stream by stream, to this file as JSON.",
)
@click.option(
    "--follow",
    metavar="DURATION",
    help='Read every flow again after this time ("5s"), until SIGTERM or Ctrl-C.',
)
@OUTPUT
@click.pass_context
def run(ctx: click.Context, flow: Path, summary: Path | None, follow: str | None, output: str) -> None:
    from ..contract import Duration
    from .environment import run_in_job
    from .flow_job import run_single

    console = console_of(ctx)
    ended: list[RunSummary] = []
    try:
        every = Duration.parse(follow) if follow is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--follow") from None

    def step(job_input: IJobInput) -> None:
        run_in_job(job_input, flow, summary=summary, on_summary=ended.append, draw=console.draws, follow=every)

    try:
        run_single(ctx.obj, flow, step)
    finally:
        for done in ended[-1:]:
            try:
                _print_summary(done, console)
            except BrokenPipeError:  # its reader left; the exit code still says whether everything landed
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_summary(done: RunSummary, console: Console) -> None:
    """What happened, stream by stream; the errors of streams are printed after it, with the command's own."""
    if console.output == "json":
        content = done.as_dict() | ({"warnings": console.warnings} if console.warnings else {})
        print_json(json.dumps(content, indent=2, default=str))
        console.placed(console.warnings)
    elif done.streams:
        print_text(done.table(errors=False))


for one in (check, discover, new, preview, state):
    datasource.add_command(one)
