# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource check | discover | preview``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..flow_job import call_in_job
from .base_command import Command, console_of
from .output import FLOW, OUTPUT, DurationType, print_json, print_text

if TYPE_CHECKING:
    from ...contract import Duration
    from ...runtime.inspect.check import CheckResult
    from ...runtime.inspect.discover import DiscoveredStream, Discovery
    from ...runtime.inspect.preview import Preview


def _seconds(context: click.Context, parameter: click.Parameter, value: Duration) -> float:
    if value.total_seconds() <= 0:
        raise click.BadParameter("it must be more than 0; write --timeout 60s")
    return value.total_seconds()


TIMEOUT = click.option(
    "--timeout",
    type=DurationType(),
    default="60s",
    show_default=True,
    callback=_seconds,
    help="How long a source or destination may take to answer, and how long a stream is read.",
)
ROWS: Any = {"type": click.IntRange(min=1), "show_default": True}


@click.command(
    cls=Command, json_warnings=True, help="Try everything in a flow file that can be tried without reading rows."
)
@FLOW
@TIMEOUT
@OUTPUT
@click.pass_context
def check(ctx: click.Context, flow: Path, timeout: float, output: str) -> None:
    from ...runtime.inspect.check import check_flow

    print_checks(
        ctx, call_in_job(ctx.obj, flow, lambda environment: check_flow(flow, environment, seconds=timeout)), output
    )


def print_checks(ctx: click.Context, results: Sequence[CheckResult], output: str) -> None:
    """Print the results of checks; end the command with exit code 1 if one has failed."""
    if output == "json":
        print_json(json.dumps([result.as_dict() for result in results], indent=2))
        console_of(ctx).discard_warnings({warning for result in results for warning in result.warnings})
    else:
        for result in results:
            print_text(_result_line(result))
    if any(result.status != "ok" for result in results):
        ctx.exit(1)


def _result_line(result: CheckResult) -> str:
    """``source shop: ok (sqlite:////data/shop.db)``."""
    status = {"failed": "error", "skipped": "not checked"}.get(result.status, result.status)
    line = f"{result.kind} {result.name}: {status}"
    if not result.message:
        return line
    return f"{line} ({result.message})" if result.status == "ok" else f"{line}: {result.message}"


@click.command(
    cls=Command, help="Show the streams of a flow file's sources, with their columns, and how they would land."
)
@FLOW
@click.option(
    "--rows",
    default=100,
    **ROWS,
    help="How many rows are read of a stream that declares no columns.",
)
@TIMEOUT
@OUTPUT
@click.pass_context
def discover(ctx: click.Context, flow: Path, rows: int, timeout: float, output: str) -> None:
    from ...runtime.inspect.discover import discover_flow

    discovery = call_in_job(
        ctx.obj, flow, lambda environment: discover_flow(flow, environment, rows=rows, seconds=timeout)
    )
    print_discovery(discovery, output)


def print_discovery(discovery: Discovery, output: str) -> None:
    """Print streams. Raises ``ClickException`` for those that failed."""
    if output == "json":
        print_json(json.dumps([stream.as_dict() for stream in discovery.streams], indent=2))
    else:
        text = "\n\n".join(map(_stream_text, discovery.streams))
        print_text(text or "No streams.") if text or not discovery.errors else None
    errors = [
        *discovery.errors,
        *(f"{stream.source}.{stream.stream}: {stream.error}" for stream in discovery.streams if stream.error),
    ]
    if errors:
        raise click.ClickException("; ".join(errors))


@click.command(
    cls=Command,
    help="Show the first rows of a stream as they would land. No row lands, and no state changes.",
)
@FLOW
@click.argument("stream")
@click.option("--rows", default=10, **ROWS, help="How many rows to show.")
@click.option(
    "--number", type=click.IntRange(min=0), help="Which [[flows]] entry, from 0; default: the first one that has it."
)
@TIMEOUT
@OUTPUT
@click.pass_context
def preview(
    ctx: click.Context, flow: Path, stream: str, rows: int, number: int | None, timeout: float, output: str
) -> None:
    from ...runtime.inspect.preview import preview_stream

    result = call_in_job(
        ctx.obj,
        flow,
        lambda environment: preview_stream(flow, stream, environment, rows=rows, number=number, seconds=timeout),
    )
    print_preview(stream, result, output)


def print_preview(stream: str, result: Preview, output: str) -> None:
    """Print the rows of a stream, and the notes on standard error."""
    if output == "json":
        print_json(result.json())
    else:
        print_text(result.text())
    for note in result.notes:
        click.echo(f"{stream}: {note}", err=True)


def _stream_text(stream: DiscoveredStream) -> str:
    """A stream for people: its title, columns and notes. Its error is printed when the command ends."""
    from tabulate import tabulate

    properties = [
        stream.write_mode or "",
        f"key {', '.join(stream.primary_key)}" if stream.primary_key else "",
        f"cursor {stream.cursor}" if stream.cursor else "",
        f"{stream.partitions} partitions" if stream.partitions not in (1, None) else "",
    ]
    summary = f" ({'; '.join(filter(None, properties))})" if any(properties) else ""
    title = f"{stream.source}.{stream.stream} -> {stream.destination}.{stream.table}{summary}"
    columns: list[Any] = [
        [column["name"], column["type"], "" if column["nullable"] else "not null", "key" if column["key"] else ""]
        for column in stream.columns
    ]
    table = tabulate(columns, headers=["column", "type", "", ""], disable_numparse=True) if columns else ""
    notes = [f"note: {note}" for note in stream.notes]
    return "\n".join(filter(None, [title, table, *notes]))
