"""``vdk datasource check | discover | preview``: what a flow file would do, without doing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import Command, console_of
from .flow_job import in_job
from .output import FLOW, OUTPUT, print_json, print_text

if TYPE_CHECKING:
    from ..runtime.inspect.discover import FoundStream


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    from ..contract import Duration

    try:
        seconds = Duration.parse(value).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds <= 0:
        raise click.BadParameter("it must be more than nothing")
    return seconds


_TIMEOUT = click.option(
    "--timeout",
    default="60s",
    show_default=True,
    callback=_seconds,
    help="How long a source or destination may take to answer, and a stream to be read.",
)


@click.command(cls=Command, holds=True, help="Try everything in a flow file that can be tried without reading.")
@FLOW
@_TIMEOUT
@OUTPUT
@click.pass_context
def check(ctx: click.Context, flow: Path, timeout: float, output: str) -> None:
    from ..runtime.inspect.check import check_flow

    found = in_job(ctx.obj, flow, lambda job: check_flow(flow, job, seconds=timeout))
    if output == "json":
        print_json(json.dumps([one.as_dict() for one in found], indent=2))
        console_of(ctx).placed({warning for one in found for warning in one.warnings})
    else:
        for one in found:
            status = {"failed": "error", "skipped": "not checked"}.get(one.status, one.status)
            told = f" ({one.told})" if one.status == "ok" and one.told else f": {one.told}" if one.told else ""
            print_text(f"{one.kind} {one.name}: {status}{told}")
    if any(one.status != "ok" for one in found):
        ctx.exit(1)


@click.command(
    cls=Command, help="Show the streams of a flow file's sources, with their columns, and how they would land."
)
@FLOW
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many rows are read of a stream that declares no columns.",
)
@_TIMEOUT
@OUTPUT
@click.pass_context
def discover(ctx: click.Context, flow: Path, rows: int, timeout: float, output: str) -> None:
    from ..runtime.inspect.discover import discover_flow

    found = in_job(ctx.obj, flow, lambda job: discover_flow(flow, job, rows=rows, seconds=timeout))
    if output == "json":
        print_json(json.dumps([stream.as_dict() for stream in found.streams], indent=2))
    else:
        print_text("\n\n".join(map(_text, found.streams)) or "No streams.")
    errors = [
        *found.errors,
        *(f"{stream.source}.{stream.stream}: {stream.error}" for stream in found.streams if stream.error),
    ]
    if errors:
        raise click.ClickException("; ".join(errors))


@click.command(
    cls=Command,
    help="Show the first rows of a stream as they would land. Nothing is landed, and no state is moved.",
)
@FLOW
@click.argument("stream")
@click.option("--rows", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows.")
@click.option(
    "--number", type=click.IntRange(min=0), help="Which [[flows]] entry, from 0; default: the first to have it."
)
@_TIMEOUT
@OUTPUT
@click.pass_context
def preview(
    ctx: click.Context, flow: Path, stream: str, rows: int, number: int | None, timeout: float, output: str
) -> None:
    from ..runtime.inspect.preview import preview_stream

    found = in_job(
        ctx.obj, flow, lambda job: preview_stream(flow, stream, job, rows=rows, number=number, seconds=timeout)
    )
    if output == "json":
        print_json(found.json())
    else:
        print_text(found.text())
    for note in found.notes:
        click.echo(f"{stream}: {note}", err=True)


def _text(found: FoundStream) -> str:
    """A stream for people: a line about it, its columns, and what else is to know. Its error ends the command."""
    from tabulate import tabulate

    facts = [
        found.write_mode or "",
        f"key {', '.join(found.primary_key)}" if found.primary_key else "",
        f"cursor {found.cursor}" if found.cursor else "",
        f"{found.partitions} partitions" if found.partitions not in (1, None) else "",
    ]
    told = f" ({'; '.join(filter(None, facts))})" if any(facts) else ""
    head = f"{found.source}.{found.stream} -> {found.destination}.{found.table}{told}"
    columns: list[Any] = [
        [column["name"], column["type"], "" if column["nullable"] else "not null", "key" if column["key"] else ""]
        for column in found.columns
    ]
    table = tabulate(columns, headers=["column", "type", "", ""], disable_numparse=True) if columns else ""
    notes = [f"note: {note}" for note in found.notes]
    return "\n".join(filter(None, [head, table, *notes]))
