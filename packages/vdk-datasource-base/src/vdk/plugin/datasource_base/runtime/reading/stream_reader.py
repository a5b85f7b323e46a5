# SPDX-License-Identifier: Apache-2.0
"""``read``: one stream as Arrow batches, with the readers, retries and conversions of a run, and no destination."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any

import pyarrow as pa

from ...contract import ConnectionFailedError, DataSource, DestinationError, FlowFailedError, State, StateError
from ...parts import StateKey, StoredState, TableBatch, TableSpec
from ...parts.flow.file import LoadedFlow
from ..environment import Environment
from ..report.logs import error_message
from ..retry import RETRYABLE_ERRORS
from ..run.batches.batching import RejectedBatch
from ..run.flow_file_run import run_loaded
from .handover import HandoverSink
from .outbox import Outbox
from .schemas import fitted, fixed_schema, joined, with_json_as_text
from .selected_source import SelectedSource, Selection

log = logging.getLogger(__name__)
WAITING_UNITS = 2
"""Commit units that wait for the program, beside those in the writer's queue."""
LEAVING_SECONDS = 5.0
"""How long leaving waits for readers, which end at their next payload. After it they end in the background."""
TABLE = b"vdk.table"
"""The key of a batch's schema metadata that names its table, where several tables are read."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """Tables in their order, and the state after them; None: unchanged."""

    tables: Sequence[tuple[str, pa.Table]]
    partition: str
    state: State | None


@dataclass(frozen=True, slots=True)
class HandedUnit:
    """Tables in their order, and partition → state after them; None: the states are unchanged."""

    tables: Sequence[tuple[str, pa.Table]]
    states: dict[str, State] | None


class _ReadSink(HandoverSink):
    """Puts what is committed and staged into the outbox."""

    def __init__(
        self, outbox: Outbox, source: DataSource[Any], selection: Selection, states: Mapping[str, State]
    ) -> None:
        super().__init__()
        self._outbox = outbox
        self._source = source
        self._selection = selection
        self._first: Mapping[str, State] | None = states
        self.declared: dict[str, pa.Schema | None] = {}
        self.stream = selection.names[-1]
        self.rows_rejected = 0

    def identity(self) -> str:
        return "read"

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        if self._first is not None:
            identity = self._source.identity()
            for name in self._selection.names:
                for partition, state in self._first.items():
                    key = StateKey(source_id, identity, name, partition, name)
                    self.states[key] = StoredState(key, 1, state, "")
            self._first = None
        return super().load_states(source_id)

    def check_table(self, spec: TableSpec) -> None:
        """Planning calls it, with the columns that the stream declares."""
        self.stream = spec.name
        self.declared[spec.name] = spec.schema

    def hand_over(self, key: StateKey, batches: Sequence[TableBatch], state: StoredState | None) -> None:
        tables = []
        for batch in batches:
            if isinstance(batch, RejectedBatch):
                self._log_rejected(batch, key.stream)
                continue
            self.declared.setdefault(batch.table.name, batch.table.schema)
            if batch.data.num_rows:
                tables.append((batch.table.name, batch.data))
        if tables or state is not None:
            self._outbox.put(_Unit(tables, key.partition, None if state is None else state.state))

    def cannot_take_back(self, key: StateKey, rows: int) -> DestinationError:
        reason = self._selection.errors.get(key.partition)
        return _HandedOutError(
            f"{error_message(reason) if reason is not None else 'reading failed'}. {rows:,} rows of stream "
            f"{key.stream!r} that no state covers were handed out before, so it is not read again; "
            f"{self._selection.remedies.uncovered}",
            reason,
        )

    def _log_rejected(self, batch: TableBatch, stream: str) -> None:
        """There is no table for rejected rows."""
        self.rows_rejected += batch.data.num_rows
        for reason in batch.data.column("reason").to_pylist():
            log.error("stream %r: rejected a row: %s", stream, reason)


class _HandedOutError(DestinationError):
    """Rows were handed out that no state covers."""

    def __init__(self, message: str, reason: BaseException | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class ReadEnvironment(Environment):
    """What a run gets: the selected stream, and the outbox as its destination."""

    __slots__ = ("given", "outbox", "selection", "sink", "states")
    given: DataSource[Any] | None
    selection: Selection
    states: Mapping[str, State]
    outbox: Outbox
    sink: _ReadSink

    def create_source(self, loaded: LoadedFlow, source_id: str) -> DataSource[Any]:
        source = self.given if self.given is not None else super().create_source(loaded, source_id)
        self.sink = _ReadSink(self.outbox, source, self.selection, self.states)
        return SelectedSource(source, self.selection)

    def create_destination(self, loaded: LoadedFlow, name: str) -> _ReadSink:
        return self.sink


class _Reading:
    """The thread that reads. It has no reference to the reader, so that a forgotten reader ends it."""

    def __init__(self, loaded: LoadedFlow, environment: ReadEnvironment) -> None:
        self._loaded = loaded
        self.environment = environment
        self.outbox = environment.outbox
        self.error: BaseException | None = None
        self.started = False
        self._thread = threading.Thread(target=self._run, name="read", daemon=True)

    def units(self) -> Iterator[_Unit]:
        self.started = True
        self._thread.start()
        yield from self.outbox.messages()
        self._thread.join(LEAVING_SECONDS)

    def _run(self) -> None:
        try:
            run_loaded(self._loaded, self.environment)
        except BaseException as error:
            self.error = _single(error)
        finally:
            self.outbox.finish()

    def stop(self, *, wait: bool) -> None:
        """End the readers at their next payload. Idempotent."""
        self.environment.stop.set()
        self.outbox.cancel()
        if wait and self.started:
            self._thread.join(LEAVING_SECONDS)
            if self._thread.is_alive():
                log.warning("the source did not return within %g s, and ends in the background", LEAVING_SECONDS)


_RESET = re.compile(r"\b([Rr])eset (?:the state|it)(?: of (?:the )?stream(?: '[^']*')?)? \(`?vdk datasource [^)`]*`?\)")
"""What the errors of states say to write where a flow keeps them."""


def _single(error: BaseException) -> BaseException:
    """The error of the stream, rather than that of a run of one stream."""
    while isinstance(error, FlowFailedError) and len(error.errors) == 1:
        error = error.errors[0]
    if isinstance(error, _HandedOutError) and isinstance(error.reason, RETRYABLE_ERRORS):
        return ConnectionFailedError(*error.args)
    if isinstance(error, StateError):  # the states are the caller's, and stored nowhere
        error.args = (_RESET.sub(lambda match: f"{'P' if match[1] == 'R' else 'p'}ass no states", str(error)),)
    return error


class StreamReader:
    """The rows of one stream, read once: as record batches, or whole.

    Reading starts with the first row that is asked for, in threads of its own. It is a context manager: leaving the
    block ends the readers. What the source fails with is raised where rows are asked for.

    ``states`` is ``{partition: state}`` after the batches that were handed out. ``read(…, states=reader.states)``
    continues there; rows that no state covers are read again. Where ``.to_arrow()`` and the like fail, none of their
    rows count as handed out.
    """

    def __init__(self, loaded: LoadedFlow, environment: ReadEnvironment) -> None:
        self._reading = _Reading(loaded, environment)
        self._units = self._reading.units()
        self._states = dict(environment.states)
        self._named = environment.selection.tables != ()
        self._waiting: list[tuple[str, pa.RecordBatch]] = []
        self._unit: _Unit | None = None
        self._closed = self._ended = False

    def __repr__(self) -> str:
        return f"<StreamReader of {self._reading.environment.selection.names[0]!r}>"

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_reading"):
            self._reading.stop(wait=False)

    def close(self) -> None:
        """End the readers. Idempotent. ``states`` stays."""
        self._closed = True
        self._reading.stop(wait=True)

    @property
    def states(self) -> dict[str, State]:
        """Partition → state, after the batches that were handed out."""
        return dict(self._states)

    @property
    def rows_rejected(self) -> int:
        """Rows that the flow's ``on_bad_record`` has rejected so far; the log has the reasons."""
        sink = getattr(self._reading.environment, "sink", None)
        return sink.rows_rejected if sink is not None else 0

    def __iter__(self) -> StreamReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        """The next batch, with the columns that its rows have."""
        table, batch = self._next()
        return batch.replace_schema_metadata({TABLE: table}) if self._named else batch

    def units(self) -> Iterator[HandedUnit]:
        """What is committed together, for a program that stores the states beside the rows or after them."""
        while (unit := self._next_unit()) is not None:
            self._unit = unit
            self._covered()
            yield HandedUnit(unit.tables, None if unit.state is None else self.states)

    def _next(self) -> tuple[str, pa.RecordBatch]:
        if not self._fill():
            raise StopIteration
        following = self._waiting.pop(0)
        if not self._waiting:
            self._covered()
        return following

    def _fill(self) -> bool:
        """Wait until rows wait to be handed out; False: there are no more."""
        if self._closed and not self._ended:
            raise ValueError("the reader is closed; call read again, with states=reader.states to continue")
        while not self._waiting:
            self._covered()
            if (unit := self._next_unit()) is None:
                return False
            self._unit = unit
            self._waiting = [
                (name, batch) for name, table in unit.tables for batch in table.to_batches() if batch.num_rows
            ]
        return True

    def _next_unit(self) -> _Unit | None:
        if not self._ended and (unit := next(self._units, None)) is not None:
            return unit
        self._ended = True
        self._raise()
        return None

    def _raise(self) -> None:
        if self._reading.error is not None:
            raise self._reading.error

    def _covered(self) -> None:
        """The rows of the unit are handed out, so its state holds."""
        unit, self._unit = self._unit, None
        if unit is not None and unit.state is not None:
            self._states[unit.partition] = unit.state
            if not unit.state:
                del self._states[unit.partition]

    @property
    def reader(self) -> pa.RecordBatchReader:
        """The rows for a library that reads Arrow streams, such as DuckDB or polars, without keeping them in memory.

        It has one schema, that of the declared columns or of the first rows. It raises on a later batch with another
        column or type. If it raises, ``states`` are those from before its rows: a library keeps none of them.
        """
        self._check_single("reader")
        first = self._waiting[0][1] if self._fill() else None
        stream = self._stream
        schema = fixed_schema(self._declared(stream), None if first is None else first.schema)

        before = self.states

        def batches() -> Iterator[pa.RecordBatch]:
            while True:
                with self._whole_or_not(before):
                    batch = next(self, None)
                    if batch is None:
                        return
                    batch = fitted(batch, schema, stream=stream)
                yield batch

        return pa.RecordBatchReader.from_batches(schema, batches())

    def to_arrow(self) -> pa.Table:
        """All rows as one table. A column whose type changes gets one that holds all values, in the end text."""
        self._check_single("to_arrow()")
        tables = self.to_tables()
        return tables[self._stream]

    def to_tables(self) -> dict[str, pa.Table]:
        """All rows, by table: the stream's own, and those of ``tables``.

        :raises ValueError: they were handed out before.
        """
        if self._ended:
            self._raise()
            raise ValueError("all rows were handed out; call read again to read them again")
        batches: dict[str, list[pa.RecordBatch]] = {}
        with self._whole_or_not():
            while self._fill():
                name, batch = self._next()
                batches.setdefault(name, []).append(batch)
            self.close()
            names = dict.fromkeys([self._stream, *batches])
            return {name: joined(batches.get(name, []), self._declared(name)) for name in names}

    def to_pandas(self) -> Any:
        """All rows as a pandas data frame; JSON is text."""
        _import("pandas", "to_pandas")
        with self._whole_or_not():
            return with_json_as_text(self.to_arrow()).to_pandas()

    def to_polars(self) -> Any:
        """All rows as a polars data frame; JSON is text."""
        polars = _import("polars", "to_polars")
        with self._whole_or_not():
            return polars.from_arrow(with_json_as_text(self.to_arrow()))

    @contextmanager
    def _whole_or_not(self, before: Mapping[str, State] | None = None) -> Iterator[None]:
        """What fails here hands out none of its rows: no state covers them, and the reader ends.

        :param before: the states to go back to; None: those of now.
        """
        before = self.states if before is None else before
        try:
            yield
        except BaseException:
            self._states = dict(before)
            self.close()
            raise

    @property
    def _stream(self) -> str:
        return self._reading.environment.sink.stream

    def _declared(self, table: str) -> pa.Schema | None:
        return self._reading.environment.sink.declared.get(table)

    def _check_single(self, name: str) -> None:
        if self._named:
            raise ValueError(f"several tables are read: use .to_tables() instead of .{name}")


def _import(library: str, method: str) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        raise ImportError(f"{method}() needs {library}: pip install {library}") from error
