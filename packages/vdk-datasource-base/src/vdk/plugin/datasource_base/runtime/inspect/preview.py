"""The first payloads of a stream, read for a person to look at."""

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
from ...parts.flow_file import is_selected
from ..environment import Environment
from ..run.batching import RejectedBatch, build_batches
from ..run.buffer import Buffer
from ..run.partition_reader import closing_early
from ..run.plan import StreamPlan
from ..timeouts import Late, Patient
from .check import SECONDS
from .inspector import Look, OutOfReach


def read_beginning(
    stream: DataSourceStream, enough: Callable[[DataSourcePayload], bool], *, seconds: float, most: int = 100_000
) -> str | None:
    """Hand a stream's payloads, from its beginning, to ``enough`` until it says so; readers are closed early.

    It is called in another thread, and after the time is over once more at most. Payloads beyond ``most`` are not
    read. Returns why reading ended before ``enough`` said so; None: everything was read, or enough.
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
                    if over.is_set() or not left or enough(payload):
                        return not left
        return False

    patient = Patient(seconds)
    try:
        exhausted = patient.call(read, what=f"stream {stream.name!r}")
    except Late:
        return f"only what came within {seconds:g} s was read"
    finally:
        over.set()
        patient.end(what=f"stream {stream.name!r}")
    return f"only the first {most:,} payloads were read" if exhausted else None


def count_partitions(stream: DataSourceStream, *, seconds: float, most: int = 1000) -> int | None:
    """How many partitions there are now; None: more than ``most``, or not known within the time."""
    if type(stream).partitions is DataSourceStream.partitions:
        return 1
    patient = Patient(seconds)
    try:
        found = patient.call(
            lambda: sum(1 for _ in islice(_partitions(stream), most + 1)), what=f"stream {stream.name!r}"
        )
    except Late:
        return None
    finally:
        patient.end(what=f"stream {stream.name!r}")
    return found if found <= most else None


def _partitions(stream: DataSourceStream) -> Iterator[StreamPartition]:
    partitions = iter(stream.partitions({}))
    with closing_early(partitions):
        yield from partitions


ROWS = 10
WIDEST = 40
"""Characters of a value in a table for people."""
TABLE = "_vdk_table"
"""Names the table of a row that lands in another one than its stream's own."""


@dataclass(slots=True)
class Preview:
    """Rows by table, in the order of their coming; ``notes`` tells what is not seen in them."""

    stream: str
    table: str
    tables: list[tuple[str, pa.Table]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def json(self) -> str:
        """The rows as a JSON array. Exact: decimals are text, bytes base64, times ISO 8601, NaN is ``"nan"``."""
        rows = [
            {**({} if name == self.table else {TABLE: name}), **row}
            for name, table in self.tables
            for row in _plain_rows(table)
        ]
        return msgspec.json.format(_ENCODER.encode(rows), indent=2).decode()

    def text(self) -> str:
        """The rows as tables of text, one for each table and shape of rows."""
        parts = []
        for name, table in self.tables:
            head = [] if name == self.table and len(self.tables) == 1 else [f"{name}:"]
            rows = [[_shortened(value) for value in row.values()] for row in _plain_rows(table)]
            parts.append("\n".join([*head, tabulate(rows, headers=table.column_names, disable_numparse=True)]))
        return "\n\n".join(parts) or "No rows."


def preview_stream(
    flow: str | Path | Mapping[str, Any],
    stream: str,
    environment: Environment,
    *,
    rows: int = ROWS,
    number: int | None = None,
    seconds: float = SECONDS,
) -> Preview:
    """The first rows of a stream, read from its beginning, behind the flow's transform. Nothing is landed or stored.

    :param number: which ``[[flows]]`` entry, from 0; default: the first that has the stream.
    :param seconds: how long the source, and then reading, may take; what came by then is returned.
    :raises ConfigurationError: for what is wrong in the file, and for a stream that no pattern chooses.
    :raises FlowFailedError: what looking at the flow or reading the stream raised, without secrets.
    """
    look = Look(flow, environment, seconds)
    numbers = _numbers(look, stream, number)
    for one in numbers:
        source = look.environment.source(look.loaded, look.loaded.file.flows[one].from_)
        try:
            found = _preview(look, one, source, stream, rows)
        except Exception as error:
            if isinstance(error, ConfigurationError) and one != numbers[-1]:
                continue  # another flow's source may have such a stream
            raise FlowFailedError(look.told(error, source), [error]) from None
        if others := [f"flows[{other}]" for other in numbers if other > one]:
            found.notes.append(f"this is flows[{one}]; {' and '.join(others)} may have a stream of this name too")
        return found
    raise AssertionError("the last flow has returned or raised")


def _numbers(look: Look, stream: str, number: int | None) -> list[int]:
    """The flows whose patterns choose a stream of that name."""
    flows = look.loaded.file.flows
    if number is not None and number not in look.numbers:
        raise ConfigurationError(f"{look.loaded.location} has no flows[{number}]: it has {len(flows)}, counted from 0")
    found = [one for one in look.numbers if number in (None, one) and is_selected(stream, flows[one].streams)]
    if not found:
        patterns = [pattern for flow in flows for pattern in flow.streams or ()]
        raise ConfigurationError(
            f"{look.loaded.location}: no flow takes a stream {stream!r}; "
            f"the patterns are {', '.join(map(repr, patterns))}"
        )
    return found


def _preview(look: Look, number: int, source: DataSource[Any], stream: str, rows: int) -> Preview:
    destination = OutOfReach(look.environment.destination_of(look.loaded, look.loaded.file.flows[number].to))
    with look.planned(look.flow(number, source, [stream]), source, destination) as looked:
        if looked.reports[0].error is not None:
            raise DataSourceError(looked.reports[0].error)
        first = _First(looked.runs[0].plan, rows)
        why = read_beginning(looked.runs[0].plan.stream, first.add, seconds=look.seconds)
        return first.taken([why] if why is not None else [])


class _First:
    """The first rows, taken in while another thread reads them."""

    def __init__(self, plan: StreamPlan, rows: int) -> None:
        self._plan = plan
        self._left = rows
        self._tables: list[tuple[str, pa.Table]] = []
        self._rejected: list[str] = []
        self._lock = threading.Lock()

    def add(self, payload: DataSourcePayload) -> bool:
        """Whether it is enough. Raises what a run would raise for such a payload."""
        buffer = Buffer(self._plan.options, stream=self._plan.name, metadata_columns=self._plan.metadata_columns)
        buffer.add(payload)
        runs = [one for one in [*buffer.take_covered()[0], *buffer.take_open()[0]] if one.kind == "rows"]
        batches = build_batches(self._plan, runs, "append")
        with self._lock:
            for batch in batches:
                if isinstance(batch, RejectedBatch):
                    self._rejected += batch.data.column("reason").to_pylist()
                elif batch.data.num_rows and self._left:
                    self._tables.append((batch.table.name, batch.data.slice(0, self._left)))
                    self._left = max(0, self._left - int(batch.data.num_rows))
            return not self._left

    def taken(self, notes: list[str]) -> Preview:
        with self._lock:
            if self._rejected:
                notes.append(f"{len(self._rejected)} rows would be rejected; the first: {self._rejected[0]}")
            return Preview(self._plan.name, self._plan.table, _joined(self._tables), notes)


def _joined(tables: Sequence[tuple[str, pa.Table]]) -> list[tuple[str, pa.Table]]:
    """Consecutive rows of one table and one shape as one."""
    joined: list[tuple[str, pa.Table]] = []
    for name, table in tables:
        if joined and joined[-1][0] == name and joined[-1][1].schema.equals(table.schema):
            table = pa.concat_tables([joined.pop()[1], table])
        joined.append((name, table))
    return joined


_ENCODER = msgspec.json.Encoder(decimal_format="string", enc_hook=str)


def _plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of values that ``_ENCODER`` writes without losing anything."""
    columns = {name: _plain_column(table.column(name)) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain_column(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if kind == JSON_TYPE:
        return [None if text is None else msgspec.Raw(text.encode()) for text in column.to_pylist()]
    if pa.types.is_floating(kind):
        return [value if value is None or math.isfinite(value) else str(value) for value in column.to_pylist()]
    if (pa.types.is_timestamp(kind) and kind.unit == "ns") or kind == pa.time64("ns"):
        # Python's own have no nanoseconds
        return [None if text is None else text.replace(" ", "T") for text in column.cast(pa.string()).to_pylist()]
    if pa.types.is_duration(kind):
        return [None if one is None else _duration(one, kind.unit) for one in column.cast(pa.int64()).to_pylist()]
    return list(column.to_pylist())


def _duration(count: int, unit: str) -> str:
    """ISO 8601, in seconds with all their digits."""
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
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}…"
