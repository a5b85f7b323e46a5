"""One incremental reading: which records are new, and how far it has got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from vdk.plugin.datasource_base.contract import BadRecordError

from .cursors import REMEMBERED, Cursor, Watermark, digest
from .extract import compiled
from .http.types import Row

_COMPACT = 2000
"""Digests that are kept without a look at whether they are still needed."""


@dataclass(slots=True)
class Taken:
    """What a page comes to.

    :param rows: to be delivered.
    :param bad: records whose cursor cannot be read, with the reason.
    :param counts: for the run's summary.
    :param past: a descending stream has come to records that are known.
    """

    rows: list[Row] = field(default_factory=list)
    bad: list[tuple[Row, BadRecordError]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    past: bool = False


class Incremental:
    """Filters the pages of all windows of a run, and keeps the highest value that was seen.

    :param filtering: drop records below the lower bound: the API was not asked to, or repeated ones
        would land twice.
    :param keyed: equal records are one record, since they have the same primary key; otherwise a second one
        that equals the first is another record.
    :param now: microseconds since 1970; a watermark of times does not go above it, or one record of the
        future would hide all others.
    """

    def __init__(
        self, cursor: Cursor, mark: Watermark | None, *, stream: str, filtering: bool, keyed: bool, now: int
    ) -> None:
        self._cursor = cursor
        self._mark = mark
        self._stream = stream
        self._now = now
        self._filtering = filtering
        self._keyed = keyed
        self._value_of = compiled(cursor.config.field).search
        self._plain = cursor.config.field.isidentifier()
        self._from = mark.high if mark is not None else cursor.config.initial
        self._high: Any = cursor.parse(mark.high) if mark is not None else None
        self._raw: Any = mark.high if mark is not None else None
        first = cursor.parse(self._from) if self._from is not None else None
        self.lower = cursor.lower_of(first) if mark is not None else first
        self._exactly = self.lower == first and cursor.config.param_format is None
        self._seen: Any = None
        self._seen_raw: Any = None
        self._future: Any = None
        self._last: Any = None
        self._limit: int | None = None
        self._stored = Counter(mark.known) if mark is not None else Counter[bytes]()
        self._earlier: Counter[bytes] = Counter()
        self._near: list[tuple[Any, bytes]] = []
        self._room = _COMPACT
        self._since_mark = 0
        self.is_empty = True
        """No record with a value came in this window."""
        self.forgot = False
        """More records share the overlap than are remembered."""
        self.without: Row | None = None
        """A record without a value."""

    @property
    def like(self) -> Any:
        """A value in the style that the parameters are written in."""
        return self._from if self._from is not None else "2000-01-01T00:00:00Z"

    def lower_param(self, start: Any) -> Any:
        """The beginning of a window as the API writes it; None: there is none yet."""
        if start is None:
            return None
        return self._from if start == self.lower and self._exactly else self._cursor.write(start, self._from)

    def begin(self, limit: int | None) -> None:
        """Before each window.

        :param limit: where it ends; what is above is read later. None: it is the last one.
        """
        self._limit, self._last, self.is_empty = limit, None, True
        self._earlier = self._digests()

    def take(self, rows: Sequence[Row]) -> Taken:
        """The rows of a page that are to be delivered."""
        taken = Taken()
        field, parse, lower = self._cursor.config.field, self._cursor.parse, self.lower
        ordered, known = self._cursor.config.order != "any", bool(self._stored or self._earlier)
        any_value = False
        fresh: list[tuple[Any, Row]] = []
        deliver, remember = taken.rows.append, fresh.append
        for row in rows:
            raw = row.get(field) if self._plain else self._value_of(row)
            if raw is None:
                self._without(row, taken, fresh)
                continue
            try:
                value = parse(raw)
            except (ValueError, TypeError, OverflowError) as error:
                taken.bad.append((row, self._bad(row, raw, error)))
                continue
            if ordered:
                self._check_order(value, raw)
            if lower is not None and value < lower and self._is_before(taken):
                continue
            if self._seen is None or value > self._seen:
                self._rise(value, raw)
            if known:
                self._deliver(row, value, taken, fresh)
            else:
                deliver(row)
                remember((value, row))
            any_value = True
        self.is_empty = self.is_empty and not any_value
        self._remember(fresh)
        self._since_mark += len(taken.rows)
        return taken

    def _is_before(self, taken: Taken) -> bool:
        """A row below the lower bound: whether it is left out."""
        taken.past |= self._cursor.config.order == "descending"
        if self._filtering:
            taken.counts["rows_before_cursor"] += 1
        return self._filtering

    def _rise(self, value: Any, raw: Any) -> None:
        """A value of the future raises nothing: it would hide the records that come until then."""
        if self._cursor.is_time and value > self._now:
            self._future = raw
        else:
            self._seen, self._seen_raw = value, raw

    def _without(self, row: Row, taken: Taken, fresh: list[tuple[Any, Row]]) -> None:
        taken.counts["rows_null_cursor"] += 1
        self.without = row
        policy = self._cursor.config.nulls
        if policy == "fail":
            raise BadRecordError(
                f'a record has no value for the cursor {self._cursor.config.field!r} (cursor.nulls = "fail")',
                stream=self._stream,
                column=self._cursor.config.field,
                key=_beginning(row),
            )
        if policy == "include":
            self._deliver(row, None, taken, fresh)

    def _deliver(self, row: Row, value: Any, taken: Taken, fresh: list[tuple[Any, Row]]) -> None:
        known = digest(row) if self._stored or self._earlier else b""
        if self._is_repeat(self._earlier, known):
            taken.counts["rows_unchanged"] += 1
            return
        fresh.append((value, row))
        if self._is_repeat(self._stored, known):
            taken.counts["rows_unchanged"] += 1
        else:
            taken.rows.append(row)

    def _is_repeat(self, delivered: Counter[bytes], known: bytes) -> bool:
        if not delivered.get(known):
            return False
        if not self._keyed:
            delivered[known] -= 1
        return True

    def _check_order(self, value: Any, raw: Any) -> None:
        order = self._cursor.config.order
        last, self._last = self._last, value
        if last is not None and (value < last if order == "ascending" else value > last):
            raise BadRecordError(
                f"the records are not in the order that cursor.order = {order!r} says: this one comes after another "
                "with a " + ("higher" if order == "ascending" else "lower") + ' value; say "any"',
                stream=self._stream,
                column=self._cursor.config.field,
                value=raw,
            )

    def _bad(self, row: Row, raw: Any, error: Exception) -> BadRecordError:
        return BadRecordError(
            f"the cursor's value is no {self._cursor.config.type}: {error}",
            stream=self._stream,
            column=self._cursor.config.field,
            key=_beginning(row),
            value=raw,
        )

    def _remember(self, fresh: Sequence[tuple[Any, Row]]) -> None:
        """Keep digests of the rows that may come again, before anybody else may change the rows."""
        lowest = self._lowest()
        self._near += [(value, digest(row)) for value, row in fresh if _reaches(value, lowest)]
        if len(self._near) > self._room:
            self._compact()

    def _compact(self) -> None:
        """Let go of rows that the next reading will not come across; of too many, the lowest."""
        lowest = self._lowest()
        self._near = [entry for entry in self._near if _reaches(entry[0], lowest)]
        if len(self._near) > REMEMBERED:
            self._near.sort(key=lambda entry: (1,) if entry[0] is None else (0, entry[0]))
            del self._near[:-REMEMBERED]
            self.forgot = True
        self._room = max(_COMPACT, 2 * len(self._near))

    def _lowest(self) -> Any:
        """The lowest value that the next window or run may read again; None: any."""
        reached = [value for value in (self._high, self._reached(self._limit)) if value is not None]
        if not reached:
            return None
        lowest = self._cursor.lower_of(max(reached))
        if self._filtering or not self._cursor.is_time:
            return lowest
        return self._cursor.as_written(lowest, self.like)

    def _reached(self, limit: int | None) -> Any:
        return self._seen if limit is None or self._seen is None else min(self._seen, limit)

    def _digests(self) -> Counter[bytes]:
        return Counter(known for _, known in self._near)

    def pass_empty(self, end: int) -> None:
        """A window had no record, and its end is so long ago that none is expected any more."""
        self._raise_to(end, self._cursor.write(end, self.like, as_param=False))

    def _raise_to(self, value: Any, raw: Any) -> None:
        """The state's value only ever grows."""
        if self._cursor.is_time:
            value = self._cursor.parse(raw)  # which may have less digits than the value
        if self._high is None or value > self._high:
            self._high, self._raw = value, raw

    def page_mark(self) -> Watermark | None:
        """How far an ascending reading has got with this page; None: it is not worth a state yet."""
        if 10 * self._since_mark < len(self._near) + len(self._stored) or self._last is None:
            return None  # a large state with each page would cost more than the page
        limit = self._last if self._limit is None else min(self._last, self._limit)
        return self._marked(limit, final=False)

    def mark(self) -> Watermark | None:
        """How far it has got with this window; None: nothing is known yet."""
        final = self._limit is None
        if final and self._high is None and self._seen is None and self._future is not None:
            self._pass_to_settled()
        return self._marked(self._limit, final=final)

    def _pass_to_settled(self) -> None:
        """All are of the future: a state that knows them, for they would be delivered again by the next run."""
        settled = self._now - self._cursor.config.settle_micros
        end = settled if self.lower is None else max(settled, self.lower)
        self._raise_to(end, self._cursor.write(end, self._future, as_param=False))

    def _marked(self, limit: Any, *, final: bool) -> Watermark | None:
        """:param final: all was read, so what only the old state knows is there no more."""
        reached = self._reached(limit)
        if reached is not None:
            whole = reached == self._seen
            self._raise_to(reached, self._seen_raw if whole else self._written(reached))
        if self._high is None:
            return None
        self._compact()
        self._since_mark = 0
        known = self._digests()
        if not final:
            known = known | self._stored if self._keyed else known + self._stored
        return Watermark(self._raw, Counter(islice(known.elements(), REMEMBERED)))

    def _written(self, value: Any) -> Any:
        return self._cursor.write(value, self._seen_raw, as_param=False)


def _reaches(value: Any, lowest: Any) -> bool:
    """A record without a value comes with every reading."""
    return lowest is None or value is None or value >= lowest


def _beginning(row: Mapping[str, Any]) -> dict[str, Any]:
    """The first fields of a record, for a person to find it."""
    return dict(list(row.items())[:3])
