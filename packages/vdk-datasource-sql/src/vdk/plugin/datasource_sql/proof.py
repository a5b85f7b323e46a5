# SPDX-License-Identifier: Apache-2.0
"""What a table has now, and which of its rows a state claims to have landed.

============================== ==========================================================================
rows                           claimed
============================== ==========================================================================
below ``lookback`` of the      yes, whatever changed in them since: no later run reads them again
high watermark
from there to the high         if the state remembers them as they are: the next run delivers any other
watermark, and those without   one, which committed late or has changed
a cursor
above the high watermark,      no: they have changed since, or the run did not read them
or below ``initial_value``
============================== ==========================================================================

All of it is read in one snapshot, through the types of the read itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import DataSourcePayload, ProofRows
from vdk.plugin.datasource_base.parts import row_hashes

from .backend import Backend
from .expressions import Condition
from .incremental.bounds import lower_bound, window_start
from .incremental.seen_rows import SeenRows, shape_of
from .incremental.state import StreamProgress, decode
from .pages.paging import PageSizer
from .pages.payload_builder import PayloadBuilder
from .plans.planning import TablePlan
from .session import Row, SqlSession
from .statements import CursorRange, TableQuery

KEYS_AT_ONCE = 50
"""Keys in the condition of one statement."""


def compared_columns(plan: TablePlan, *, values: bool) -> tuple[str, ...]:
    """The key and the cursor; all columns if there is no key, or where the values are compared."""
    if values or not plan.primary_key:
        return plan.columns
    return tuple(dict.fromkeys([*plan.primary_key, *(name for name in plan.cursor if name in plan.columns)]))


class TableProof:
    """The rows of one table, in an open session.

    :param query: of the columns that are compared. :param full: of all columns, as the state remembers rows by them.
    :param columns: those that are compared.
    """

    def __init__(
        self,
        session: SqlSession,
        backend: Backend,
        query: tuple[TableQuery, PayloadBuilder],
        full: tuple[TableQuery, PayloadBuilder],
        columns: Sequence[str],
    ) -> None:
        self._session, self._backend = session, backend
        self._query, self._builder = query
        self._full, self._full_builder = full
        self._columns = list(columns)
        self._plan = self._full.plan
        self._page_sizer = PageSizer(self._plan.page_rows)

    def rows(self, state: Mapping[str, Any]) -> Iterator[ProofRows]:
        """Every row once. Raises ``StateError`` for a state from which this table cannot be read."""
        if not self._plan.cursor:
            yield from self._read([], claimed=True)
            return
        key = self._full.key.columns if self._full.key is not None else ()
        progress = decode(state, self._plan.name, self._plan.cursor, key, self._plan.primary_key)
        info = self._backend.cursor_info(self._session, self._full, progress.type)
        includes_nulls = self._plan.options.null_cursor in (None, "include")
        lacking: list[list[Condition]] = [[self._full.lacks_cursor]] if info.nulls else []
        if info.format is None or progress.high is None:
            yield from self._read([self._query.has_cursor], claimed=False)
            doubtful = lacking if includes_nulls else []
        else:
            first = lower_bound(self._plan, info.format, StreamProgress())
            window = window_start(self._plan, info.format, progress.high)
            window = window if first is None or first <= window else first
            yield from self._read(self._query.between(CursorRange(first, None, window)), claimed=True)
            yield from self._read(
                [self._query.has_cursor, self._query.cursor > self._query.bound(progress.high)], claimed=False
            )
            if first is not None:
                yield from self._read(self._query.between(CursorRange(None, None, first)), claimed=False)
            near = self._full.between(CursorRange(window, progress.high)) if window <= progress.high else None
            doubtful = [*([near] if near is not None else []), *(lacking if includes_nulls else [])]
        yield from self._read_doubtful(doubtful, progress.rows)
        for conditions in [] if includes_nulls else lacking:
            yield from self._read(conditions, claimed=False)

    def _read(self, conditions: Sequence[Condition], *, claimed: bool) -> Iterator[ProofRows]:
        for rows in self._session.stream(self._query.rows(*conditions), self._page_sizer, release=False):
            for table in _tables(self._builder.payloads(rows)):
                yield ProofRows(table.select(self._columns), claimed)

    def _read_doubtful(self, conditions: Sequence[Sequence[Condition]], known: SeenRows) -> Iterator[ProofRows]:
        """Rows that are claimed if the state remembers them as they are now."""
        shape = shape_of({name: self._plan.table.columns[name] for name in self._full.names})
        remembers = bool(known.size) and known.shape in ("", shape)
        if remembers and known.is_summed:
            known.verify(known.hash(row) for rows in self._pages(conditions) for row in rows)
        for rows in self._pages(conditions):
            claimed = [remembers and known.consume(known.hash(row)) for row in rows]
            for is_claimed in (True, False):
                chosen = [row for row, mark in zip(rows, claimed, strict=True) if mark is is_claimed]
                for table in _tables(self._full_builder.payloads(chosen)) if chosen else ():
                    yield ProofRows(table.select(self._columns), is_claimed)

    def _pages(self, conditions: Sequence[Sequence[Condition]]) -> Iterator[list[Row]]:
        for each in conditions:
            yield from self._session.stream(self._full.rows(*each), self._page_sizer, release=False)

    def raw_keys(self, hashes: Collection[int]) -> Iterator[Row]:
        """The primary keys, as the driver returns them, of the rows with one of these hashes."""
        indexes = [self._query.names.index(name) for name in self._plan.primary_key]
        for rows in self._session.stream(self._query.rows(), self._page_sizer, release=False):
            for row, row_hash in zip(rows, self._hashes(rows), strict=True):
                if row_hash in hashes:
                    yield tuple(row[index] for index in indexes)

    def _hashes(self, rows: Sequence[Row]) -> list[int | None]:
        """The hash of each row; None: the row does not land."""
        tables = list(_tables(self._builder.payloads(rows)))
        if sum(table.num_rows for table in tables) == len(rows):
            return [row_hash for table in tables for row_hash in row_hashes(table.select(self._columns))]
        hashes: list[int | None] = []
        for row in rows:
            tables = list(_tables(self._builder.payloads([row])))
            hashes.append(row_hashes(tables[0].select(self._columns))[0] if tables else None)
        return hashes

    def rows_with_keys(self, keys: Sequence[Row]) -> Iterator[DataSourcePayload]:
        """The rows with these primary keys, with all columns that land."""
        for start in range(0, len(keys), KEYS_AT_ONCE):
            chosen = sa.or_(*(self._has_key(key) for key in keys[start : start + KEYS_AT_ONCE]))
            for rows in self._session.stream(self._full.rows(chosen), self._page_sizer, release=False):
                for payload in self._full_builder.payloads(rows):
                    if payload.data is not None:
                        yield payload

    def _has_key(self, key: Row) -> sa.ColumnElement[bool]:
        columns = zip(self._plan.primary_key, key, strict=True)
        return sa.and_(*(self._full.column(name) == self._full.bound(value) for name, value in columns))


def _tables(payloads: Iterator[DataSourcePayload]) -> Iterator[pa.Table]:
    """The rows that land: not those that are marked as deleted, nor those that do not fit."""
    for payload in payloads:
        if isinstance(payload.data, pa.Table) and payload.kind == "rows":
            yield payload.data
