# SPDX-License-Identifier: Apache-2.0
"""``preview``: the first rows of a stream as they would land, and how the beginning of a stream is read."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from tabulate import tabulate

from ...contract import (
    JSON_TYPE,
    ConfigurationError,
    DataSource,
    DataSourceError,
    DataSourcePayload,
    DataSourceStream,
    FlowFailedError,
    StreamPartition,
)
from ...contract.errors import ArgumentError
from ...parts.closing import closing_early
from ...parts.flow.file import UnknownStreamError, is_selected
from ..environment import Environment
from ..run.batches.batching import RejectedBatch, build_batches
from ..run.batches.buffer import Buffer
from ..run.plan.stream_plan import StreamPlan
from ..timeouts import TimedOut, run_with_timeout
from .inspector import TIMEOUT, FlowInspector, ReadOnlyDestination

ROWS = 10
MAX_WIDTH = 40
"""Characters of a value in a table for people."""
TABLE = "_vdk_table"
"""Names the table of a row that lands in another table than its stream's own."""


@dataclass(slots=True)
class Preview:
    """Rows by table, in the order in which they were read. ``notes``: what the rows do not show."""

    stream: str
    table: str
    tables: list[tuple[str, pa.Table]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def json(self) -> str:
        """The rows as a JSON array. Exact: decimals are text, bytes base64, times ISO 8601, NaN is ``"nan"``."""
        rows = [
            {**({} if name == self.table else {TABLE: name}), **row}
            for name, table in self.tables
            for row in _encodable_rows(table)
        ]
        return msgspec.json.format(_ENCODER.encode(rows), indent=2).decode()

    def text(self) -> str:
        """The rows as text tables, one for each table and column set."""
        parts = []
        for name, table in self.tables:
            title = [] if name == self.table and len(self.tables) == 1 else [f"{name}:"]
            rows = [[_shortened(value) for value in row.values()] for row in _encodable_rows(table)]
            parts.append("\n".join([*title, tabulate(rows, headers=table.column_names, disable_numparse=True)]))
        return "\n\n".join(parts) or "No rows."


def preview_stream(
    flow: str | Path | Mapping[str, Any],
    stream: str,
    environment: Environment,
    *,
    rows: int = ROWS,
    number: int | None = None,
    seconds: float = TIMEOUT,
) -> Preview:
    """The first rows of a stream, read from its beginning, after the flow's transform. Nothing is landed or stored.

    :param number: which ``[[flows]]`` entry, from 0; default: the first one that has the stream.
    :param seconds: how long the source may take to answer, and then how long it is read; the rows read by then are
        returned.
    :raises ConfigurationError: if the file is wrong, or no pattern chooses the stream.
    :raises FlowFailedError: if planning the flow or reading the stream fails; it shows no secrets.
    """
    inspector = FlowInspector(flow, environment, seconds)
    numbers = _flows_with(inspector, stream, number)
    for candidate in numbers:
        source = inspector.create_source(inspector.loaded.file.flows[candidate].from_)
        try:
            preview = _preview(inspector, candidate, source, stream, rows)
        except Exception as error:
            if isinstance(error, ConfigurationError) and candidate != numbers[-1]:
                continue  # the source of another flow may have the stream
            line = inspector.error_line(error, source)
            unknown = isinstance(error, UnknownStreamError)  # the pattern is the argument
            raise FlowFailedError(line, [ArgumentError(line) if unknown else error]) from None
        if others := [f"flows[{other}]" for other in numbers if other > candidate]:
            preview.notes.append(
                f"this is flows[{candidate}]; {' and '.join(others)} may have a stream of this name, too"
            )
        return preview
    raise AssertionError("the last flow has returned or raised")


def _flows_with(inspector: FlowInspector, stream: str, number: int | None) -> list[int]:
    """The flows whose patterns choose a stream of that name."""
    flows, location = inspector.loaded.file.flows, inspector.loaded.location
    if number is not None and number not in inspector.numbers:
        raise ArgumentError(f"{location}: flows[{number}] does not exist; the last is --number {len(flows) - 1}")
    numbers = [
        candidate
        for candidate in inspector.numbers
        if number in (None, candidate) and is_selected(stream, flows[candidate].streams)
    ]
    if not numbers:
        patterns = [pattern for flow in flows for pattern in flow.streams or ()]
        raise ArgumentError(
            f"{location}: no flow chooses a stream {stream!r}; the patterns are {', '.join(map(repr, patterns))}"
        )
    return numbers


def _preview(inspector: FlowInspector, number: int, source: DataSource[Any], stream: str, rows: int) -> Preview:
    destination = ReadOnlyDestination(inspector.create_destination(inspector.loaded.file.flows[number].to))
    with inspector.planned(number, source, destination, [stream]) as planned:
        if planned.reports[0].error is not None:
            raise DataSourceError(planned.reports[0].error)
        plan = planned.runs[0].plan
        first = _FirstRows(plan, rows)
        note = read_beginning(plan.stream, first.add, seconds=inspector.seconds)
        return first.preview([note] if note is not None else [])


def read_beginning(
    stream: DataSourceStream, add: Callable[[DataSourcePayload], bool], *, seconds: float, most: int = 100_000
) -> str | None:
    """Pass a stream's payloads to ``add``, from the beginning, until it returns True. Readers are closed early.

    ``add`` is called in another thread, and at most once more after the time is over. At most ``most`` payloads are
    read.

    :returns: why reading ended early; None: ``add`` returned True, or everything was read.
    """
    over = threading.Event()
    left = most

    def read() -> bool:
        nonlocal left
        for partition in _partitions(stream):
            payloads = iter(partition.read({}))
            with closing_early(payloads):
                for payload in payloads:
                    left -= 1
                    if over.is_set() or not left or add(payload):
                        return not left
        return False

    try:
        exhausted = run_with_timeout(read, seconds, what=f"stream {stream.name!r}")
    except TimedOut:
        return f"only what arrived within {seconds:g} s was read"
    finally:
        over.set()
    return f"only the first {most:,} payloads were read" if exhausted else None


def count_partitions(stream: DataSourceStream, *, seconds: float, most: int = 1000) -> int | None:
    """The number of partitions at present; None: more than ``most``, or unknown within the time limit."""
    if type(stream).partitions is DataSourceStream.partitions:
        return 1
    try:
        count = run_with_timeout(
            lambda: sum(1 for _ in islice(_partitions(stream), most + 1)), seconds, what=f"stream {stream.name!r}"
        )
    except TimedOut:
        return None
    return count if count <= most else None


def _partitions(stream: DataSourceStream) -> Iterator[StreamPartition]:
    partitions = iter(stream.partitions({}))
    with closing_early(partitions):
        yield from partitions


class _FirstRows:
    """The first rows of a stream, collected while another thread reads them."""

    def __init__(self, plan: StreamPlan, rows: int) -> None:
        self._plan = plan
        self._left = rows
        self._tables: list[tuple[str, pa.Table]] = []
        self._rejected: list[str] = []
        self._lock = threading.Lock()

    def add(self, payload: DataSourcePayload) -> bool:
        """Whether there are enough rows. Raises what a run would raise for such a payload."""
        buffer = Buffer(self._plan.options, stream=self._plan.name, metadata_columns=self._plan.metadata_columns)
        buffer.add(payload)
        groups, _ = buffer.take_all()
        batches = build_batches(self._plan, [group for group in groups if group.kind == "rows"], "append")
        with self._lock:
            for batch in batches:
                if isinstance(batch, RejectedBatch):
                    self._rejected += batch.data.column("reason").to_pylist()
                elif batch.data.num_rows and self._left:
                    self._tables.append((batch.table.name, batch.data.slice(0, self._left)))
                    self._left = max(0, self._left - int(batch.data.num_rows))
            return not self._left

    def preview(self, notes: list[str]) -> Preview:
        with self._lock:
            if self._rejected:
                notes.append(f"{len(self._rejected)} rows would be rejected; the first: {self._rejected[0]}")
            return Preview(self._plan.name, self._plan.table, _joined(self._tables), notes)


def _joined(tables: Sequence[tuple[str, pa.Table]]) -> list[tuple[str, pa.Table]]:
    """Consecutive tables of one name and one schema as one table."""
    joined: list[tuple[str, pa.Table]] = []
    for name, table in tables:
        if joined and joined[-1][0] == name and joined[-1][1].schema.equals(table.schema):
            table = pa.concat_tables([joined.pop()[1], table])
        joined.append((name, table))
    return joined


_ENCODER = msgspec.json.Encoder(decimal_format="string", enc_hook=str)


def _encodable_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of values that ``_ENCODER`` writes without loss."""
    columns = {name: _encodable_column(table.column(name)) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _encodable_column(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if kind == JSON_TYPE:
        return [None if text is None else msgspec.Raw(text.encode()) for text in column.to_pylist()]
    if pa.types.is_floating(kind):
        return [value if value is None or math.isfinite(value) else str(value) for value in column.to_pylist()]
    if (pa.types.is_timestamp(kind) and kind.unit == "ns") or kind == pa.time64("ns"):
        # Python's own types lack nanoseconds
        return [None if text is None else text.replace(" ", "T") for text in column.cast(pa.string()).to_pylist()]
    if pa.types.is_duration(kind):
        return [None if count is None else _duration(count, kind.unit) for count in column.cast(pa.int64()).to_pylist()]
    return list(column.to_pylist())


def _duration(count: int, unit: str) -> str:
    """An ISO 8601 duration in seconds, with all digits."""
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    return f"{'-' if count < 0 else ''}PT{decimal.Decimal(abs(count)).scaleb(-digits):f}S"


def _shortened(value: Any) -> str:
    """A value in a table for people."""
    if value is None:
        return "NULL"
    if isinstance(value, msgspec.Raw):
        text = bytes(value).decode()
    elif isinstance(value, (bytes, dt.date, dt.time, bool)):
        text = _ENCODER.encode(value).decode().strip('"')
    else:
        text = str(value)
    text = text.replace("\n", "\\n")
    return text if len(text) <= MAX_WIDTH else f"{text[:MAX_WIDTH]}…"
