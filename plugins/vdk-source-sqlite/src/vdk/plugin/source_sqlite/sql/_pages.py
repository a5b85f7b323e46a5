"""Reading a range of cursors page by page, in one of four ways.

Which one is a matter of indexes. Pages with LIMIT need one that leads with the cursor: without it
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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ._bulk import Bulk, BulkPass, Proven, Slot
from ._expression import Expression
from ._query import Query, Range
from ._session import Row, Session
from ._state import Resume, ResumeOrder

Position = tuple[Any, tuple[Any, ...] | None]
"""A cursor and a key; key None: behind every row with that cursor."""
PAGE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class BulkPage:
    """A page that was read in bulk: all its rows lie above those that an earlier pass delivered."""

    rows: Proven
    resume: Resume


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where to continue behind them; None: not here, rows with this cursor are left."""

    rows: list[Row]
    resume: Resume | None


class Pace:
    """How many rows a page has: what was asked for, unless rows are so wide that memory would not do."""

    def __init__(self, page_rows: int) -> None:
        self._wanted = page_rows
        self._next = min(page_rows, 5_000)

    def __call__(self) -> int:
        return self._next

    def saw(self, rows: int, size: int) -> None:
        """The last page had ``rows`` rows in ``size`` bytes."""
        if rows:
            self._next = max(1, min(self._wanted, PAGE_BYTES * rows // max(size, 1)))


class Pages:
    """The pages of one pass.

    :param upper: what their resume points say about the end of the pass.
    :param bulk: what reads pages with LIMIT faster, behind a first one.
    :param known: rows up to this cursor are not read in bulk, for each has to be looked at; None: there are none.
    :param window: see ``BulkPass``.
    """

    def __init__(
        self,
        session: Session,
        query: Query,
        pace: Pace,
        upper: Any,
        *,
        bulk: Bulk | None = None,
        known: Any = None,
        window: Any = None,
    ) -> None:
        self._session, self._query, self._pace, self._upper = session, query, pace, upper
        self._bulk, self._known, self._window = bulk, known, window
        self._cursor_index, self._key_at = query.cursor_index, query.key_indexes

    def by_cursor(self, span: Range, start: Resume | None) -> Iterator[Page | BulkPage]:
        """Rows in ``span`` behind ``start``, ascending."""
        at = None if start is None else (start.cursor, start.key)
        if self._query.index_level == "none":
            return self._streamed(span, at)
        return self._limited(span, at)

    def by_key(self, span: Range, start: Resume | None) -> Iterator[Page | BulkPage]:
        """Rows in ``span`` behind ``start`` in the order of the key. One pass over the table."""
        return self._key_pages("key", self._query.between(span), start)

    def nulls(self, start: Resume | None) -> Iterator[Page | BulkPage]:
        """Rows without a cursor."""
        query = self._query
        is_null: list[Expression] = [query.cursor.is_null()]
        if query.key is not None and query.index_level != "cursor":
            return self._key_pages("nulls", is_null, start)
        if start is not None and start.key is not None and query.key is not None:
            is_null.append(query.after_key(start.key))
        return self._null_stream(is_null)

    def _limited(self, span: Range, at: Position | None) -> Iterator[Page | BulkPage]:
        query = self._query
        while True:
            wanted = self._pace()
            behind = [] if at is None else [query.after(*at)]
            statement = query.rows(*query.between(span), *behind).order_by(query.cursor, *query.keys)
            rows = self._fetch(statement.limit(wanted))
            full = len(rows) == wanted
            kept = rows if query.keys or not full else self._whole_groups(rows)
            if kept:
                at = self._position(kept[-1])
                yield Page(kept, self._resume(*at))
            if not full:
                return
            if (
                query.keys
                and query.index_level == "full"
                and (self._known is None or rows[-1][self._cursor_index] > self._known)
            ):
                behind_page = query.after(Slot(self._cursor_index), tuple(map(Slot, self._key_at)))
                order = (query.cursor, *query.keys)
                for page in self._in_bulk(query.between(span), behind_page, order, rows[-1]):
                    if page is None:
                        return
                    at = page.value(-1, self._cursor_index), tuple(page.value(-1, one) for one in self._key_at)
                    yield BulkPage(page, self._resume(*at))
            if not kept or (query.keys and query.index_level == "cursor" and self._is_one_group(rows)):
                group = rows[-1][self._cursor_index]
                yield from self._group(group, at[1] if kept and at is not None else None)
                at = (group, None)

    def _group(self, cursor: Any, key: tuple[Any, ...] | None) -> Iterator[Page]:
        """All rows of one cursor, behind ``key`` if there is one, in one query."""
        query = self._query
        behind = [] if key is None else [query.after_key(key)]
        conditions = [*query.between(Range(cursor, cursor)), *behind]
        self._session.begin()
        for rows in self._session.stream(query.rows(*conditions).order_by(*query.keys), self._pace):
            yield Page(rows, self._resume(cursor, self._key(rows[-1])) if query.keys else None)
        yield Page([], self._resume(cursor, None))

    def _streamed(self, span: Range, at: Position | None) -> Iterator[Page]:
        query = self._query
        conditions = [*query.between(span), *([] if at is None else [query.after(*at)])]
        self._session.begin()
        held: list[Row] = []
        for rows in self._session.stream(query.rows(*conditions).order_by(query.cursor, *query.keys), self._pace):
            if query.keys:
                yield Page(rows, self._resume(*self._position(rows[-1])))
                continue
            if held and held[-1][self._cursor_index] != rows[0][self._cursor_index]:
                yield Page(held, self._resume(*self._position(held[-1])))
                held = []
            if complete := self._whole_groups(rows):
                yield Page(held + complete, self._resume(*self._position(complete[-1])))
                held = rows[len(complete) :]
            else:
                if held:
                    yield Page(held, None)
                held = rows
        if held:
            yield Page(held, self._resume(*self._position(held[-1])))

    def _key_pages(self, order: ResumeOrder, conditions: list[Any], start: Resume | None) -> Iterator[Page | BulkPage]:
        query, key = self._query, None if start is None else start.key
        while True:
            wanted = self._pace()
            behind = [] if key is None else [query.after_key(key)]
            rows = self._fetch(query.rows(*conditions, *behind).order_by(*query.keys).limit(wanted))
            if rows:
                key = self._key(rows[-1])
                yield Page(rows, Resume(order, None, key, self._upper))
            if len(rows) < wanted:
                return
            if order == "key":
                behind_page = query.after_key(tuple(map(Slot, self._key_at)))
                for page in self._in_bulk(conditions, behind_page, query.keys, rows[-1]):
                    if page is None:
                        return
                    key = tuple(page.value(-1, one) for one in self._key_at)
                    yield BulkPage(page, Resume(order, None, key, self._upper))

    def _in_bulk(
        self, conditions: Sequence[Expression], behind: Expression, order: Sequence[Expression], last: Row
    ) -> Iterator[Proven | None]:
        """Pages behind a row, read in bulk: all there are (then None), some, or none."""
        if self._bulk is not None and self._bulk.worthwhile(self._session):
            after = {at: last[at] for at in (self._cursor_index, *self._key_at)}
            wanted = BulkPass(conditions, behind, order, after, self._pace(), self._window)
            yield from self._bulk.pages(wanted)

    def _null_stream(self, conditions: list[Any]) -> Iterator[Page]:
        query = self._query
        self._session.begin()
        for rows in self._session.stream(query.rows(*conditions).order_by(*query.keys), self._pace):
            yield Page(rows, Resume("nulls", None, self._key(rows[-1]), self._upper) if query.keys else None)

    def _fetch(self, statement: Any) -> list[Row]:
        """A page in a transaction of its own, or the one that is held."""
        self._session.begin()
        try:
            return self._session.all(statement)
        finally:
            self._session.end()

    def _whole_groups(self, rows: list[Row]) -> list[Row]:
        """``rows`` without those of the last cursor: there may be more of them."""
        at, last = self._cursor_index, rows[-1][self._cursor_index]
        end = len(rows)
        while end and rows[end - 1][at] == last:
            end -= 1
        return rows[:end]

    def _is_one_group(self, rows: list[Row]) -> bool:
        return bool(rows[0][self._cursor_index] == rows[-1][self._cursor_index])

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[at] for at in self._key_at)

    def _position(self, row: Row) -> Position:
        return row[self._cursor_index], self._key(row) if self._query.keys else None

    def _resume(self, cursor: Any, key: tuple[Any, ...] | None) -> Resume:
        return Resume("cursor", cursor, key, self._upper)
