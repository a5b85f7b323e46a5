# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource run | sync``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..flow_job import call_in_job
from ..texts.state_texts import StateTexts
from .base_command import Command, console_of, wrong_arguments
from .output import FLOW, OUTPUT, STREAMS, DurationType, print_json, print_rows, print_text

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput

    from ...contract import Duration
    from ...runtime import Environment, RunSummary
    from ...runtime.inspect.dry_run import DryRunStream
    from ...runtime.scope import RunScope
    from ..console import Console

SUMMARY = click.option(
    "--summary",
    type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    help="Write the summary of the run, stream by stream, to this file as JSON.",
)


_FILE = click.Path(dir_okay=False, resolve_path=True, path_type=Path)
REPORT = click.option("--report", type=_FILE, help="Write a report of the run to this file, as one HTML page.")
_OPENLINEAGE = click.option("--openlineage", type=_FILE, help="Append OpenLineage's events of the run to this file.")


@click.command(cls=Command, reraise=True, json_warnings=True, help="Run a flow file as a job of one step.")
@FLOW
@STREAMS
@click.option(
    "--full-refresh", is_flag=True, help="Read everything, and replace the tables and states at the end, in one step."
)
@click.option(
    "--since", metavar="VALUE", help="Backfill: read the rows whose cursor is at or above this; the state stays."
)
@click.option("--until", metavar="VALUE", help="Backfill: read the rows whose cursor is below this; the state stays.")
@click.option("--dry-run", is_flag=True, help="Print what the run would read and where it would land; change nothing.")
@click.option(
    "--yes",
    is_flag=True,
    help="Let rows go in a full refresh, or land twice in a backfill; replace rows that other sources have landed.",
)
@SUMMARY
@REPORT
@_OPENLINEAGE
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
    full_refresh: bool,
    since: str | None,
    until: str | None,
    dry_run: bool,
    yes: bool,
    summary: Path | None,
    follow: Duration | None,
    report: Path | None,
    openlineage: Path | None,
    output: str,
) -> None:
    from ...runtime.scope import RunScope  # which loads Arrow

    scope = RunScope(full_refresh, since, until, confirmed=yes)
    with wrong_arguments():
        scope.check()
        check_files(summary, report, openlineage)
    files = {"--summary": summary, "--report": report, "--openlineage": openlineage}
    if dry_run and (given := [option for option, path in files.items() if path is not None]):
        raise click.UsageError(
            f"--dry-run: there is no {given[0].strip('-')} of a run that moves nothing; remove {given[0]}"
        )
    if dry_run:
        _print_plan(ctx, flow, output, follow, streams, scope)
    else:
        _run(
            ctx,
            flow,
            flow,
            summary,
            follow=follow,
            streams=streams,
            scope=scope,
            report=report,
            openlineage=openlineage,
        )


@click.command(
    cls=Command,
    reraise=True,
    json_warnings=True,
    help="""Run CloudQuery's configuration files, such as config.yaml, with the sources and destinations that are
    installed here. A folder stands for all its YAML files. CloudQuery is not needed.""",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--print", "prints", is_flag=True, help="Print the flow file that would run, and run nothing.")
@click.option("--yes", is_flag=True, help="Replace the rows of other sources, or those that no run has landed.")
@SUMMARY
@OUTPUT
@click.pass_context
def sync(
    ctx: click.Context, files: tuple[Path, ...], prints: bool, yes: bool, summary: Path | None, output: str
) -> None:
    from ...parts.flow.cloudquery import read_flow
    from ...runtime.scope import RunScope

    flow = read_flow(files)
    with wrong_arguments():
        check_files(summary)
    if prints:
        _print_flow(ctx, flow)
    else:
        location = ", ".join(path.name for path in files)
        _run(ctx, flow, files[0].resolve(), summary, scope=RunScope(confirmed=yes), location=location)


def check_files(summary: Path | None, report: Path | None = None, openlineage: Path | None = None) -> None:
    """Raises ``ConfigurationError`` for a file of the command line that the run could not write."""
    from ...runtime.report.files import LINEAGE, REPORT, SUMMARY

    for kind, path in ((SUMMARY, summary), (REPORT, report), (LINEAGE, openlineage)):
        if path is not None:
            kind.check(path)


def _run(
    ctx: click.Context,
    flow: Path | Mapping[str, Any],
    path: Path,
    summary: Path | None,
    *,
    follow: Duration | None = None,
    streams: tuple[str, ...] = (),
    report: Path | None = None,
    openlineage: Path | None = None,
    scope: RunScope | None = None,
    location: str | None = None,
) -> None:
    """Run a flow as the only step of a job, and print its summary however it ends.

    :param path: the file that the job is named after. :param location: what errors name instead of a flow file.
    """
    from ..flow_job import run_flow_job
    from ..job_environment import run_in_job

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
            report=report,
            openlineage=openlineage,
            scope=scope,
        )

    try:
        run_flow_job(ctx.obj, path, _located(step, location))
    finally:
        for last in summaries[-1:]:
            print_summary(last, console)


def _print_plan(
    ctx: click.Context, flow: Path, output: str, follow: Duration | None, streams: tuple[str, ...], scope: RunScope
) -> None:
    """Print what a run would do; exit code 1 if a stream could not be read."""
    from ...runtime.inspect.dry_run import dry_run

    def plan(environment: Environment) -> tuple[list[DryRunStream], StateTexts]:
        environment.follow, environment.streams, environment.scope = follow, streams, scope
        return list(dry_run(flow, environment)), StateTexts(flow, environment)

    planned, texts = call_in_job(ctx.obj, flow, plan)
    rows = [stream.as_dict() for stream in planned]
    empty = "The run would read nothing: the flows have no streams."
    print_rows(
        rows if output == "json" else [_plan_row(stream, scope, texts) for stream in planned], output, empty=empty
    )
    if output != "json":
        click.echo("Nothing was read or changed.", err=True)
    if any(stream.error for stream in planned):
        ctx.exit(1)


def _plan_row(stream: DryRunStream, scope: RunScope, texts: StateTexts) -> dict[str, Any]:
    """The row for people: ``what is new after updated_at 2026-01-31 09:00:00``."""
    if stream.error is not None:
        reads = f"error: {stream.error}"
    elif stream.reads == "range":
        reads = f"{scope.range}; the state stays"
    elif stream.reads == "everything":
        reads = "everything" + ("; the table is replaced at the end" if stream.replaces else "")
    elif not stream.states:
        reads = "everything: there is no state yet"
    else:
        reads = f"what is new after {texts.of_stream(stream.source, stream.states)}"
    return {
        "stream": f"{stream.source}.{stream.stream}",
        "table": f"{stream.destination}.{stream.table}",
        "write mode": stream.write_mode or "",
        "rows now": "unknown" if stream.rows_now is None else f"{stream.rows_now:,}",
        "reads": reads,
    }


def _located(step: Callable[[IJobInput], None], location: str | None) -> Callable[[IJobInput], None]:
    """The step, with the files that the user wrote in its configuration errors."""

    def located(job_input: IJobInput) -> None:
        from ...contract import ConfigurationError

        try:
            step(job_input)
        except ConfigurationError as error:
            text = str(error)
            if location is not None and text.startswith("flow: "):
                error.args = (f"{location}: {text.removeprefix('flow: ')} (--print shows the flow)",)
            raise

    return located


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print the summary without the errors of streams, which the command's own error repeats."""
    try:
        _print_summary(summary, console)
    except BrokenPipeError:  # nobody reads it; the exit code still says whether everything landed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_summary(summary: RunSummary, console: Console) -> None:
    if console.output == "json":
        content = summary.as_dict() | ({"warnings": console.warnings} if console.warnings else {})
        print_json(json.dumps(content, indent=2, default=str))
        console.discard_warnings(console.warnings)
    elif any(summary.status != "failed" or stream.status != "stopped" for stream in summary.streams):
        print_text(summary.table(errors=False))
        if summary.status == "interrupted":
            click.echo(_next_time(summary), err=True)


def _next_time(summary: RunSummary) -> str:
    """What the same command does after it was interrupted."""
    stopped = [stream for stream in summary.streams if stream.status != "succeeded" and stream.guarantee is not None]
    rules = {stream.guarantee.rule for stream in stopped if stream.guarantee is not None}
    if not stopped or "together" in rules or any(stream.state_after for stream in stopped):
        again = ", and reads from its beginning what is replaced as a whole" if "replaced" in rules else ""
        return f"Interrupted: the same command continues where this one stopped{again}."
    return "Interrupted: the same command begins again with what was not complete."


def _print_flow(ctx: click.Context, flow: Mapping[str, Any]) -> None:
    """Print a flow without its secrets: as TOML, or as JSON."""
    from ...parts.flow.hidden_secrets import without_secrets
    from ...parts.flow.text import flow_text
    from ...parts.plugins.registry import Registry
    from ..hooks import with_plugins

    shown = without_secrets(flow, with_plugins(Registry(), ctx.obj.plugin_registry))
    if console_of(ctx).output == "json":
        print_json(json.dumps(shown, indent=2, default=str))
    else:
        print_text(flow_text(shown))
    if shown != flow:
        click.echo(
            "note: secrets are printed as ***; write a reference such as ${env:PASSWORD} before you save the flow",
            err=True,
        )
