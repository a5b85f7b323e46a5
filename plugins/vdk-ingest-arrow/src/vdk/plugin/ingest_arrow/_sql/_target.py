"""The target ``duckdb:///file``: rows and states of a run in one DuckDB database, in one transaction."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError, Duration
from vdk.plugin.datasource_base.parts import (
    CommitUnit,
    Destination,
    Generation,
    Slice,
    StateKey,
    StoredState,
    TableSpec,
)
from vdk.plugin.datasource_base.parts._destination import WriteMode

from ._arrow_types import plain_table
from ._duckdb_connection import DuckDBConnection
from ._duckdb_errors import translated
from ._duckdb_incoming import Columns, Incoming, declared_columns
from ._duckdb_staging import ALL_PARTITIONS, DuckDBStaging, Segment
from ._duckdb_state import DuckDBStates
from ._duckdb_tables import DuckDBTables
from ._sql import STAGED_PREFIX, check_distinct, folded, is_reserved
from ._url import TargetUrl

T = TypeVar("T")
_NOTHING = pa.table({"nothing": pa.nulls(0)})

OPTIONS = ("schema", "lock_timeout", "memory_limit")
LOCK_TIMEOUT = "30s"


class DuckDBTarget(Destination):
    """One DuckDB file.

    Options: ``schema`` (default ``main``; made where missing, and the states live in it), ``lock_timeout``
    (default 30s: how long to wait for a process that has the file open), ``memory_limit`` (as DuckDB writes it; by
    default little, and more when a table needs it).
    """

    write_modes = frozenset[WriteMode](("append", "upsert", "replace"))
    deletes = True
    transactional = True

    def __init__(self, target: str | None, *, folder: Path) -> None:
        super().__init__(target, folder=folder)
        url = TargetUrl.parse(target)
        url.option_names_within(OPTIONS)
        self.path = url.file(folder)
        self.schema = url.options.get("schema", "main")
        if not self.schema or "\0" in self.schema:
            raise ConfigurationError("the target's option 'schema' names no schema")
        try:
            timeout = Duration.parse(url.options.get("lock_timeout", LOCK_TIMEOUT))
        except ValueError as error:
            raise ConfigurationError(f"the target's option 'lock_timeout': {error}") from None
        self._connection = DuckDBConnection(
            self.path,
            lock_timeout=timeout.total_seconds(),
            memory_limit=url.options.get("memory_limit"),
        )
        self._tables = DuckDBTables(self._connection, self.schema)
        self._states = DuckDBStates(self._tables)
        self._staging = DuckDBStaging(self._tables)
        self._staged: dict[StateKey, set[str]] = {}
        self._prepared = False

    def identity(self) -> str:
        path = Path(os.path.realpath(self.path)).as_posix()
        path = path.replace("%", "%25").replace("?", "%3F")
        return f"arrow duckdb:///{path}" + (f"?schema={self.schema}" if self.schema != "main" else "")

    def open(self) -> None:
        self._connection.open()

    def close(self) -> None:
        self._connection.close()
        self._prepared = False

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        try:
            return self._states.load(source_id)
        except duckdb.Error as error:
            raise translated(error, self.path) from error

    def has_table(self, name: str) -> bool:
        try:
            return self._tables.columns(name) is not None
        except duckdb.Error as error:
            raise translated(error, self.path) from error

    def commit(self, unit: CommitUnit) -> int:
        for one in unit.slices:
            if one.table.write_mode == "replace":
                raise DestinationError(f"table {one.table.name!r}: a replaced table is staged and published")

        def land(incoming: Sequence[Incoming]) -> tuple[int, int]:
            version = self._states.swap(unit)
            segments = self._staging.segments(unit.key, unit.run_id)
            self._staging.expect(unit.key, self._staged.get(unit.key, set()), segments)
            swept = sum(self._land_segment(unit.key, segment) for segment in segments)
            for one, rows in zip(unit.slices, incoming, strict=True):
                self._tables.land(one.table, one.kind, rows)
            return version, swept

        version, self.swept = self._write(unit.slices, land)
        self._staged.pop(unit.key, None)
        return version

    def stage(self, key: StateKey, slices: Sequence[Slice], run_id: str) -> None:
        def aside(incoming: Sequence[Incoming]) -> set[str]:
            return {
                self._staging.add(key, one.table, one.kind, rows, run_id)
                for one, rows in zip(slices, incoming, strict=True)
            }

        slices = [one for one in slices if one.data.num_columns or one.data.num_rows or one.table.schema is not None]
        self._staged.setdefault(key, set()).update(self._write(slices, aside))

    def discard(self, key: StateKey) -> None:
        def drop(_: Sequence[Incoming]) -> None:
            for segment in self._staging.segments(key):
                self._staging.drop(segment)

        self._write((), drop)
        for mine in list(self._staged):
            same = (mine.source_id, mine.stream, mine.table) == (key.source_id, key.stream, key.table)
            if same and key.partition in (mine.partition, ALL_PARTITIONS):
                del self._staged[mine]

    def publish(self, generation: Generation) -> list[int]:
        def swap(_: Sequence[Incoming]) -> list[int]:
            versions = [self._states.swap(unit) for unit in generation.units]
            segments = []
            for unit in generation.units:
                mine = self._staging.segments(unit.key, unit.run_id)
                self._staging.expect(unit.key, self._staged.get(unit.key, set()), mine)
                segments += mine
            names = {table.name for table in generation.tables}
            if stray := sorted({one.spec.name for one in segments} - names):
                raise DestinationError(f"rows are staged for the tables {stray}, which are not among those to publish")
            for table in generation.tables:
                self._replace(table, [one for one in segments if one.spec.name == table.name])
            return versions

        versions = self._write((), swap)
        for unit in generation.units:
            self._staged.pop(unit.key, None)
        return versions

    def _land_segment(self, key: StateKey, segment: Segment) -> int:
        """Land what is staged; returns how many rows were deleted since their keys are not among the staged ones."""
        swept = 0
        if segment.kind == "keys":
            self._states.check_alone(key, segment.spec.name)
            swept = self._tables.keep_only(segment.spec, self._staging.columns(segment))
        elif segment.kind == "rows" and self._tables.columns(segment.spec.name) is None:
            self._tables.rename(segment.table, segment.spec.name)
        else:
            self._tables.land(segment.spec, segment.kind, self._staging.columns(segment))
        self._staging.drop(segment)
        return swept

    def _replace(self, spec: TableSpec, segments: Sequence[Segment]) -> None:
        """Put a new table in the place of ``spec``'s. Views of it stay, and indexes on it are made again."""
        old = self._tables.columns(spec.name)
        indexes = self._tables.indexes(spec.name) if old is not None else []
        new, rest = self._begin_generation(spec, segments, old or {})
        for segment in rest:
            rows = self._staging.columns(segment)
            self._tables.land(replace(segment.spec, write_mode="append"), "rows", rows, into=new)
        if old is not None:
            self._tables.drop(spec.name)
        if self._tables.columns(new) is not None:
            self._keep_columns(spec, old or {}, new)
            self._tables.rename(new, spec.name)
            self._tables.make_indexes(indexes)
        for segment in segments:
            self._staging.drop(segment)

    def _begin_generation(
        self, spec: TableSpec, segments: Sequence[Segment], old: Columns
    ) -> tuple[str, Sequence[Segment]]:
        """The table that becomes the new one, and the segments that are not in it yet."""
        frozen = not spec.evolve and (old or declared_columns(spec))
        if segments and not frozen:
            return segments[0].table, segments[1:]
        new = f"{STAGED_PREFIX}{uuid.uuid4().hex}"
        shape = (old or declared_columns(spec)) if frozen else (declared_columns(spec) or old)
        self._tables.create(spec, shape, into=new)
        return new, segments

    def _keep_columns(self, spec: TableSpec, old: Columns, new: str) -> None:
        """Columns that are declared, or were there before and have no value this time, stay columns."""
        present = {folded(name) for name in self._tables.columns(new) or {}}
        kept = declared_columns(spec) or {name: type_ for name, type_ in old.items() if not is_reserved(name)}
        missing = {name: type_ for name, type_ in kept.items() if folded(name) not in present}
        self._tables.add_columns(spec, missing, into=new)

    def _write(self, slices: Sequence[Slice], work: Callable[[Sequence[Incoming]], T]) -> T:
        """Run ``work`` in a transaction, with the slices' rows to select from."""
        try:
            self._prepare()
            with self._readable(slices) as incoming:
                return self._connection.transaction(lambda: work(incoming))
        except duckdb.Error as error:
            raise translated(error, self.path) from error

    @contextmanager
    def _readable(self, slices: Sequence[Slice]) -> Iterator[list[Incoming]]:
        tables = []
        for one in slices:
            if one.data.num_rows and not one.data.num_columns:
                raise DestinationError(f"table {one.table.name!r}: rows without any column cannot land")
            check_distinct(one.data.schema.names, one.table.name)
            tables.append(plain_table(one.data, one.table.name))
        # DuckDB takes no table without columns. Such a slice has no rows, and makes its table at most.
        with self._connection.arrow_views([one if one.num_columns else _NOTHING for one in tables]) as names:
            yield [Incoming.of_arrow(name, table.schema) for name, table in zip(names, tables, strict=True)]

    def _prepare(self) -> None:
        if not self._prepared:

            def make() -> None:
                self._tables.prepare()
                self._states.prepare()
                self._staging.prepare()

            self._connection.transaction(make)
            self._prepared = True
