# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource list | config | run``, and the group of all commands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .base_command import Command, console_of
from .inspect_commands import check, discover, preview
from .new_command import new
from .output import FLOW, OUTPUT, DurationType, print_json, print_rows, print_text
from .state_commands import state

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput

    from ..contract import Duration
    from ..runtime import RunSummary
    from .console import Console


@click.group(name="datasource", help="Load data from data sources into destinations.")
def datasource() -> None:
    """The group of all commands. VDK's own plugin for data sources uses the name ``data-sources``."""


@datasource.command(cls=Command, name="list", help="List the installed data sources and destinations.")
@OUTPUT
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    from ..parts.entries import Entries
    from .hooks import with_plugins

    registry = with_plugins(Entries(), ctx.obj.plugin_registry)
    rows = [
        {"kind": kind, "name": entry.name, "class": entry.import_path, "from": entry.origin}
        for kind, entries in (("source", registry.sources()), ("destination", registry.destinations()))
        for entry in entries
    ]
    print_rows(rows, output, empty="No data sources are installed.")


@datasource.command(cls=Command, help="Show the options of a data source: names, types, defaults and descriptions.")
@click.argument("name")
@OUTPUT
@click.pass_context
def config(ctx: click.Context, name: str, output: str) -> None:
    from ..parts.describe import describe
    from ..parts.registry import Registry
    from .hooks import with_plugins

    source = with_plugins(Registry(), ctx.obj.plugin_registry).source(name)
    print_rows(describe(source.config_type), output, empty=f"Data source {name} has no options.")


@datasource.command(cls=Command, reraise=True, json_warnings=True, help="Run a flow file as a job of one step.")
@FLOW
@click.option(
    "--stream",
    "streams",
    metavar="GLOB",
    multiple=True,
    help="Read only streams with this name or pattern, as orders or shop.orders; can be repeated.",
)
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    help="Write the summary of the run, stream by stream, to this file as JSON.",
)
@click.option(
    "--follow",
    type=DurationType(),
    help='Read every flow again after this time ("5s"), until SIGTERM or Ctrl-C.',
)
@OUTPUT
@click.pass_context
def run(
    ctx: click.Context,
    flow: Path,
    streams: tuple[str, ...],
    summary: Path | None,
    follow: Duration | None,
    output: str,
) -> None:
    from .flow_job import run_flow_job
    from .job_environment import run_in_job

    console = console_of(ctx)
    summaries: list[RunSummary] = []

    def step(job_input: IJobInput) -> None:
        run_in_job(
            job_input,
            flow,
            summary=summary,
            on_summary=summaries.append,
            draw=console.draws_progress,
            follow=follow,
            streams=streams,
        )

    try:
        run_flow_job(ctx.obj, flow, step)
    finally:
        for last in summaries[-1:]:
            try:
                _print_summary(last, console)
            except BrokenPipeError:  # nobody reads it; the exit code still says whether everything landed
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_summary(summary: RunSummary, console: Console) -> None:
    """Print the summary without the errors of streams, which the command's own error repeats."""
    if console.output == "json":
        content = summary.as_dict() | ({"warnings": console.warnings} if console.warnings else {})
        print_json(json.dumps(content, indent=2, default=str))
        console.discard_warnings(console.warnings)
    elif summary.streams:
        print_text(summary.table(errors=False))


for command in (check, discover, new, preview, state):
    datasource.add_command(command)
