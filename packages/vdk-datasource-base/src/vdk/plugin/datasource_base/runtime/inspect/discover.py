# SPDX-License-Identifier: Apache-2.0
"""``discover``: the streams of a flow file's sources, with their columns and how they would land."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...contract import JSON_TYPE, ConfigurationError, DataSource, DataSourcePayload, StreamSchema
from ...parts import Destination
from ...parts.columns.infer import infer_table
from ...parts.columns.records import to_rows
from ...parts.columns.transform import Data
from ...parts.columns.types import normalize_types, normalized_type
from ..environment import Environment
from ..run.batches.buffer import Buffer, PayloadGroup
from ..run.landing.stream_run import StreamRun
from ..run.plan.stream_plan import StreamPlan, table_name
from .inspector import TIMEOUT, FlowInspector, ReadOnlyDestination
from .preview import count_partitions, read_beginning

ROWS = 100
"""Rows that are read of a stream that declares no columns."""


@dataclass(slots=True)
class DiscoveredStream:
    """A table of a stream, as a run would land it.

    :param write_mode: None: the stream could not be planned; ``error`` says why.
    :param inferred: whether the columns are inferred from the first rows rather than declared.
    :param partitions: None: many, or unknown within the time limit.
    """

    source: str
    stream: str
    destination: str
    table: str
    write_mode: str | None = None
    primary_key: Sequence[str] = ()
    cursor: str | None = None
    partitions: int | None = None
    inferred: bool = False
    columns: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    unique: Sequence[str] = ()
    """Columns whose values are not null, and differ, in all rows that were read of a stream without a key."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source that may mend the error."""

    def as_dict(self) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in self.__slots__ if name not in ("unique", "options")}
        return shown | {"primary_key": list(self.primary_key)}


@dataclass(frozen=True, slots=True)
class Discovery:
    """The streams of all flows. ``errors``: those of flows that could not be planned."""

    streams: Sequence[DiscoveredStream]
    errors: Sequence[str]


def discover_flow(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, rows: int = ROWS, seconds: float = TIMEOUT
) -> Discovery:
    """The streams that the flows choose. Destinations are not connected; a stream without declared columns is read.

    :param rows: about how many rows of such a stream are read.
    :param seconds: how long a source may take to answer, and how long one stream may be read.
    :raises ConfigurationError: if the file is wrong.
    """
    inspector = FlowInspector(flow, environment, seconds)
    streams: list[DiscoveredStream] = []
    errors: list[str] = []
    for number in inspector.numbers:
        entry = inspector.loaded.file.flows[number]
        source = inspector.create_source(entry.from_)
        destination = ReadOnlyDestination(inspector.create_destination(entry.to))
        try:
            for stream in _discover(inspector, number, source, destination, rows):
                streams.append(stream)  # kept if a later one raises
        except Exception as error:
            line, location = inspector.error_line(error, source), f"{inspector.loaded.location}: flows[{number}]"
            errors.append(line if line.startswith(location) else f"{location}: {line}")
    redact = inspector.redactor()
    for stream in streams:  # names may contain references, too
        for name in ("source", "destination", "table"):
            setattr(stream, name, redact(getattr(stream, name)))
    return Discovery(streams, errors)


def _discover(
    inspector: FlowInspector, number: int, source: DataSource[Any], destination: Destination, rows: int
) -> Iterator[DiscoveredStream]:
    """The tables of one flow's streams."""
    with inspector.planned(number, source, destination) as planned:
        runs = {run.report.stream: run for run in planned.runs}
        for report in planned.reports:
            stream = DiscoveredStream(report.source, report.stream, report.destination, report.table)
            yield stream
            if (run := runs.get(report.stream)) is None:
                stream.error = report.error
                continue
            try:
                yield from _describe(stream, run, rows, inspector.seconds)
            except Exception as error:
                stream.error = inspector.error_line(error, source)
                stream.options = error.options if isinstance(error, ConfigurationError) else {}


def _describe(stream: DiscoveredStream, run: StreamRun, rows: int, seconds: float) -> list[DiscoveredStream]:
    """Describe a stream; returns its further tables, if its first rows name some."""
    plan = run.plan
    stream.partitions = count_partitions(plan.stream, seconds=seconds)
    stream.write_mode = run.mode
    if plan.schema is not None:
        _declare(stream, plan.schema)
        if not plan.schema.open:
            return []
    sample = _Sample(run, rows)
    try:
        note = read_beginning(plan.stream, sample.add, seconds=seconds)
    except Exception:
        with suppress(Exception):  # what came before the error shows the columns
            if groups := sample.tables().get(plan.name):
                _infer(stream, groups, plan.schema, plan)
        raise
    if note is not None:
        stream.notes.append(note)
    tables = sample.tables()
    declared = stream.columns
    _infer(stream, tables.pop(plan.name, []), plan.schema, plan)
    stream.columns = _merge(declared, stream.columns)
    if sample.stateful and plan.read_whole:
        stream.notes.append(
            "its rows have states, but it is not declared as incremental, so a run fails. Set `incremental = True` on "
            "the stream's class, or write_mode in the flow"
        )
    return [_routed_table(stream, run, routed, groups) for routed, groups in tables.items()]


def _routed_table(
    stream: DiscoveredStream, run: StreamRun, routed: str, groups: Sequence[PayloadGroup]
) -> DiscoveredStream:
    """A table that payloads of the stream name."""
    plan = run.plan
    other = DiscoveredStream(
        stream.source,
        stream.stream,
        stream.destination,
        table_name(plan.template, plan.name, routed),
        write_mode=stream.write_mode,
        partitions=stream.partitions,
        notes=list(stream.notes),
    )
    schema = plan.schema_of(routed)
    if schema is not None:
        _declare(other, schema)
    else:
        _infer(other, groups, None, plan)
    return other


class _Sample:
    """The first payloads of a stream, collected while another thread reads them."""

    def __init__(self, run: StreamRun, rows: int) -> None:
        self._name = run.plan.name
        self._rows = rows
        self._buffer = Buffer(run.plan.options, stream=run.plan.name)
        self._lock = threading.Lock()
        self.stateful = False

    def add(self, payload: DataSourcePayload) -> bool:
        """Whether there are enough rows. Raises ``DataSourceError`` for an invalid payload."""
        with self._lock:
            self._buffer.add(payload)
            self.stateful |= payload.state is not None
            return self._buffer.rows >= self._rows

    def tables(self) -> dict[str, list[PayloadGroup]]:
        """The sampled rows by the table that they name."""
        tables: dict[str, list[PayloadGroup]] = {}
        with self._lock:
            for group in self._buffer.take_all()[0]:
                tables.setdefault(self._name if group.table is None else group.table, []).append(group)
        return tables


def _declare(stream: DiscoveredStream, schema: StreamSchema) -> None:
    stream.primary_key, stream.cursor = schema.primary_key, schema.cursor
    stream.columns = [_column(field, schema.primary_key) for field in schema.fields]


def _infer(
    stream: DiscoveredStream, groups: Sequence[PayloadGroup], schema: StreamSchema | None, plan: StreamPlan
) -> None:
    """Columns in order of appearance; the type of a column comes from its first value that is not null."""
    stream.inferred = True
    fields: dict[str, pa.Field] = {}
    values: dict[str, list[Any]] = {}
    count = 0
    for group in groups:
        rows, _ = to_rows(group.rows, schema, stream=stream.stream)
        data: list[Data] = [*group.batches, *([rows] if rows else [])]
        if plan.policy is not None:
            data = [plan.policy.data(piece) for piece in data]
        for piece in data:
            table = normalize_types(piece) if isinstance(piece, pa.Table) else infer_table(piece)
            count += int(table.num_rows)
            for column in table.schema:
                if column.name not in fields or pa.types.is_null(fields[column.name].type):
                    fields[column.name] = column
                given = table[column.name].drop_null().to_pylist()
                values.setdefault(column.name, []).extend(map(repr, given))
    stream.columns = [_column(column, ()) for column in fields.values()]
    stream.unique = [name for name, all_of in values.items() if len(set(all_of)) == count]
    note = f"the columns are inferred from the first {count:,} rows" if count else "the stream has no rows"
    stream.notes.insert(0, note)


def _merge(declared: list[dict[str, Any]], inferred: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Declared columns first; those declared without a type get the one that their rows have."""
    types = {column["name"]: column["type"] for column in inferred}
    typed = [
        {**column, "type": types.get(column["name"], "null")} if column["type"] == "null" else column
        for column in declared
    ]
    names = {column["name"] for column in declared}
    return typed + [column for column in inferred if column["name"] not in names]


def _column(column: pa.Field, key: Sequence[str]) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": type_name(column.type),
        "nullable": column.nullable,
        "key": column.name in key,
    }


def type_name(type_: pa.DataType) -> str:
    """The Arrow type that lands; nested values land as ``json``."""
    landed = normalized_type(type_)
    return "json" if landed == JSON_TYPE else str(landed)
