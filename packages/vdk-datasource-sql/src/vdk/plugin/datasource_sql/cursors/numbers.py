# SPDX-License-Identifier: Apache-2.0
"""Cursors that are numbers, and cursors of which only the order is known."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError

from .formats import CursorFormat, micros_of, number_of

_FAR = 1e30
"""Microseconds: farther from 1970 than any time."""


@dataclass(frozen=True)
class Epoch(CursorFormat):
    """Numbers counted from 1970-01-01 UTC: ``per_second`` of them in a second."""

    unit: str
    numeric = True

    @property
    def tag(self) -> str:  # type: ignore[override]  # it depends on the value, not the class
        return f"epoch_{self.unit}"

    @property
    def _per_second(self) -> int:
        return {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[self.unit]

    def instant(self, value: Any) -> int:
        if isinstance(value, float):
            return _whole(value * 10**6 / self._per_second)
        return int(value * 10**6 // self._per_second)

    def bound(self, instant: int) -> int | float:
        whole, rest = divmod(instant * self._per_second, 10**6)
        return whole + rest / 10**6 if rest else whole

    def back(self, value: int | float, lookback: dt.timedelta) -> int | float:
        earlier = value - -(-micros_of(lookback) * self._per_second // 10**6)
        return max(earlier, -(2**63)) if isinstance(earlier, int) else earlier  # integers of a database end there


@dataclass(frozen=True)
class JulianDay(CursorFormat):
    """Days since noon in Greenwich on November 24, 4714 B.C.; 2440587.5 is 1970-01-01 00:00 UTC."""

    tag = "julian_day"
    numeric = True

    def instant(self, value: Any) -> int:
        return _whole((float(value) - 2440587.5) * 86_400_000_000)

    def bound(self, instant: int) -> float:
        return instant / 86_400_000_000 + 2440587.5

    def back(self, value: Any, lookback: dt.timedelta) -> float:
        return float(value - lookback / dt.timedelta(days=1))


def _whole(instant: float) -> int:
    """Rounded down; an infinity is before or after all times. (SQLite stores one for ``9e999``.)"""
    return math.floor(max(-_FAR, min(_FAR, instant)))


@dataclass(frozen=True)
class Opaque(CursorFormat):
    """Values of which only the order is known: a counter, or text that sorts (a ULID)."""

    numeric: bool = True
    is_time = False

    @property
    def tag(self) -> str:  # type: ignore[override]  # it depends on the value, not the class
        return "number" if self.numeric else "text"

    def instant(self, value: Any) -> int:
        raise ValueError(value)

    def bound(self, instant: int) -> Any:
        raise ValueError(instant)

    def back(self, value: Any, lookback: dt.timedelta) -> Any:
        return value

    def configured(self, value: Any, config_path: str) -> Any:
        if isinstance(value, str):
            if not self.numeric:
                return value
            value = number_of(value)
        if not self.numeric or isinstance(value, (str, dt.date)):
            kind = "a number" if self.numeric else "text"
            raise ConfigurationError(
                f"{config_path}: {value!r} does not fit a cursor of type {self.tag!r}; write {kind}"
            )
        return super().configured(value, config_path)


UNITS = {"s": (10**8, 10**11), "ms": (10**11, 10**14), "us": (10**14, 10**17), "ns": (10**17, 2**63 - 1)}
"""Which numbers are read as time since 1970, by magnitude: seconds from 1973 to 5138, and so on."""


def detect_number(value: float, *, whole: bool) -> CursorFormat:
    """The format of a number, by its magnitude. ``whole``: the column holds integers only."""
    if not whole and 2_400_000 <= value <= 2_500_000:  # 1858 to 2132
        return JulianDay()
    for unit, (low, high) in UNITS.items():
        if low <= value < high:
            return Epoch(unit)
    return Opaque(numeric=True)


def named_format(name: str) -> CursorFormat | None:
    """The format that ``cursor_format`` names; None: it is to be detected."""
    if name.startswith("epoch_") and name[6:] in UNITS:
        return Epoch(name[6:])
    return {"julian_day": JulianDay(), "number": Opaque(numeric=True), "text": Opaque(numeric=False)}.get(name)
