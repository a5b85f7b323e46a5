"""A table as a stream."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    BadRecordError,
    ConfigurationError,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    StateError,
    StreamSchema,
)
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX

from ._dialect import Dialect
from ._expression import ONE, any_of, as_text, count
from ._facts import TableInfo
from ._idle import idle_options
from ._incremental import Incremental
from ._kinds import ANY, ANY_OR_BYTES, UNFIT, Kind
from ._names import find_name, hint
from ._options import SqlConfig
from ._packer import SAMPLE_ROWS, Packer, schema_of, settle_kind
from ._pages import Pace
from ._plan import Plan, make_plan
from ._query import Query
from ._repairs import repaired
from ._session import Session
from ._state import remedy

log = logging.getLogger(__name__)


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class SqlStream(DataSourceStream):
    """One table or view, and its own only partition.

    With a cursor it is read incrementally; without one it is read whole, in one snapshot, with no state.
    """

    def __init__(
        self, plan: Plan, dialect: Dialect, *, lost_cursor: str | None = None, now: Callable[[], dt.datetime] = utc_now
    ) -> None:
        self.name = plan.name
        self.plan = plan
        self.backfill = plan.backfill
        self.now = now
        self._dialect = dialect
        self._lost_cursor = lost_cursor
        self._kinds: Mapping[str, Kind] | None = None

    def schema(self, table: str | None = None) -> StreamSchema:
        """The table's columns: types by declaration, and by some values where that is not enough."""
        self._check()
        with Session(self._dialect) as session:
            kinds = self._land_as(session)
        cursor = self.plan.cursor[0] if self.plan.cursor else None
        return StreamSchema(schema_of(self.plan, kinds), self.plan.primary_key, cursor)

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        self._check()
        if state and not self.plan.cursor:
            raise self._cursor_is_gone(str(state.get("cursor")))
        with Session(self._dialect) as session:
            kinds = dict(self._land_as(session))  # what waits for a value is settled while it is read
            session.begin()
            query = Query(self.plan, self._dialect, keyed=self._is_keyed(session))
            self._check_keys(session, query, kinds)
            if not state:
                self._check_unique(session, query)
            packer = Packer(self.plan, kinds, query)
            if not self.plan.cursor:
                yield from _read_whole(session, query, packer)
                return
            bulk = self._dialect.bulk(query, kinds)
            incremental = Incremental(session, query, packer, self.now(), bulk)
            try:
                yield from incremental.backfill() if self.plan.backfill else incremental.read(state)
            finally:
                if bulk is not None:
                    bulk.close()

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
            f"{remedy(self.name)}; or name the cursor with {self.plan.place}.cursor"
        )

    def _check_keys(self, session: Session, query: Query, kinds: Mapping[str, Kind]) -> None:
        """Refuse keys that are two at the source and one at the destination: 1 and "1" in a column without a type."""
        names = self.plan.primary_key
        loose = (kinds[name] in (ANY, ANY_OR_BYTES) or kinds[name].read is not None for name in names)
        if not self.plan.cursor or not any(loose):
            return
        texts = [as_text(query.column(name)).collate("BINARY") for name in names]  # two to the destination, too
        doubled = query.select(*texts, count()).group_by(*texts).having(count() > ONE)
        if found := session.all(doubled.limit(1)):
            *key, rows = found[0]
            raise BadRecordError(
                f"{rows} rows have keys that are the same as text; name another key with "
                f"{self.plan.place}.primary_key, or read the table whole with {self.plan.place}.cursor = false",
                stream=self.name,
                column="/".join(names),
                key=key[0] if len(key) == 1 else tuple(key),
            )

    def _check_unique(self, session: Session, query: Query) -> None:
        """Refuse a primary key of the configuration that rows share: the last of them would land, and no other."""
        names = self.plan.primary_key
        unique = any(set(key.columns) <= set(names) for key in self.plan.table.keys)
        if not names or unique or not self.plan.cursor:
            return
        key = [query.column(name).collate("BINARY") for name in names]
        is_full = [query.column(name).is_not_null() for name in names]
        shared = query.select(*key, count()).where(*is_full).group_by(*key).having(count() > ONE)
        if found := session.all(shared.limit(1)):
            *values, rows = found[0]
            raise ConfigurationError(
                f"{self.plan.place}.primary_key: {rows} rows of stream {self.name!r} have the key "
                f"{values[0] if len(values) == 1 else tuple(values)!r}, which does not identify a row then; name more "
                "columns"
            )

    def _is_keyed(self, session: Session) -> bool:
        """Whether the order key tells all rows apart just now: one that may hold NULLs is looked at."""
        key = self.plan.order_key
        if key is None or not self.plan.cursor:
            return False
        if not key.nullable:
            return True
        query = Query(self.plan, self._dialect)
        is_null = any_of(*(query.column(name).is_null() for name in key.columns))
        return not session.all(query.all_rows(ONE).where(is_null).limit(1))

    def _land_as(self, session: Session) -> Mapping[str, Kind]:
        if self._kinds is None:
            session.begin()
            self._kinds = self._settle(session)
            session.end()
        return self._kinds

    def _settle(self, session: Session) -> dict[str, Kind]:
        """How each column lands."""
        plan, query = self.plan, Query(self.plan, self._dialect, keyed=False)
        columns = [query.column(name) for name in plan.columns]
        statement = query.select(*columns)
        rows = session.all(statement.limit(SAMPLE_ROWS))
        if len(rows) == SAMPLE_ROWS and plan.order_key is not None:  # and the newest, which may look different
            newest = statement.order_by(*(query.column(name).descending() for name in plan.order_key.columns))
            rows += session.all(newest.limit(SAMPLE_ROWS))
        samples = list(zip(*rows, strict=True)) or [()] * len(columns)
        kinds = {
            name: self._dialect.kind(plan.table.columns[name], [value for value in sample if value is not None])
            for name, sample in zip(plan.columns, samples, strict=True)
        }
        # A key must land in one form for ever, or its rows are not found again: what depends on the values a column
        # holds just now is text in a key. This sample is a text that is no time.
        kinds |= {name: self._dialect.kind(plan.table.columns[name], ["?"]) for name in plan.primary_key}
        kinds = {name: repaired(plan, name, kind) for name, kind in kinds.items()}
        if plan.options.dynamic_types == "text":
            unsteady = [
                name for name in plan.primary_key if kinds[name] is ANY or pa.types.is_boolean(kinds[name].arrow)
            ]
            kinds |= dict.fromkeys([*unsteady, *_misfits(session, query, kinds)], ANY_OR_BYTES)
        return kinds


def _misfits(session: Session, query: Query, kinds: dict[str, Kind]) -> set[str]:
    """Columns that hold a value which does not land as their kind: one pass over the table. Kinds that wait for a
    value are settled in ``kinds`` by the first one.
    """
    fine = kinds.copy()
    names = list(fine)
    statement = query.select(*map(query.column, names))
    for page in session.stream(statement, lambda: 10_000, release=False):
        for name, values in zip(names, zip(*page, strict=True), strict=True):
            settle_kind(query, fine, name, values)
            if name in fine:
                try:
                    fine[name].array(values)
                except UNFIT:
                    del fine[name]
    kinds |= fine
    return set(kinds) - set(fine)


def _read_whole(session: Session, query: Query, packer: Packer) -> Iterator[DataSourcePayload]:
    """Every row, in one snapshot."""
    pace = Pace(query.plan.page_rows)
    for rows in session.stream(query.rows(), pace):
        for payload in packer.payloads(rows):
            if isinstance(payload.data, pa.Table):
                pace.saw(payload.data.num_rows, payload.data.nbytes)
            if payload.data is not None:
                yield payload


def plan_streams(
    tables: Sequence[TableInfo], config: SqlConfig, dialect: Dialect, state: DataSourceState
) -> list[SqlStream]:
    """A stream for each table, and for each view that is asked for. Warns of options for all tables that hold for none.

    :raises ConfigurationError: for options of a table, or globs of views, that match nothing.
    """
    known = {table.name: table for table in tables}
    if reserved := [name for name in config.tables if name.lower().startswith(RESERVED_PREFIX)]:
        raise ConfigurationError(
            f"tables: {reserved[0]!r} is not read: tables whose names begin with {RESERVED_PREFIX} are the "
            "framework's, which a destination leaves beside the tables it lands"
        )
    own = {
        find_name(name, known, place="tables", what="a table or view of the database"): options
        for name, options in config.tables.items()
    }
    views = [table.name for table in tables if table.kind == "view"]
    for pattern in config.views:
        if not any(fnmatchcase(name, pattern) for name in views):
            raise ConfigurationError(f"views: {pattern!r} matches no view{hint(pattern, views)}")
    wanted = [
        table
        for table in tables
        if table.kind == "table" or any(fnmatchcase(table.name, pattern) for pattern in config.views)
    ]
    if unread := sorted(set(own) - {table.name for table in wanted}):
        raise ConfigurationError(f"tables: {unread} are views that are not read; name them in views")
    plans = [make_plan(table, config, own.get(table.name)) for table in wanted]
    for idle in idle_options(config, plans):
        log.warning("%s", idle)
    streams = []
    for plan in plans:
        table = plan.table
        before = state.of(table.name)
        explicit = own.get(table.name) is not None and own[table.name].cursor is not None
        lost = str(before.get("cursor")) if before and not plan.cursor and not explicit else None
        streams.append(SqlStream(plan, dialect, lost_cursor=lost))
    return streams
