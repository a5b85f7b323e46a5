# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource plan``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..flow_job import call_in_job
from ..texts.state_texts import StateTexts
from .base_command import Command
from .inspect_commands import TIMEOUT
from .output import FLOW, OUTPUT, STREAMS, print_json, print_text

if TYPE_CHECKING:
    from ...runtime import Environment
    from ...runtime.inspect.plan import PlannedPartition, StreamNews

CHANGES = 2
"""The exit code under ``--exit-code`` if a run would change something, or may."""
_SHOWN_PARTITIONS = 5


@click.command(
    cls=Command,
    json_warnings=True,
    help="Show what the next run would read, up to which end, and what it would make or widen. Nothing is changed.",
)
@FLOW
@STREAMS
@click.option(
    "--exit-code", is_flag=True, help="Exit with 2 if a run would change something, or may; with 0 if nothing is new."
)
@TIMEOUT
@OUTPUT
@click.pass_context
def plan(
    ctx: click.Context, flow: Path, streams: tuple[str, ...], exit_code: bool, timeout: float, output: str
) -> None:
    from ...runtime.inspect.plan import plan_flow

    def planned(environment: Environment) -> tuple[Sequence[StreamNews], StateTexts]:
        environment.streams = streams
        return plan_flow(flow, environment, seconds=timeout), StateTexts(flow, environment)

    result, texts = call_in_job(ctx.obj, flow, planned)
    if output == "json":
        print_json(json.dumps([stream.as_dict() for stream in result], indent=2, default=str))
    else:
        print_text("\n\n".join(_stream_text(stream, texts) for stream in result) or "The flows have no streams.")
        click.echo("Nothing was read or changed.", err=True)
    if any(stream.planned.error for stream in result):
        ctx.exit(1)
    if exit_code and any(stream.changes is not False for stream in result):
        ctx.exit(CHANGES)


def _stream_text(stream: StreamNews, texts: StateTexts) -> str:
    """A stream for people: what would be read, then what would change."""
    planned = stream.planned
    title = f"{planned.source}.{planned.stream} -> {planned.destination}.{planned.table}"
    if planned.error is not None:
        return f"{title}: error: {planned.error}"
    lines = [f"{title} ({planned.write_mode}): {_news(stream)}"]
    if stream.new_table:
        lines.append(f"  new table: {', '.join(f'{change.column} {change.after}' for change in stream.columns)}")
    else:
        lines += [
            f"  new column: {change.column} {change.after}"
            if change.before is None
            else f"  wider column: {change.column} {change.before} -> {change.after}"
            for change in stream.columns
        ]
    new = [partition for partition in stream.partitions if partition.news != "none"]
    if planned.reads == "everything" and not any(partition.id or partition.end for partition in new):
        new = []  # from its beginning to an end that nobody knows: the line above says as much
    lines += [f"  {_partition_text(partition, planned.source, texts)}" for partition in new[:_SHOWN_PARTITIONS]]
    if len(new) > _SHOWN_PARTITIONS or stream.more:
        more = f"more than {len(stream.partitions):,}" if stream.more else f"{len(new):,}"
        lines.append(f"  {more} partitions in all")
    if stream.guarantee is not None:
        lines.append(f"  {stream.guarantee}")
    return "\n".join(lines)


def _news(stream: StreamNews) -> str:
    rows = "" if stream.rows is None else f", about {_rows(stream.rows)}"
    if stream.changes is False:
        return "nothing new"
    if stream.planned.reads == "everything":
        return f"everything is read{rows}" + ("; the table is replaced at the end" if stream.planned.replaces else "")
    if not stream.planned.states:
        return f"everything is read, as there is no state yet{rows}"
    if not stream.changes:
        return "what is new is read; whether there is anything is not known"
    return f"what is new is read{rows}"


def _partition_text(partition: PlannedPartition, source_id: str, texts: StateTexts) -> str:
    name = f"partition {partition.id}: " if partition.id else ""
    begin = texts.of(source_id, partition.begin) if partition.begin else "the beginning"
    end = "unknown" if partition.end is None else texts.of(source_id, partition.end)
    rows = "" if partition.rows is None else f", about {_rows(partition.rows)}"
    return f"{name}from {begin} to {end}{rows}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
