"""What there is to read: the streams of a flow file's sources, with their columns."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...contract import JSON_TYPE, DataSourcePayload, StreamSchema
from ...parts.column_types import normalize_types, normalized_type
from ...parts.infer import infer_table
from ..environment import Environment
from ..run.buffer import Buffer, Run
from ..run.plan import table_name
from ..run.stream_run import StreamRun
from .check import SECONDS
from .inspector import Look, OutOfReach
from .preview import count_partitions, read_beginning

ROWS = 100
"""Rows that are read of a stream which declares no columns."""


@dataclass(slots=True)
class FoundStream:
    """A table of a stream, as a run would land it.

    :param write_mode: None: the stream cannot say what it is; ``error`` says why.
    :param inferred: whether the columns are those of the first rows, and not declared.
    :param partitions: None: many, or not known without asking for long.
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

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"primary_key": list(self.primary_key)}


@dataclass(frozen=True, slots=True)
class Discovered:
    """The streams of all flows; ``errors``: what kept whole flows from being looked at."""

    streams: Sequence[FoundStream]
    errors: Sequence[str]


def discover_flow(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, rows: int = ROWS, seconds: float = SECONDS
) -> Discovered:
    """The streams that the flows choose. Destinations are not touched; a stream that declares no columns is read.

    :param rows: how many rows of such a stream are read, about.
    :param seconds: how long a source, and the reading of one stream, may take.
    :raises ConfigurationError: for what is wrong in the file.
    """
    look = Look(flow, environment, seconds)
    streams: list[FoundStream] = []
    errors: list[str] = []
    for number in look.numbers:
        entry = look.loaded.file.flows[number]
        source = look.environment.source(look.loaded, entry.from_)
        destination = OutOfReach(look.environment.destination_of(look.loaded, entry.to))
        try:
            with look.planned(look.flow(number, source), source, destination) as looked:
                runs = {run.report.stream: run for run in looked.runs}
                for report in looked.reports:
                    found = FoundStream(report.source, report.stream, report.destination, report.table)
                    streams.append(found)
                    if (run := runs.get(report.stream)) is None:
                        found.error = report.error
                        continue
                    try:
                        streams += _described(found, run, rows, seconds)
                    except Exception as error:
                        found.error = look.told(error, source)
        except Exception as error:
            errors.append(f"{look.loaded.location}: flows[{number}]: {look.told(error, source)}")
    redact = look.redactor()
    for stream in streams:  # references may stand for names, too
        stream.source, stream.destination, stream.table = (
            redact(stream.source),
            redact(stream.destination),
            redact(stream.table),
        )
    return Discovered(streams, errors)


def _described(found: FoundStream, run: StreamRun, rows: int, seconds: float) -> list[FoundStream]:
    """Fill in what is found; returns the stream's further tables, where its first rows name some."""
    plan = run.plan
    found.partitions = count_partitions(plan.stream, seconds=seconds)
    found.write_mode = run.mode
    if plan.schema is not None:
        _declare(found, plan.schema)
        if not plan.schema.open:
            _note_mode(found, run, stateful=False)
            return []
    sample = _Sample(run, rows)
    if (why := read_beginning(plan.stream, sample.add, seconds=seconds)) is not None:
        found.notes.append(why)
    tables = sample.tables()
    declared = found.columns
    _infer(found, tables.pop(None, []))
    found.columns = _merged(declared, found.columns)
    _note_mode(found, run, stateful=sample.stateful)
    more: list[FoundStream] = []
    for routed, runs in tables.items():
        other = FoundStream(
            found.source, found.stream, found.destination, table_name(plan.template, plan.name, routed),
            write_mode=found.write_mode, partitions=found.partitions, notes=list(found.notes),
        )  # fmt: skip
        schema = plan.schema_of(routed)
        if schema is not None:
            _declare(other, schema)
        else:
            _infer(other, runs)
        more.append(other)
    return more


class _Sample:
    """The first payloads of a stream, taken in while another thread reads them."""

    def __init__(self, run: StreamRun, rows: int) -> None:
        self._name = run.plan.name
        self._rows = rows
        self._buffer = Buffer(run.plan.options, stream=run.plan.name)
        self._lock = threading.Lock()
        self.stateful = False

    def add(self, payload: DataSourcePayload) -> bool:
        """Whether it is enough. Raises ``DataSourceError`` for garbage."""
        with self._lock:
            self._buffer.add(payload)
            self.stateful |= payload.state is not None
            return self._buffer.rows >= self._rows

    def tables(self) -> dict[str | None, list[Run]]:
        """The sampled rows by the table that they name; None is the stream's own."""
        found: dict[str | None, list[Run]] = {}
        with self._lock:
            for one in [*self._buffer.take_covered()[0], *self._buffer.take_open()[0]]:
                own = one.table is None or one.table == self._name
                found.setdefault(None if own else one.table, []).append(one)
        return found


def _declare(found: FoundStream, schema: StreamSchema) -> None:
    found.primary_key, found.cursor = schema.primary_key, schema.cursor
    found.columns = [_column(one, schema.primary_key) for one in schema.fields]


def _infer(found: FoundStream, runs: Sequence[Run]) -> None:
    """Columns in the order in which they came; of a column without a value so far, the type comes later."""
    found.inferred = True
    columns: dict[str, pa.Field] = {}
    count = 0
    for run in runs:
        for table in [*map(normalize_types, run.batches), *([infer_table(run.rows)] if run.rows else [])]:
            count += int(table.num_rows)
            for each in table.schema:
                if each.name not in columns or pa.types.is_null(columns[each.name].type):
                    columns[each.name] = each
    found.columns = [_column(column, ()) for column in columns.values()]
    found.notes.insert(0, f"the columns are inferred from the first {count:,} rows" if count else "no rows were found")


def _merged(declared: list[dict[str, Any]], inferred: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Declared columns first; those that are only named have the types of the rows."""
    types = {one["name"]: one["type"] for one in inferred}
    named = [
        {**one, "type": types.get(one["name"], "null") if one["type"] == "null" else one["type"]} for one in declared
    ]
    known = {one["name"] for one in declared}
    return named + [one for one in inferred if one["name"] not in known]


def _column(one: pa.Field, key: Sequence[str]) -> dict[str, Any]:
    return {"name": one.name, "type": type_name(one.type), "nullable": one.nullable, "key": one.name in key}


def type_name(type_: pa.DataType) -> str:
    """The type that lands, in Arrow's words; nested values land as ``json``."""
    landed = normalized_type(type_)
    return "json" if landed == JSON_TYPE else str(landed)


def _note_mode(found: FoundStream, run: StreamRun, *, stateful: bool) -> None:
    if stateful and run.plan.read_whole:
        found.notes.append(
            "its rows carry states, and it is not declared as incremental: a run fails. Set `incremental = True` on "
            "the stream's class, or write_mode in the flow"
        )
