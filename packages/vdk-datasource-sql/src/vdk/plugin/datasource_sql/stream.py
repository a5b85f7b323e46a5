# SPDX-License-Identifier: Apache-2.0
"""A table as a stream."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    BoundedPartition,
    ConfigurationError,
    DataSourcePayload,
    DataSourceState,
    Proof,
    ProofRows,
    StateError,
    StreamPartition,
    StreamSchema,
    VerifiableStream,
)
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX

from .backend import Backend
from .config import SqlConfig
from .expressions import ONE
from .incremental.changed_format import options_changed
from .incremental.reader import IncrementalReader, ReadEnd
from .incremental.state import decode, remedy
from .kinds import Kind
from .pages.payload_builder import PayloadBuilder, schema_of
from .plans.names import find_name, hint
from .plans.planning import TablePlan, make_plan
from .plans.table_info import TableInfo
from .proof import TableProof, compared_columns
from .ranges.splitting import TableSplitter
from .ranges.table_range import read_whole
from .session import SqlSession
from .statements import TableQuery


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class SqlStream(VerifiableStream):
    """One table or view, and its own only partition.

    With a cursor it is read incrementally; without one it is read whole, in one snapshot, with no state.
    """

    def __init__(
        self,
        plan: TablePlan,
        backend: Backend,
        *,
        lost_cursor: str | None = None,
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.name = plan.name
        self.plan = plan
        self.backfill = plan.backfill
        self.relations = backend.relations(plan.table)
        self.state_columns = plan.state_columns
        self.now = now
        self._backend = backend
        self._lost_cursor = lost_cursor
        self._kinds: Mapping[str, Kind] | None = None

    def schema(self, table: str | None = None) -> StreamSchema:
        """The table's columns: types by declaration, and by some values where that is not enough."""
        self._check()
        with SqlSession(self._backend) as session:
            kinds = self._cached_kinds(session)
        cursor = self.plan.cursor[0] if self.plan.cursor else None
        return StreamSchema(schema_of(self.plan, kinds), self.plan.primary_key, cursor)

    def between(self, begin: str | None, end: str | None) -> SqlStream:
        """The rows whose cursor is in the range: dates and times, in ``cursor_timezone`` where they name no zone,
        numbers, or text. Rows without a cursor are in no range."""
        if not self.plan.cursor:
            raise ConfigurationError(
                f'table {self.name!r} has no cursor; name one, as in {self.plan.config_path}.cursor = "updated_at"'
            )
        return SqlStream(replace(self.plan, limits=(begin, end)), self._backend, now=self.now)

    def count_rows(self) -> int:
        """The rows that the options select, whatever their cursor; in one statement."""
        self._check()
        with SqlSession(self._backend) as session:
            session.begin()
            query = TableQuery(self.plan, self._backend, keyed=False)
            return int(session.one(query.select(sa.func.count()))[0])

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        if not self.plan.cursor:
            raise self._cursor_is_gone(str(state.get("cursor")))
        key = state.get("key")
        decode(state, self.name, self.plan.cursor, key if isinstance(key, list) else (), self.plan.primary_key)

    def adopted_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without what names the server that the state was written for."""
        return {name: value for name, value in state.items() if name not in ("database", "barrier")}

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return self._payloads(state, None)

    def _payloads(
        self,
        state: Mapping[str, Any],
        end: Mapping[str, Any] | None,
        read_end: ReadEnd | None = None,
        *,
        remembered: bool = False,
    ) -> Iterator[DataSourcePayload]:
        self._check()
        if state and not self.plan.cursor:
            raise self._cursor_is_gone(str(state.get("cursor")))
        with SqlSession(self._backend) as session:
            query, payload_builder, kinds = self._prepared(session, state)
            if not self.plan.cursor:
                count = self._count_in_snapshot(session, query)
                yield from read_whole(session, query, payload_builder)
                if count is not None:
                    yield DataSourcePayload(None, metadata={f"{COUNTER_PREFIX}rows_at_source": count})
                return
            bulk = self._backend.bulk_reader(query, kinds)
            reader = IncrementalReader(self._backend, session, query, payload_builder, self.now(), bulk)
            try:
                if self.plan.backfill:
                    yield from reader.backfill()
                else:
                    yield from reader.read(state, end, read_end, remembered=remembered)
            finally:
                if bulk is not None:
                    bulk.close()

    def split(
        self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None, *, parts: int, min_rows: int
    ) -> Sequence[StreamPartition]:
        self._check()
        with SqlSession(self._backend) as session:
            splitter = self._splitter(session, parts, min_rows)
            return splitter.backfill(self.now()) if self.plan.cursor else splitter.whole()

    def _splitter(self, session: SqlSession, parts: int, min_rows: int) -> TableSplitter:
        kinds = self._cached_kinds(session)
        session.begin()
        return TableSplitter(session, self.plan, self._backend, kinds, parts, min_rows)

    def proof(
        self, states: Mapping[str, Mapping[str, Any]], *, values: bool = False, whole_rows: bool = False
    ) -> Proof:
        reason = self._not_provable(states)
        if reason is not None:
            return Proof(reason=reason)
        plan = self.plan
        columns = compared_columns(plan, values=values)
        cursor = plan.cursor[0] if plan.cursor else None
        rows = self._proof_rows(columns, states.get("", {}), whole_rows=whole_rows)
        deletes = 'deletes = { sweep = "1d" }' if plan.cursor and plan.primary_key and plan.sweep is None else None
        return Proof(columns, plan.primary_key, not plan.cursor, rows, cursor=cursor, deletes=deletes)

    def _not_provable(self, states: Mapping[str, Mapping[str, Any]]) -> str | None:
        if self.plan.backfill:
            return "it is limited to a range, and has no state"
        if others := sorted(set(states) - {""}):
            return f"it has states of partitions, such as {others[0]!r}, and the table is read as one"
        if self.plan.cursor and states.get("", {}).get("resume") is not None:
            return "the last run did not reach its end; run the flow again"
        if self.plan.cursor and options_changed(self.plan, states.get("", {})):
            return "cursor_format or null_cursor_values has changed since the last run; run the flow again"
        return None

    def _proof_rows(self, columns: Sequence[str], state: Mapping[str, Any], *, whole_rows: bool) -> Iterator[ProofRows]:
        self._check()
        with SqlSession(self._backend) as session:
            yield from self._table_proof(session, columns, whole_rows=whole_rows).rows(state)

    def _table_proof(self, session: SqlSession, columns: Sequence[str], *, whole_rows: bool) -> TableProof:
        """The proof of the table in a new snapshot of the session."""
        kinds = dict(self._cached_kinds(session))
        session.begin()
        keyed = self._is_keyed(session)

        def prepared(plan: TablePlan) -> tuple[TableQuery, PayloadBuilder]:
            query = TableQuery(plan, self._backend, keyed=keyed)
            return query, PayloadBuilder(plan, kinds, query, self._backend)

        full = prepared(self.plan)
        narrow = full if whole_rows else prepared(replace(self.plan, columns=tuple(columns)))
        return TableProof(session, self._backend, narrow, full, columns)

    def with_hashes(self, hashes: Collection[int], columns: Sequence[str]) -> SqlStream:
        """Looks at the compared columns of all rows, and reads the rows that are found, by their primary key."""
        if not self.plan.primary_key:
            raise ConfigurationError(
                f"table {self.name!r} has no primary key to read single rows by; name one, as in "
                f'{self.plan.config_path}.primary_key = "id"'
            )
        return RowsWithHashes(self.plan, self._backend, frozenset(hashes), tuple(columns), now=self.now)

    def _prepared(
        self, session: SqlSession, state: Mapping[str, Any]
    ) -> tuple[TableQuery, PayloadBuilder, dict[str, Kind]]:
        """What a read needs, with the keys checked."""
        kinds = dict(self._cached_kinds(session))  # a kind that waits for a value is resolved while reading
        session.begin()
        query = TableQuery(self.plan, self._backend, keyed=self._is_keyed(session))
        if self.plan.cursor:
            self._backend.check_keys(session, query, kinds)
        if not state:
            self._check_unique(session, query)
        return query, PayloadBuilder(self.plan, kinds, query, self._backend), kinds

    def _count_in_snapshot(self, session: SqlSession, query: TableQuery) -> int | None:
        """How many rows the read yields, if the run asks for it; unknown where some are marked as deleted."""
        if not self.counts_rows or self.plan.deleted_column is not None:
            return None
        return int(session.one(query.select(sa.func.count()))[0])

    def _check(self) -> None:
        if self.plan.table.problem is not None:
            raise ConfigurationError(
                f"stream {self.name!r} cannot be read: {self.plan.table.problem}. "
                f'Leave it out: streams = ["*", "!{self.name}"]'
            )
        if self._lost_cursor is not None:
            raise self._cursor_is_gone(self._lost_cursor)

    def _cursor_is_gone(self, cursor: str) -> StateError:
        return StateError(
            f"stream {self.name!r}: its state was written for the cursor {cursor!r}, and the table has no cursor now. "
            f"{remedy(self.name)}; or name the cursor with {self.plan.config_path}.cursor"
        )

    def _check_unique(self, session: SqlSession, query: TableQuery) -> None:
        """Refuse a configured primary key that rows share: only the last of them would land."""
        names = self.plan.primary_key
        unique = any(set(key.columns) <= set(names) for key in self.plan.table.keys)
        if not names or unique or not self.plan.cursor:
            return
        key = [query.exact(query.column(name)) for name in names]
        is_full = [query.column(name).is_not(None) for name in names]
        shared = query.select(*key, sa.func.count()).where(*is_full).group_by(*key).having(sa.func.count() > ONE)
        if rows := session.all(shared.limit(1)):
            *values, count = rows[0]
            raise ConfigurationError(
                f"{self.plan.config_path}.primary_key: {count} rows of stream {self.name!r} have the key "
                f"{values[0] if len(values) == 1 else tuple(values)!r}, so it does not identify a row; name more "
                "columns"
            )

    def _is_keyed(self, session: SqlSession) -> bool:
        """Whether the order key currently tells all rows apart: if it may hold NULLs, the table is queried."""
        key = self.plan.order_key
        if key is None or not self.plan.cursor:
            return False
        if not key.nullable:
            return True
        query = TableQuery(self.plan, self._backend)
        is_null = sa.or_(*(query.column(name).is_(None) for name in key.columns))
        return not session.all(query.all_rows(ONE).where(is_null).limit(1))

    def _cached_kinds(self, session: SqlSession) -> Mapping[str, Kind]:
        if self._kinds is None:
            if self._backend.reads_kinds:
                session.begin()
            self._kinds = self._backend.kinds(session, TableQuery(self.plan, self._backend, keyed=False))
            session.end()
        return self._kinds


class IncrementalStream(SqlStream, BoundedPartition):
    """A table that is read by its cursor."""

    _read_end: tuple[Mapping[str, Any], ReadEnd] | None = None
    """The end of the read that follows."""

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Reads the highest cursor, and the rows that the state remembers: those within ``lookback`` of it, and those
        without a cursor."""
        self._check()
        with SqlSession(self._backend) as session:
            query, payload_builder, _ = self._prepared(session, state)
            return IncrementalReader(self._backend, session, query, payload_builder, self.now()).end(state)

    def end_of_read(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check()
        with SqlSession(self._backend) as session:
            query, payload_builder, _ = self._prepared(session, state)
            reader = IncrementalReader(self._backend, session, query, payload_builder, self.now())
            self._read_end = reader.end_of_read(state)
        return self._read_end[0]

    def split(
        self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None, *, parts: int, min_rows: int
    ) -> Sequence[StreamPartition]:
        self._check()
        with SqlSession(self._backend) as session:
            return self._splitter(session, parts, min_rows).after(self, state, end)

    def count(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> int | None:
        """The rows from ``lookback`` below the state to the end, less those that the state remembers."""
        self._check()
        with SqlSession(self._backend) as session:
            query, payload_builder, _ = self._prepared(session, state)
            return IncrementalReader(self._backend, session, query, payload_builder, self.now()).count(state, end)

    def check(self) -> None:
        """The keys, and the formats of the cursor's values: one pass over the cursor column."""
        self.end({})

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        ended, self._read_end = self._read_end, None  # another attempt looks again
        is_same = ended is not None and end is not None and dict(end) == ended[0]
        return self._payloads(state, end, ended[1] if ended is not None and is_same else None)

    def read_remembered(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """What ``read`` yields, without the rows above the state."""
        return self._payloads(state, end, remembered=True)


class RowsWithHashes(SqlStream):
    """Some rows of a table, which are read without a state."""

    def __init__(
        self,
        plan: TablePlan,
        backend: Backend,
        hashes: frozenset[int],
        columns: tuple[str, ...],
        *,
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        super().__init__(plan, backend, now=now)
        self._hashes, self._columns = hashes, columns

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        self._check()
        with SqlSession(self._backend) as session:
            proof = self._table_proof(session, self._columns, whole_rows=False)
            yield from proof.rows_with_keys(list(proof.raw_keys(self._hashes)))


def plan_streams(
    tables: Sequence[TableInfo], config: SqlConfig, backend: Backend, state: DataSourceState
) -> list[SqlStream]:
    """A stream for each table, and for each view that is asked for.

    :raises ConfigurationError: for options of a table, or globs of views, that match nothing.
    """
    known = {table.name: table for table in tables}
    if reserved := [name for name in config.tables if name.lower().startswith(RESERVED_PREFIX)]:
        raise ConfigurationError(
            f"tables: {reserved[0]!r} is not read: tables whose names begin with {RESERVED_PREFIX} are the "
            "framework's, which a destination leaves beside the tables it lands"
        )
    own = {
        find_name(name, known, config_path="tables", what="a table or view of the database"): options
        for name, options in config.tables.items()
    }
    views = [table.name for table in tables if table.kind == "view"]
    for pattern in config.views:
        if not any(fnmatchcase(name, pattern) for name in views):
            raise ConfigurationError(f"views: {pattern!r} matches no view{hint(pattern, views)}")
    selected = [
        table
        for table in tables
        if table.kind == "table" or any(fnmatchcase(table.name, pattern) for pattern in config.views)
    ]
    if unread := sorted(set(own) - {table.name for table in selected}):
        raise ConfigurationError(f"tables: {unread} are views that are not read; name them in views")
    plans = [make_plan(table, config, own.get(table.name)) for table in selected]
    streams = []
    for plan in plans:
        backend.check_plan(plan)
        table = plan.table
        before = state.of(table.name)
        explicit = own.get(table.name) is not None and own[table.name].cursor is not None
        lost = str(before.get("cursor")) if before and not plan.cursor and not explicit else None
        stream_type = IncrementalStream if plan.cursor and not plan.backfill else SqlStream
        streams.append(stream_type(plan, backend, lost_cursor=lost))
    return streams
