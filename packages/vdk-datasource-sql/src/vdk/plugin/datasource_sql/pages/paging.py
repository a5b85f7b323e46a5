# SPDX-License-Identifier: Apache-2.0
"""Reading a range of cursors page by page, in one of four ways.

Which one depends on the indexes. Pages with LIMIT need one that leads with the cursor: without it
every page scans the table again (measured in semantics.md: 3.9 s where one scan takes 1.1 s).

========== ============ ==================================================================================
index on   unique key   pages
========== ============ ==================================================================================
cursor+key yes          LIMIT by (cursor, key)
cursor     yes          LIMIT by (cursor, key); rows of one cursor that fill a page: one query for all of them
cursor     no           LIMIT by cursor, cut where the cursor changes; rows of one cursor: one query
none       yes, no      one sorted query; the very first pass: LIMIT by key
========== ============ ==================================================================================

A LIMIT page is a transaction of its own. "One query" is one transaction while it lasts: in SQLite's
rollback-journal mode writers wait for its end, in WAL mode they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from vdk.plugin.datasource_base.contract import ConfigurationError

from ..expressions import PAGE_ROWS, Condition, Expression, Statement, last_row, last_row_values, page_limit
from ..kinds import is_undecodable
from ..session import Row, SqlSession
from ..statements import CursorRange, TableQuery, rows_after
from .bulk import ArrowRows, BulkPass, BulkReader

Position = tuple[Any, tuple[Any, ...] | None]
"""A cursor and a key; key None: after every row with that cursor."""
T = TypeVar("T")
PAGE_BYTES = 64 * 2**20
ResumeOrder = Literal["cursor", "key", "nulls"]


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The position of an unfinished pass.

    :param order: what its pages are ordered by; ``nulls``: it is among the rows without a cursor.
    :param cursor: of the last row, for ``order`` cursor.
    :param key: of the last row; None: every row with that cursor is delivered.
    :param upper: the pass ends here, inclusively; None: all cursors were NULL.
    """

    order: ResumeOrder
    cursor: Any
    key: tuple[Any, ...] | None
    upper: Any


@dataclass(frozen=True, slots=True)
class BulkPage:
    """A page that was read in bulk: all its rows lie above those that an earlier pass delivered."""

    rows: ArrowRows
    resume: ResumePoint


@dataclass(frozen=True, slots=True)
class RowPage:
    """Some rows.

    :param resume: where to continue after them; None: not here, rows with this cursor are left.
    :param has_cursor: False: no row has a cursor that can be compared.
    """

    rows: list[Row]
    resume: ResumePoint | None
    has_cursor: bool = True


class PageSizer:
    """How many rows a page has: the configured number, fewer if rows are so wide that memory would not suffice."""

    def __init__(self, page_rows: int) -> None:
        self._limit = page_rows
        self._next = min(page_rows, 5_000)

    def __call__(self) -> int:
        return self._next

    def record_page(self, rows: int, size: int) -> None:
        """The last page had ``rows`` rows in ``size`` bytes."""
        if rows:
            self._next = max(1, min(self._limit, PAGE_BYTES * rows // max(size, 1)))


class PageReader:
    """The pages of one pass.

    :param upper: the end of the pass, which its resume points contain.
    :param bulk: what reads pages with LIMIT faster, after a first one.
    :param known: rows up to this cursor are not read in bulk, for each has to be looked at; None: there are none.
    :param window: see ``BulkPass``.
    """

    def __init__(
        self,
        session: SqlSession,
        query: TableQuery,
        page_sizer: PageSizer,
        upper: Any,
        *,
        bulk: BulkReader | None = None,
        known: Any = None,
        window: Any = None,
    ) -> None:
        self._session, self._query, self._page_sizer, self._upper = session, query, page_sizer, upper
        self._bulk, self._known, self._window = bulk, known, window
        self._cursor_index, self._key_indexes = query.cursor_index, query.key_indexes

    def by_cursor(self, cursors: CursorRange, start: ResumePoint | None) -> Iterator[RowPage | BulkPage]:
        """Rows in the range after ``start``, ascending."""
        position = None if start is None else (start.cursor, start.key)
        if self._query.index_level == "none":
            return self._streamed(cursors, position)
        return self._limited(cursors, position)

    def by_key(self, cursors: CursorRange, start: ResumePoint | None) -> Iterator[RowPage | BulkPage]:
        """Rows in the range after ``start`` in the order of the key. One pass over the table."""
        return self._key_pages("key", self._query.between(cursors), start)

    def nulls(self, start: ResumePoint | None) -> Iterator[RowPage | BulkPage]:
        """Rows without a cursor."""
        query = self._query
        is_null: list[Condition] = [query.lacks_cursor]
        if query.key is not None and query.index_level != "cursor":
            return self._key_pages("nulls", is_null, start)
        if start is not None and start.key is not None and query.key is not None:
            is_null.append(query.after_key(start.key))
        return self._null_stream(is_null)

    def _limited(self, cursors: CursorRange, position: Position | None) -> Iterator[RowPage | BulkPage]:
        query, conditions = self._query, self._query.between(cursors)
        first = query.rows(*conditions).order_by(*query.order).limit(page_limit())
        after_cursor = first.where(query.cursor > last_row(self._cursor_index))
        after_row = rows_after(query.order, [last_row(index) for index in (self._cursor_index, *self._key_indexes)])
        after_key = first.where(after_row)
        while True:
            limit = self._page_sizer()
            if position is None:
                rows = self._fetch(first, limit)
            elif _is_undecodable(position[0], *(position[1] or ())):
                rows = self._fetch(first.where(query.after(*position)), limit)
            else:
                rows = self._fetch(after_cursor if position[1] is None else after_key, limit, self._values(*position))
            is_full = len(rows) == limit
            kept = rows if query.keys or not is_full else self._whole_groups(rows)
            if kept:
                position = self._moved(position, self._position(kept[-1]))
                yield RowPage(kept, self._resume(*position))
            if not is_full:
                return
            is_new = self._known is None or rows[-1][self._cursor_index] > self._known
            if query.keys and query.index_level == "full" and is_new:
                for page in self._in_bulk(conditions, after_row, query.order, rows[-1]):
                    if page is None:
                        return
                    position = _last_value(page, self._cursor_index), self._last_key(page)
                    yield _page(page, self._resume(*position))
            if not kept or (query.keys and query.index_level == "cursor" and self._is_one_group(rows)):
                group = rows[-1][self._cursor_index]
                yield from self._group(group, position[1] if kept and position is not None else None)
                position = (group, None)

    def _group(self, cursor: Any, key: tuple[Any, ...] | None) -> Iterator[RowPage]:
        """All rows of one cursor, after ``key`` if there is one, in one query."""
        query = self._query
        after = [] if key is None else [query.after_key(key)]
        conditions = [*query.between(CursorRange(cursor, cursor)), *after]
        self._session.begin()
        for rows in self._session.stream(query.rows(*conditions).order_by(*query.keys), self._page_sizer):
            yield RowPage(rows, self._resume(cursor, self._key(rows[-1])) if query.keys else None)
        yield RowPage([], self._resume(cursor, None))

    def _streamed(self, cursors: CursorRange, position: Position | None) -> Iterator[RowPage]:
        query = self._query
        conditions = [*query.between(cursors), *([] if position is None else [query.after(*position)])]
        self._session.begin()
        held: list[Row] = []
        for rows in self._session.stream(query.rows(*conditions).order_by(*query.order), self._page_sizer):
            if query.keys:
                yield RowPage(rows, self._resume(*self._position(rows[-1])))
                continue
            if held and held[-1][self._cursor_index] != rows[0][self._cursor_index]:
                yield RowPage(held, self._resume(*self._position(held[-1])))
                held = []
            if complete := self._whole_groups(rows):
                yield RowPage(held + complete, self._resume(*self._position(complete[-1])))
                held = rows[len(complete) :]
            else:
                if held:
                    yield RowPage(held, None)
                held = rows
        if held:
            yield RowPage(held, self._resume(*self._position(held[-1])))

    def _key_pages(
        self, order: ResumeOrder, conditions: Sequence[Condition], start: ResumePoint | None
    ) -> Iterator[RowPage | BulkPage]:
        query, key = self._query, None if start is None else start.key
        first = query.rows(*conditions).order_by(*query.keys).limit(page_limit())
        after_row = rows_after(query.keys, [last_row(index) for index in self._key_indexes])
        after_key = first.where(after_row)
        while True:
            limit = self._page_sizer()
            if key is None:
                rows = self._fetch(first, limit)
            elif _is_undecodable(*key):
                rows = self._fetch(first.where(query.after_key(key)), limit)
            else:
                rows = self._fetch(after_key, limit, self._values(None, key))
            if rows:
                key = self._moved(key, self._key(rows[-1]))
                yield RowPage(rows, ResumePoint(order, None, key, self._upper), order != "nulls")
            if len(rows) < limit:
                return
            if order == "key":
                for page in self._in_bulk(conditions, after_row, query.keys, rows[-1]):
                    if page is None:
                        return
                    key = self._last_key(page)
                    yield _page(page, ResumePoint(order, None, key, self._upper))

    def _last_key(self, page: ArrowRows | list[Row]) -> tuple[Any, ...]:
        return tuple(_last_value(page, index) for index in self._key_indexes)

    def _in_bulk(
        self, conditions: Sequence[Condition], next_page: Expression, order: Sequence[Expression], last: Row
    ) -> Iterator[ArrowRows | list[Row] | None]:
        """Pages after a row, read in bulk: all of them (then None), some, or none."""
        if self._bulk is not None and self._bulk.should_use(self._session):
            start = {index: last[index] for index in (self._cursor_index, *self._key_indexes)}
            yield from self._bulk.pages(BulkPass(conditions, next_page, order, start, self._page_sizer(), self._window))

    def _null_stream(self, conditions: Sequence[Condition]) -> Iterator[RowPage]:
        query = self._query
        self._session.begin()
        for rows in self._session.stream(query.rows(*conditions).order_by(*query.keys), self._page_sizer):
            resume = ResumePoint("nulls", None, self._key(rows[-1]), self._upper) if query.keys else None
            yield RowPage(rows, resume, has_cursor=False)

    def _fetch(self, statement: Statement, limit: int, values: Mapping[str, Any] | None = None) -> list[Row]:
        """A page in a transaction of its own, or the one that is held."""
        self._session.begin()
        try:
            return self._session.all(statement, {PAGE_ROWS: limit, **(values or {})})
        finally:
            self._session.end()

    def _moved(self, before: T | None, now: T) -> T:
        """``now``. Raises ``ConfigurationError`` if the next page would be the same again."""
        if now == before:
            plan = self._query.plan
            raise ConfigurationError(
                f"stream {plan.name!r}: the rows after {now!r} end with it again, because the driver returns fewer "
                f"digits than the database compares; read the table whole with {plan.config_path}.cursor = false, or "
                "name a cursor of no more than six fractional digits"
            )
        return now

    def _whole_groups(self, rows: list[Row]) -> list[Row]:
        """``rows`` without those of the last cursor: there may be more of them."""
        index, last = self._cursor_index, rows[-1][self._cursor_index]
        end = len(rows)
        while end and rows[end - 1][index] == last:
            end -= 1
        return rows[:end]

    def _is_one_group(self, rows: list[Row]) -> bool:
        return bool(rows[0][self._cursor_index] == rows[-1][self._cursor_index])

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[index] for index in self._key_indexes)

    def _position(self, row: Row) -> Position:
        return row[self._cursor_index], self._key(row) if self._query.keys else None

    def _values(self, cursor: Any, key: tuple[Any, ...] | None) -> dict[str, Any]:
        return last_row_values({self._cursor_index: cursor, **dict(zip(self._key_indexes, key or (), strict=False))})

    def _resume(self, cursor: Any, key: tuple[Any, ...] | None) -> ResumePoint:
        return ResumePoint("cursor", cursor, key, self._upper)


def _page(page: ArrowRows | list[Row], resume: ResumePoint) -> RowPage | BulkPage:
    return RowPage(page, resume) if isinstance(page, list) else BulkPage(page, resume)


def _last_value(page: ArrowRows | list[Row], column: int) -> Any:
    return page[-1][column] if isinstance(page, list) else page.value(-1, column)


def _is_undecodable(*values: Any) -> bool:
    """Whether a value needs an expression of its own: see ``ExpressionBuilder.bound``."""
    return any(is_undecodable(value) for value in values)
