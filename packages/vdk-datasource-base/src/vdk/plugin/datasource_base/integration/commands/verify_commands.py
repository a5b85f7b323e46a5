# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource verify | repair``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..flow_job import call_in_job, run_flow_job
from .base_command import Command
from .output import FLOW, OUTPUT, STREAMS, print_json, print_text

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput

    from ...runtime import Environment
    from ...runtime.report.verification import Verification

_VALUES = click.option(
    "--values", "all_columns", is_flag=True, default=None, help="Compare all columns, not only the key and the cursor."
)


@click.command(
    cls=Command,
    json_warnings=True,
    help="""Compare what the sources of a flow file have with the tables, by key and cursor, over the range that the
    stored states claim. Nothing is changed. The exit code is 1 if rows are missing, different or repeated,
    and 3 if a stream could not be compared.""",
)
@FLOW
@STREAMS
@_VALUES
@OUTPUT
@click.pass_context
def verify(ctx: click.Context, flow: Path, streams: tuple[str, ...], all_columns: bool | None, output: str) -> None:
    from ...runtime.inspect.verify import exit_code, verify_flow

    def work(environment: Environment) -> list[Verification]:
        environment.streams = streams
        return verify_flow(flow, environment, values=all_columns)

    results = call_in_job(ctx.obj, flow, work)
    print_verifications(results, output, flow)
    ctx.exit(exit_code(results))


def print_verifications(results: Sequence[Verification], output: str, flow: Path) -> None:
    """Print one line per stream, and what to do about differences."""
    if output == "json":
        print_json(json.dumps([result.as_dict() for result in results], indent=2))
        return
    for result in results:
        print_text(f"{result.source}.{result.stream}: {result.text}")
    if any(result.missing or result.different for result in results):
        from ...parts.redact import with_flow

        line = with_flow("To read the missing and different rows again, write: vdk datasource repair FLOW", flow)
        click.echo(line, err=True)
    if not results:
        print_text("No streams.")


@click.command(
    cls=Command,
    reraise=True,
    json_warnings=True,
    help="""Read the rows again that `verify` finds missing, different or repeated, and no others. The states stay.
    Streams of databases with a primary key can be repaired; a stream that is read whole is repaired by a run.""",
)
@FLOW
@STREAMS
@_VALUES
@OUTPUT
@click.pass_context
def repair(ctx: click.Context, flow: Path, streams: tuple[str, ...], all_columns: bool | None, output: str) -> None:
    from ...runtime.inspect.verify import exit_code

    results: list[Verification] = []

    def step(job_input: IJobInput) -> None:
        results.extend(_repair(job_input, flow, streams, all_columns))

    run_flow_job(ctx.obj, flow, step)
    print_verifications(results, output, flow)
    ctx.exit(exit_code(results))


def _repair(
    job_input: IJobInput, flow: Path, streams: tuple[str, ...], all_columns: bool | None
) -> Sequence[Verification]:
    """Verify, read what differs again, and verify again."""
    from ...runtime.inspect.verify import repairable, verify_flow
    from ...runtime.scope import RunScope
    from ..job_environment import environment_of, run_in_job

    def verify_now(patterns: tuple[str, ...]) -> list[Verification]:
        environment = environment_of(job_input)
        environment.streams = patterns
        return verify_flow(flow, environment, values=all_columns)

    results = verify_now(streams)
    for source, rows in repairable(results).items():
        names = tuple(f"{source}.{stream}" for stream in rows)
        scope = RunScope(confirmed=True, repair=rows)
        run_in_job(job_input, flow, streams=names, scope=scope)
        repaired = {(result.source, result.stream): result for result in verify_now(names)}
        results = [repaired.get((result.source, result.stream), result) for result in results]
    return results
