# SPDX-License-Identifier: Apache-2.0
"""Cursors of columns that the database types itself: the driver's dates, times and numbers, unchanged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from .formats import EPOCH, CursorFormat, micros_of
from .numbers import Opaque, named_format


@dataclass(frozen=True)
class NativeTime(CursorFormat):
    """``datetime`` and ``date`` objects.

    :param aware: whether times have a zone.
    :param is_date: whether they are dates.
    :param zone: of dates and of times without a zone.
    """

    aware: bool = False
    is_date: bool = False
    zone: str = "UTC"

    @property
    def tag(self) -> str:  # type: ignore[override]  # it depends on the value, not the class
        return "date" if self.is_date else "timestamp with time zone" if self.aware else "timestamp"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, dt.datetime):
            return not self.is_date and (value.tzinfo is not None) == self.aware
        return self.is_date and isinstance(value, dt.date)

    def accepts_all(self, values: Sequence[Any]) -> bool:
        return all(map(self.accepts, values))

    def accepts_array(self, values: pa.Array) -> bool:
        type_ = values.type
        if self.is_date:
            return bool(pa.types.is_date(type_))
        return bool(pa.types.is_timestamp(type_)) and (type_.tz is not None) == self.aware

    def instant(self, value: Any) -> int:
        return micros_of(self._midnight(value).replace(tzinfo=self._zone_of(value)) - EPOCH)

    def bound(self, instant: int) -> Any:
        try:
            moment = (EPOCH + dt.timedelta(microseconds=instant)).astimezone(self._zone_of(None))
        except OverflowError:
            moment = (dt.datetime.max if instant > 0 else dt.datetime.min).replace(tzinfo=dt.UTC)
        if self.aware:
            return moment
        wall = moment.replace(tzinfo=None)
        if not self.is_date:
            return wall
        is_late = wall.time() != dt.time() and wall.date() < dt.date.max
        return wall.date() + dt.timedelta(days=1 if is_late else 0)

    def back(self, value: Any, lookback: dt.timedelta) -> Any:
        wall = self._midnight(value)
        try:
            earlier = wall - lookback - (dt.timedelta(0) if self.aware else self._repeated_hour(wall))
        except OverflowError:
            earlier = dt.datetime.min.replace(tzinfo=wall.tzinfo)
        return earlier.date() if self.is_date else earlier

    def configured_instant(self, value: str | dt.date) -> int:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else self._midnight(value)
        return micros_of(moment.replace(tzinfo=moment.tzinfo or ZoneInfo(self.zone)) - EPOCH)

    def _midnight(self, value: Any) -> dt.datetime:
        return value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())

    def _zone_of(self, value: Any) -> dt.tzinfo:
        if self.aware:
            return getattr(value, "tzinfo", None) or dt.UTC
        return ZoneInfo(self.zone)

    def _repeated_hour(self, wall: dt.datetime) -> dt.timedelta:
        """How far local time will be set back, if ``wall`` comes twice: rows of the second time sort below it."""
        first, second = (wall.replace(tzinfo=ZoneInfo(self.zone), fold=fold).utcoffset() for fold in (0, 1))
        return max(dt.timedelta(0), (first or dt.timedelta(0)) - (second or dt.timedelta(0)))


@dataclass(frozen=True)
class NativeNumber(Opaque):
    """Numbers of which only the order is known, ``Decimal`` among them."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Decimal) or super().accepts(value)

    def accepts_all(self, values: Sequence[Any]) -> bool:
        return super().accepts_all([value for value in values if not isinstance(value, Decimal)])

    def accepts_array(self, values: pa.Array) -> bool:
        return bool(pa.types.is_decimal(values.type)) or super().accepts_array(values)


def native_format(arrow: pa.DataType, cursor_format: str = "auto", zone: str = "UTC") -> CursorFormat | None:
    """The format of a column that lands as ``arrow`` and is compared by its native type; None: it does not sort, or
    not as Python sorts.

    :param cursor_format: the configured one, which says whether numbers are times.
    """
    if pa.types.is_timestamp(arrow) or pa.types.is_date(arrow):
        is_date = pa.types.is_date(arrow)
        return NativeTime(not is_date and arrow.tz is not None, is_date, zone) if cursor_format == "auto" else None
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow):
        if cursor_format in ("auto", "number"):
            return NativeNumber()
        named = named_format(cursor_format)
        return named if named is not None and named.numeric else None
    return NativeNumber() if pa.types.is_decimal(arrow) and cursor_format in ("auto", "number") else None
