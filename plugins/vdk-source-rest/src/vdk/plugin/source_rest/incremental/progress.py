# SPDX-License-Identifier: Apache-2.0
"""Incremental reading: which records of a page are new, how far reading has come, and the state that stores it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import blake2b
from itertools import islice
from shlex import quote
from typing import Any

from vdk.plugin.datasource_base.contract import BadRecordError, ConfigurationError, DataSourceError, StateError

from ..http.types import Row, canonical_json
from ..responses.extract import compile_path
from .cursors import Cursor, Window, plain_value

VERSION = 1
MAX_REMEMBERED = 100_000
"""Records that a state knows at most: about 1 MB. Further ones of the overlap are delivered again."""
_DIGEST_SIZE = 8
_SECOND = 1_000_000
"""Microseconds: APIs may compare times in whole seconds."""
_COMPACT_ABOVE = 2000
"""Digests that are kept without a check whether they are still needed."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a partition was read.

    :param high: the highest value, as the API wrote it.
    :param known: how often each record near it was delivered, by its digest.
    """

    high: str | int | float | Decimal
    known: Counter[bytes] = field(default_factory=Counter)


def encode_state(watermark: Watermark, cursor: Cursor) -> dict[str, Any]:
    known = b64encode(b"".join(sorted(watermark.known.elements()))).decode()
    return {
        "v": VERSION,
        "cursor": cursor.config.field,
        "type": cursor.config.type,
        "high": str(watermark.high) if isinstance(watermark.high, Decimal) else watermark.high,
        **({"overlap": known} if known else {}),
    }


def decode_state(state: Mapping[str, Any], cursor: Cursor, stream: str) -> Watermark | None:
    """The watermark in a stored state; None for ``{}``.

    :raises StateError: for a state of another version, source or cursor.
    """
    if not state:
        return None
    version, config = state.get("v"), cursor.config
    if isinstance(version, int) and version > VERSION:
        raise StateError(
            f"stream {stream!r}: a newer release wrote its state (version {version}, and this one reads {VERSION}). "
            f"Install that release again, or: {reset_hint(stream)}"
        )
    if version != VERSION or not {"cursor", "type", "high"} <= set(state):
        raise StateError(f"stream {stream!r}: its state was not written by this source. {reset_hint(stream)}")
    if (state["cursor"], state["type"]) != (config.field, config.type):
        raise StateError(
            f"stream {stream!r}: its state was written for the cursor {state['cursor']!r} ({state['type']}), and its "
            f"cursor is {config.field!r} ({config.type}) now. {reset_hint(stream)}; or set the former cursor again"
        )
    try:
        cursor.parse(state["high"])
        packed = b64decode(state.get("overlap", ""), validate=True)
    except (ValueError, TypeError) as error:
        raise StateError(f"stream {stream!r}: its state is damaged ({error!r}). {reset_hint(stream)}") from None
    digests = (packed[index : index + _DIGEST_SIZE] for index in range(0, len(packed), _DIGEST_SIZE))
    return Watermark(state["high"], Counter(digests))


def reset_hint(stream: str) -> str:
    command = f"vdk datasource state reset FLOW --stream {quote(stream)}"
    return f"Reset the state of stream {stream!r} (`{command}`) to read it from the start"


def digest(row: Mapping[str, Any]) -> bytes:
    """Eight bytes that identify the values of a record; the order of its fields does not matter."""
    return blake2b(canonical_json(row), digest_size=_DIGEST_SIZE).digest()


@dataclass(slots=True)
class FilteredPage:
    """The records of a page, sorted out.

    :param rows: to be delivered.
    :param bad: records whose cursor value cannot be parsed, with the reason.
    :param counts: for the summary of the run.
    :param passed_known: a descending stream has reached records that are known.
    """

    rows: list[Row] = field(default_factory=list)
    bad: list[tuple[Row, BadRecordError]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    passed_known: bool = False


class IncrementalFilter:
    """Filters the pages of all windows of a run, and keeps the highest value.

    :param filtering: drop records below the lower bound: the API was not asked to, or repeated ones would be loaded
        twice.
    :param keyed: equal records are one record, since they have the same primary key; otherwise a second one
        that equals the first is another record.
    :param now: microseconds since 1970; a watermark of times does not go above it, or one record of the
        future would hide all others.
    """

    def __init__(
        self, cursor: Cursor, watermark: Watermark | None, *, stream: str, filtering: bool, keyed: bool, now: int
    ) -> None:
        config = cursor.config
        self._cursor = cursor
        self._stream = stream
        self._now = now
        self._filtering = filtering
        self._keyed = keyed
        self._search = compile_path(config.field).search
        self._is_plain_name = config.field.isidentifier()
        self._start = watermark.high if watermark is not None else config.initial
        first = cursor.parse(self._start) if self._start is not None else None
        self._high: Any = first if watermark is not None else None
        self._high_raw: Any = watermark.high if watermark is not None else None
        self.lower = cursor.lower_of(first) if watermark is not None else first
        self._starts_exactly = self.lower == first and config.param_format is None
        self._max: Any = None
        self._max_raw: Any = None
        self._future_raw: Any = None
        self._last: Any = None
        self._resumed_at: Any = None
        self._limit: int | None = None
        self._stored = Counter(watermark.known) if watermark is not None else Counter[bytes]()
        self._in_earlier_windows: Counter[bytes] = Counter()
        self._recent: list[tuple[Any, bytes]] = []
        self._compact_above = _COMPACT_ABOVE
        self._delivered_since_state = 0
        self.window_max: Any = None
        """The highest value in this window; None: it has no record with a value."""
        self.overflowed = False
        """More records share the overlap than are remembered."""
        self.row_without_value: Row | None = None
        self.first_param: Any = None
        """The value of the first lower bound that the API was asked for; None: it was not asked."""
        self._asked: Any = None
        self.read = 0
        self.below_param = 0
        """Records that were read, and those of them below what was asked for."""
        self.is_field_known = not self._is_plain_name
        """Whether some record without a value that counts has the field; taken as true for a path."""

    @property
    def like(self) -> Any:
        """A value in the style of the parameters."""
        return self._start if self._start is not None else "2000-01-01T00:00:00Z"

    def lower_param(self, start: Any) -> Any:
        """The start of a window as the API writes it; None: without a lower bound."""
        if start is None:
            return None
        return self._start if start == self.lower and self._starts_exactly else self._cursor.write(start, self._start)

    def note_param(self, written: Any) -> None:
        """The API is asked for the records from this value on, which may be less exact than the lower bound."""
        if self.first_param is None and self.lower is not None:
            self.first_param, self._asked = written, self.lower
            if self._cursor.is_time:
                self._asked = self._cursor.as_written(self.lower, self.like) - _SECOND

    @property
    def param_seems_ignored(self) -> bool:
        """Whether most records are below what was asked for. Some may be, for an API that compares another time."""
        return 2 * self.below_param > self.read

    def resume(self, window: Window) -> Window | None:
        """The rest of an ascending window, from the last value on; None: the rest has no other value."""
        last = self._last
        if last is None or last == window.start or last == self._resumed_at:
            return None
        rest = replace(window, start=last)
        self.start_window(rest)
        self._resumed_at = last
        return rest

    def start_window(self, window: Window) -> None:
        """Called before each window; records above its end are read later."""
        self._resumed_at = None
        self._limit = None if window.last else window.end
        self._last = self.window_max = None
        self._in_earlier_windows = self._digests()

    def filter_page(self, rows: Sequence[Row]) -> FilteredPage:
        page = FilteredPage()
        self.read += len(rows)
        name, parse, lower = self._cursor.config.field, self._cursor.parse, self.lower
        ordered, has_known = self._cursor.config.order != "any", bool(self._stored or self._in_earlier_windows)
        window_max = self.window_max
        fresh: list[tuple[Any, Row, bytes]] = []
        deliver, remember = page.rows.append, fresh.append
        for row in rows:
            raw = row.get(name) if self._is_plain_name else self._search(row)
            if raw is None:
                self._handle_null(row, page, fresh)
                continue
            try:
                value = parse(raw)
            except (ValueError, TypeError, OverflowError) as error:
                page.bad.append((row, self._bad_record(row, raw, error)))
                self.is_field_known = True
                continue
            if ordered:
                self._check_order(value, raw)
            if lower is not None and value < lower and self._drops_below(value, page):
                continue
            if self._resumed_at is not None and value < self._resumed_at:  # delivered, since values ascend
                page.counts["rows_unchanged"] += 1
                continue
            if self._max is None or value > self._max:
                self._raise_max(value, raw)
            if has_known:
                self._deliver(row, value, page, fresh)
            else:
                deliver(row)
                remember((value, row, b""))
            if window_max is None or value > window_max:
                window_max = value
        self.window_max = window_max
        self._remember(fresh)
        self._delivered_since_state += len(page.rows)
        return page

    def _drops_below(self, value: Any, page: FilteredPage) -> bool:
        """Whether a row below the lower bound is dropped."""
        self.below_param += self._asked is not None and value < self._asked
        page.passed_known |= self._cursor.config.order == "descending"
        if self._filtering:
            page.counts["rows_before_cursor"] += 1
        return self._filtering

    def _raise_max(self, value: Any, raw: Any) -> None:
        """A value of the future raises nothing: it would hide the records that come until then."""
        if self._cursor.is_time and value > self._now:
            self._future_raw = plain_value(raw)
        else:
            self._max, self._max_raw = value, plain_value(raw)

    def _handle_null(self, row: Row, page: FilteredPage, fresh: list[tuple[Any, Row, bytes]]) -> None:
        page.counts["rows_null_cursor"] += 1
        self.row_without_value = row
        self.is_field_known = self.is_field_known or self._cursor.config.field in row
        policy = self._cursor.config.nulls
        if policy == "fail":
            raise DataSourceError(
                f"stream {self._stream!r}: the record {_first_fields(row)!r:.200} has no value for the cursor "
                f'{self._cursor.config.field!r}, and cursor.nulls = "fail" makes that an error. To load such records, '
                'set cursor.nulls = "include"'
            )
        if policy == "include":
            self._deliver(row, None, page, fresh)

    def _deliver(self, row: Row, value: Any, page: FilteredPage, fresh: list[tuple[Any, Row, bytes]]) -> None:
        known = digest(row) if self._stored or self._in_earlier_windows else b""
        if self._is_repeat(self._in_earlier_windows, known):
            page.counts["rows_unchanged"] += 1
            return
        fresh.append((value, row, known))
        if self._is_repeat(self._stored, known):
            page.counts["rows_unchanged"] += 1
        else:
            page.rows.append(row)

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
            raise ConfigurationError(
                f"stream {self._stream!r}: the records are not in the order of cursor.order = {order!r}: the value "
                f"{raw!r:.80} of {self._cursor.config.field!r} comes after a "
                + ("higher" if order == "ascending" else "lower")
                + ' one. Set cursor.order = "any"'
            )

    def _bad_record(self, row: Row, raw: Any, error: Exception) -> BadRecordError:
        return BadRecordError(
            f"the cursor's value is not of type {self._cursor.config.type}: {error}",
            stream=self._stream,
            column=self._cursor.config.field,
            key=_first_fields(row),
            value=raw,
        )

    def _remember(self, fresh: Sequence[tuple[Any, Row, bytes]]) -> None:
        """Keep digests of the rows that may come again, before any code may change the rows."""
        lowest = self._lowest()
        self._recent += [(value, known or digest(row)) for value, row, known in fresh if _may_come_again(value, lowest)]
        if len(self._recent) > self._compact_above:
            self._compact()

    def _compact(self) -> None:
        """Drop the rows that the next reading does not reach; of too many, the lowest."""
        lowest = self._lowest()
        self._recent = [entry for entry in self._recent if _may_come_again(entry[0], lowest)]
        if len(self._recent) > MAX_REMEMBERED:
            self._recent.sort(key=lambda entry: (1,) if entry[0] is None else (0, entry[0]))
            del self._recent[:-MAX_REMEMBERED]
            self.overflowed = True
        self._compact_above = max(_COMPACT_ABOVE, 2 * len(self._recent))

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
        return self._max if limit is None or self._max is None else min(self._max, limit)

    def _digests(self) -> Counter[bytes]:
        return Counter(known for _, known in self._recent)

    def pass_empty_window(self, end: int) -> None:
        """The state moves to the end of a window without records, which is so long ago that none is expected."""
        self._raise_to(end, self._cursor.write(end, self.like, as_param=False))

    def _raise_to(self, value: Any, raw: Any) -> None:
        """The value of the state only ever grows."""
        if self._cursor.is_time:
            value = self._cursor.parse(raw)  # which may have fewer digits than the value
        if self._high is None or value > self._high:
            self._high, self._high_raw = value, raw

    def page_watermark(self) -> Watermark | None:
        """How far an ascending reading has come with this page; None: a state is not worth its cost yet."""
        if 10 * self._delivered_since_state < len(self._recent) + len(self._stored) or self._last is None:
            return None  # a large state with each page would cost more than the page
        limit = self._last if self._limit is None else min(self._last, self._limit)
        return self._watermark(limit, final=False)

    def window_watermark(self) -> Watermark | None:
        """How far reading has come with this window; None: no value is known yet."""
        final = self._limit is None
        if final and self._high is None and self._max is None and self._future_raw is not None:
            self._pass_to_settled()
        return self._watermark(self._limit, final=final)

    def _pass_to_settled(self) -> None:
        """All records are of the future: without a state that knows them, the next run would deliver them again."""
        settled = self._now - self._cursor.config.settle_micros
        end = settled if self.lower is None else max(settled, self.lower)
        self._raise_to(end, self._cursor.write(end, self._future_raw, as_param=False))

    def _watermark(self, limit: Any, *, final: bool) -> Watermark | None:
        """:param final: everything was read, so records that only the old state knows no longer exist."""
        reached = self._reached(limit)
        if reached is not None:
            exact = reached == self._max
            raw = self._max_raw if exact else self._cursor.write(reached, self._max_raw, as_param=False)
            self._raise_to(reached, raw)
        if self._high is None:
            return None
        self._compact()
        self._delivered_since_state = 0
        known = self._digests()
        if not final:
            known = known | self._stored if self._keyed else known + self._stored
        return Watermark(self._high_raw, Counter(islice(known.elements(), MAX_REMEMBERED)))


def _may_come_again(value: Any, lowest: Any) -> bool:
    """A record without a value comes with every reading."""
    return lowest is None or value is None or value >= lowest


def _first_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The first fields of a record, for a person to find it."""
    return dict(list(row.items())[:3])
