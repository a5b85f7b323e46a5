# SPDX-License-Identifier: Apache-2.0
"""What a cursor's values mean: how they compare to points in time, and how a bound is written.

Values stay as the database stores them. Bounds are computed as microseconds since 1970 (UTC) and
written in the shortest stored form: text in one ISO form sorts like time, and a prefix sorts before
everything it begins, so ``'2026-01-01 10:00'`` is at or below ``'2026-01-01 10:00:00'`` and
``'2026-01-01 10:00:00.000'`` alike. A longer form (``'…:00.000000'``) would sort above a stored
``'…:00'`` and lose it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import pc

UTC = dt.UTC
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
FEW_VALUES = 1_000
"""Fewer are matched one by one, since a run that finds nothing new then imports no more of Arrow."""
ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:(?P<sep>[ T])(?P<time>\d\d:\d\d(?::\d\d(?:\.(?P<fraction>\d+))?)?)"
    r"(?P<zone>Z| ?UTC| ?[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


class CursorFormat(ABC):
    """How the values of one cursor column read."""

    tag: str
    """Names the format in a state; a state with another tag does not fit."""
    pattern: str | None = None
    """Text values match this regular expression as a whole; None: values are numbers, or any text."""
    is_time = True
    """Whether zone and unit are known, so that a value is a point in time."""
    numeric = False

    @abstractmethod
    def instant(self, value: Any) -> int:
        """The point in time, in microseconds since 1970 UTC. Raises ``ValueError`` for a value that is not one."""

    @abstractmethod
    def bound(self, instant: int) -> Any:
        """The value that separates: stored values at or after ``instant`` are ``>=`` it, earlier ones ``<``."""

    @abstractmethod
    def back(self, value: Any, lookback: dt.timedelta) -> Any:
        """A value at or below every stored value that may be ``lookback`` older than ``value``."""

    def accepts(self, value: Any) -> bool:
        """Whether a stored value is of this format."""
        if self.numeric:
            return isinstance(value, (int, float))
        return isinstance(value, str) and (self.pattern is None or re.fullmatch(self.pattern, value) is not None)

    def accepts_all(self, values: Sequence[Any]) -> bool:
        """Whether all values, as the driver's cursor returns them and without NULLs, are of this format."""
        if self.numeric:
            return all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
        if self.pattern is None:
            return all(isinstance(value, str) for value in values)
        if len(values) < FEW_VALUES:
            return all(map(self.accepts, values))
        try:
            array = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError, ValueError, TypeError):  # types are mixed
            return False
        return self.accepts_array(array)

    def accepts_array(self, values: pa.Array) -> bool:
        """Whether all values, of one Arrow type, are of this format. Times of Arrow are of each format of times."""
        if self.numeric:
            is_number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
            return is_number and bool(pc.all(pc.is_finite(values)).as_py())
        if pa.types.is_temporal(values.type):
            return self.is_time
        if not pa.types.is_string(values.type):
            return False
        return self.pattern is None or bool(pc.all(pc.match_substring_regex(values, f"^(?:{self.pattern})$")).as_py())

    def configured(self, value: Any, config_path: str) -> Any:
        """A configured bound in stored form. Raises ``ConfigurationError``.

        A number may be a text, as the command line has it.
        """
        if self.numeric and isinstance(value, str):
            value = number_of(value)
        if self.numeric and isinstance(value, (int, float)) and not isinstance(value, bool):
            return _in_range(value, value, config_path)
        if isinstance(value, (str, dt.date)):
            try:
                return _in_range(self.bound(self.configured_instant(value)), value, config_path)
            except ValueError:
                pass
        expected = "a number or an ISO date" if self.numeric else "an ISO date or time"
        raise ConfigurationError(
            f"{config_path}: {value!r} does not fit a cursor of type {self.tag!r}; write {expected}"
        )

    def configured_instant(self, value: str | dt.date) -> int:
        return instant_of(value, UTC)


def fits_64_bits(value: Any) -> bool:
    """Whether a value is not an integer, or one of 64 bits."""
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def number_of(text: str) -> str | int | float:
    """The number that a text is; another text is returned as it is."""
    if re.fullmatch(r"[+-]?\d{1,30}", text.strip(), re.ASCII):
        return int(text)
    is_number = re.fullmatch(r"[+-]?\d{1,30}\.\d{0,30}([eE][+-]?\d{1,3})?", text.strip(), re.ASCII)
    return float(text) if is_number else text


def _in_range(bound: Any, value: Any, config_path: str) -> Any:
    """Raises ``ConfigurationError`` for a bound that no stored cursor can be compared with."""
    if not fits_64_bits(bound):
        raise ConfigurationError(
            f"{config_path}: {value} is beyond the integers of the database, which have 64 bits; write a number from "
            f"{-(2**63)} to {2**63 - 1}, or an earlier date"
        )
    if isinstance(bound, float) and not math.isfinite(bound):
        raise ConfigurationError(f"{config_path}: {value} is not a finite number; write one, or an ISO date")
    return bound


def instant_of(value: str | dt.date, zone: dt.tzinfo) -> int:
    """Microseconds since 1970 of a date, a time or ISO text; ``zone`` is that of a value without one."""
    if isinstance(value, str):
        match = ISO.fullmatch(value.strip())
        if match is None:
            raise ValueError(value)
        moment = _wall(match["date"], match["time"])
        moment = moment.replace(tzinfo=zone_of(match["zone"]) or zone)
    elif isinstance(value, dt.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=zone)
    else:
        moment = dt.datetime(value.year, value.month, value.day, tzinfo=zone)
    return micros_of(moment - EPOCH)


def zone_of(suffix: str | None) -> dt.tzinfo | None:
    """The zone that ends an ISO text; None: it has none."""
    text = (suffix or "").strip()
    if not text:
        return None
    if text in ("Z", "UTC"):
        return UTC
    digits = text[1:].replace(":", "")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return dt.timezone(-offset if text[0] == "-" else offset)


def _wall(date: str, time: str | None) -> dt.datetime:
    """A date and time of day without zone, cut to microseconds."""
    whole, _, fraction = (time or "00:00").partition(".")
    return dt.datetime.fromisoformat(f"{date} {whole}").replace(microsecond=int(f"{fraction[:6]:0<6}"))


def micros_of(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class IsoText(CursorFormat):
    """ISO 8601 text, all of one form.

    :param sep: between date and time, space or ``T``; empty: dates only.
    :param suffix: the zone that ends every value, as it is written; empty: none.
    :param digits: of the fraction, for ``Z`` only: ``Z`` sorts above ``.`` and digits, so values with
        fractions of different lengths do not sort. (``+``, ``-`` and space sort below both.)
    :param zone: of values without a suffix.
    """

    sep: str
    suffix: str = ""
    digits: int | None = None
    zone: str = "UTC"

    @property
    def tag(self) -> str:  # type: ignore[override]  # it depends on the value, not the class
        form = {"": "iso-date", " ": "iso-space", "T": "iso-T"}[self.sep]
        return form + (f".{self.digits}" if self.digits is not None else "") + self.suffix

    @property
    def pattern(self) -> str:  # type: ignore[override]  # it depends on the value, not the class
        if not self.sep:
            return r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
        seconds = r"(?::[0-9]{2}(?:\.[0-9]+)?)?"
        if self.digits is not None:
            seconds = r":[0-9]{2}" + (rf"\.[0-9]{{{self.digits}}}" if self.digits else "")
        return rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{self.sep}[0-9]{{2}}:[0-9]{{2}}{seconds}{re.escape(self.suffix)}"

    @property
    def _tz(self) -> dt.tzinfo:
        return zone_of(self.suffix) or ZoneInfo(self.zone)

    def instant(self, value: Any) -> int:
        return instant_of(value, self._tz)

    def configured_instant(self, value: str | dt.date) -> int:
        return instant_of(value, self._tz)

    def bound(self, instant: int) -> str:
        step = 10 ** (6 - min(self.digits, 6)) if self.digits is not None else 1
        wall = self._wall_at(-(-instant // step) * step)
        if not self.sep:
            return (wall.date() + dt.timedelta(days=1 if wall.time() != dt.time() else 0)).isoformat()
        return self._shortest(wall)

    def back(self, value: Any, lookback: dt.timedelta) -> str:
        match = ISO.fullmatch(value)
        assert match is not None  # the format was checked when the value was read
        wall = _wall(match["date"], match["time"])
        try:
            wall = (wall - lookback - self._repeated_hour(wall)).replace(microsecond=0)
        except OverflowError:
            wall = dt.datetime.min
        return self._shortest(wall) if self.sep else wall.date().isoformat()

    def _wall_at(self, instant: int) -> dt.datetime:
        try:
            return (EPOCH + dt.timedelta(microseconds=instant)).astimezone(self._tz).replace(tzinfo=None)
        except OverflowError:
            return dt.datetime.max if instant > 0 else dt.datetime.min

    def _repeated_hour(self, wall: dt.datetime) -> dt.timedelta:
        """How far local time will be set back, if ``wall`` comes twice: rows of the second time sort below it."""
        first, second = (wall.replace(tzinfo=self._tz, fold=fold).utcoffset() for fold in (0, 1))
        return max(dt.timedelta(0), (first or dt.timedelta(0)) - (second or dt.timedelta(0)))

    def _shortest(self, wall: dt.datetime) -> str:
        text = wall.isoformat(self.sep, "microseconds").rstrip("0")
        return text.removesuffix(".").removesuffix(":00") if text[-1] == "." else text


def detect_text(value: str, zone: str) -> IsoText | None:
    """The ISO form of ``value``; None: it has none, or is not a date."""
    match = ISO.fullmatch(value)
    if match is None:
        return None
    try:
        _wall(match["date"], match["time"])
    except ValueError:
        return None
    suffix = match["zone"] or ""
    digits = len(match["fraction"] or "") if suffix == "Z" else None
    return IsoText(match["sep"] or "", suffix, digits, zone)
