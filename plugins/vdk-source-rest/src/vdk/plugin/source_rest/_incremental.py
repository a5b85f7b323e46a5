"""One incremental reading: which records are new, and how far it has got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vdk.plugin.datasource_base.contract import BadRecordError

from ._cursor import Cursor
from ._messages import Row
from ._paths import compiled
from ._state import REMEMBERED, Watermark, digest, digests

_ALWAYS = object()


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
    """Filters pages and keeps the highest value that was seen.

    :param filtering: drop records below the lower bound: the API was not asked to, or repeated ones
        would land twice.
    :param now: microseconds since 1970; a watermark of times does not go above it, or one record of the
        future would hide all others.
    """

    def __init__(self, cursor: Cursor, mark: Watermark | None, *, stream: str, filtering: bool, now: int) -> None:
        self._cursor = cursor
        self._mark = mark
        self._stream = stream
        self._now = now
        self._filtering = filtering
        self._value_of = compiled(cursor.config.field).search
        self._plain = cursor.config.field.isidentifier()
        initial = cursor.config.initial
        self._from = mark.high if mark is not None else initial
        self.lower = cursor.parse(self._from) if self._from is not None else None
        if mark is not None and cursor.is_time and self.lower is not None:
            self.lower -= cursor.config.lookback_micros
        self._known = mark.known if mark is not None else frozenset()
        self._high: Any = cursor.parse(mark.high) if mark is not None else None
        self._raw: Any = mark.high if mark is not None else None
        self._last: Any = None
        self._future: Any = None
        self._near: list[tuple[Any, Row]] = []
        self.without: Row | None = None
        """A record without a value."""

    def lower_param(self) -> Any:
        """The lower bound as the API writes it; None: there is none yet."""
        if self.lower is None:
            return None
        exactly = self._mark is None or not (self._cursor.is_time and self._cursor.config.lookback_micros)
        if exactly and self._cursor.config.param_format is None:
            return self._from
        return self._cursor.write(self.lower, self._from)

    def take(self, rows: Sequence[Row]) -> Taken:
        """The rows of a page that are to be delivered."""
        taken = Taken()
        field, parse, lower = self._cursor.config.field, self._cursor.parse, self.lower
        ordered, known = self._cursor.config.order != "any", bool(self._known)
        deliver, near = taken.rows.append, self._near.append
        for row in rows:
            raw = row.get(field) if self._plain else self._value_of(row)
            if raw is None:
                self._without(row, taken)
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
            if self._high is None or value > self._high:
                self._rise(value, raw)
            if known:
                self._deliver(row, value, taken)
            else:
                deliver(row)
                near((value, row))
        self._forget()
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
            self._high, self._raw = value, raw

    def _without(self, row: Row, taken: Taken) -> None:
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
            self._deliver(row, _ALWAYS, taken)

    def _deliver(self, row: Row, value: Any, taken: Taken) -> None:
        if self._known and digest(row) in self._known:
            taken.counts["rows_unchanged"] += 1
        else:
            taken.rows.append(row)
        self._near.append((value, row))

    def _check_order(self, value: Any, raw: Any) -> None:
        order = self._cursor.config.order
        if order == "any":
            return
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

    def _forget(self) -> None:
        """Let go of rows that the next reading will not come across; of too many, the lowest."""
        if len(self._near) <= 2 * REMEMBERED:
            return
        self._near = self._window()
        if len(self._near) > REMEMBERED:
            high = self._high
            self._near.sort(key=lambda one: (one[0] is _ALWAYS, high if one[0] is _ALWAYS else one[0]))
            del self._near[:-REMEMBERED]

    def _window(self) -> list[tuple[Any, Row]]:
        high = self._high
        if high is None:
            return self._near
        lower = high - self._cursor.config.lookback_micros if self._cursor.is_time else high
        return [one for one in self._near if one[0] is _ALWAYS or one[0] >= lower]

    def mark(self, upto: int | None = None) -> Watermark | None:
        """How far it has got; None: nothing is known yet.

        :param upto: microseconds since 1970 where the window ended that was read.
        """
        if upto is None and self._high is None and self._future is not None:
            upto = self._now  # all are of the future, which is no reason to read them all again
        if upto is not None:
            like = next(one for one in (self._raw, self._from, self._future) if one is not None)
            self._high = min(upto, self._now)
            self._raw = self._cursor.write(self._high, like, as_param=False)  # a value that no record has
        if self._high is None:
            return None
        self._near = self._window()[-REMEMBERED:]
        return Watermark(self._raw, digests(row for _, row in self._near))


def _beginning(row: Mapping[str, Any]) -> dict[str, Any]:
    """The first fields of a record, for a person to find it."""
    return dict(list(row.items())[:3])
