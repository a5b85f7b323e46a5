# SPDX-License-Identifier: Apache-2.0
"""Cursors: fields that grow with every change, compared by their type, and the windows that a history is read in."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, Duration
from vdk.plugin.datasource_base.parts import exact_decimal, whole_number

from .ranges import RangesConfig, check_ranges, ranges

CursorType = Literal["datetime", "date", "epoch", "epoch_ms", "epoch_us", "epoch_ns", "integer", "string"]
TIMES = ("datetime", "date", "epoch", "epoch_ms", "epoch_us", "epoch_ns")

_UNITS: dict[str, int | Decimal] = {"epoch": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1, "epoch_ns": Decimal("0.001")}
"""Microseconds of a unit."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST_DAY, _LAST_DAY = dt.datetime(1, 1, 2, tzinfo=dt.UTC), dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
_MIN_TIME, _MAX_TIME = (int((day - _EPOCH).total_seconds()) * 1_000_000 for day in (_FIRST_DAY, _LAST_DAY))
"""The bounds of times that are written: a lookback may lead out of the calendar, and a time zone too."""
_STYLE = re.compile(r"\d{4}-\d\d-\d\d(?P<blank>[T ])\d\d:\d\d(?P<seconds>:\d\d(?:[.,](?P<fraction>\d+))?)?(?P<zone>.*)")
_INTEGER_FORMAT = re.compile(r"[^%]*%0?\d{0,2}d[^%]*")
DAY = dt.timedelta(days=1)
_HALF_A_DAY = 12 * 3600 * 1_000_000


class CursorConfig(DataSourceConfig):
    """The field that shows which records are new, and how the API is asked for them."""

    field: Annotated[str, Meta(min_length=1, description="the field (JMESPath)")]
    type: Annotated[
        CursorType,
        Meta(description="datetime (ISO 8601), date, epoch (seconds), epoch_ms, epoch_us, epoch_ns, integer or string"),
    ] = "datetime"
    param: Annotated[
        str | None,
        Meta(
            description="the parameter for the first value to read. Default: none, all records are read and the known "
            "ones filtered out"
        ),
    ] = None
    end_param: Annotated[str | None, Meta(description="the parameter for the last value to read")] = None
    initial: Annotated[
        str | int | None, Meta(description="the value that the first run starts at. Default: the first record's")
    ] = None
    format: Annotated[str | None, Meta(description='the format of the field, as in "%d/%m/%Y". Default: ISO 8601')] = (
        None
    )
    param_format: Annotated[
        str | None,
        Meta(
            description='the format of the parameter: epoch, epoch_ms or as in "%Y-%m-%d", of integers as in "%08d". '
            "Default: the field's"
        ),
    ] = None
    timezone: Annotated[str, Meta(description="the time zone of values that name none (an IANA name)")] = "UTC"
    lookback: Annotated[
        Duration | None,
        Meta(
            description="read again this far below the highest value, for records that appear late (times only). "
            "Default: 5m, nothing for dates"
        ),
    ] = None
    step: Annotated[
        Duration | None, Meta(description="read in windows of this length; needs param, end_param and initial")
    ] = None
    step_end: Annotated[
        Literal["shared", "inclusive", "none"],
        Meta(
            description="shared: the next window starts where one ends, and repeats are recognised; inclusive: the API "
            "includes the whole day (or granularity) that end_param names, so the next window starts after it; none: "
            "the start names the window, as a day or a month in the path"
        ),
    ] = "shared"
    ranges: Annotated[
        RangesConfig | None,
        Meta(description="read integers in ranges, as in { size = 1000, empty = 3 }; needs param, end_param, initial"),
    ] = None
    granularity: Annotated[
        Duration | None,
        Meta(description='the unit of end_param, as in "1s", with step_end = "inclusive". Default: a day'),
    ] = None
    restart_at: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="the API lists at most so many records: begin again at the highest value then; needs order = "
            '"ascending" and param'
        ),
    ] = None
    settle: Annotated[
        Duration | None,
        Meta(
            description="how long after its end a window without records is requested again, for records that appear "
            "late; needs step. Default: 1d"
        ),
    ] = None
    order: Annotated[
        Literal["any", "ascending", "descending"],
        Meta(
            description="how the API sorts records by the field; ascending: the state moves with every page, "
            "descending: reading ends at the first known record"
        ),
    ] = "any"
    nulls: Annotated[Literal["include", "exclude", "fail"], Meta(description="records without a value")] = "include"

    @property
    def lookback_micros(self) -> int:
        if self.lookback is not None:
            return self.lookback // dt.timedelta(microseconds=1)
        return 0 if self.type in ("date", "integer", "string") else 300_000_000

    @property
    def settle_micros(self) -> int:
        return (self.settle if self.settle is not None else DAY) // dt.timedelta(microseconds=1)


def check_cursor(config: CursorConfig, location: str) -> None:
    """Raise ``ConfigurationError`` for options that do not fit together. ``location`` is their path in the file."""
    try:
        ZoneInfo(config.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"{location}.timezone: {config.timezone!r} is not a time zone; it is an IANA name, as in "
            'timezone = "Europe/Vienna"'
        ) from None
    if config.initial is not None:
        try:
            Cursor(config).parse(config.initial)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{location}.initial: {config.initial!r} is not a value of type {config.type}: {error}"
            ) from None
    is_time = config.type in TIMES
    if not is_time and (config.lookback is not None or config.step is not None):
        remedy = "; integers have ranges = { size = 1000, empty = 3 }" if config.type == "integer" else ""
        raise ConfigurationError(
            f"{location}: lookback and step are for times, and the type is {config.type!r}{remedy}"
        )
    is_ended = config.end_param is not None or config.step_end == "none"
    if config.ranges is not None:
        check_ranges(config.ranges, f"{location}.ranges")
        if config.type != "integer":
            raise ConfigurationError(
                f'{location}.ranges: they are for integers, and the type is {config.type!r}; set type = "integer"'
            )
    option = "step" if config.step is not None else "ranges" if config.ranges is not None else None
    if option is not None and (None in (config.param, config.initial) or not is_ended):
        raise ConfigurationError(
            f"{location}.{option}: windows need param, end_param and initial; if the start alone names a window, set "
            'step_end = "none"'
        )
    if config.step_end == "none" and config.end_param is not None:
        raise ConfigurationError(f"{location}.step_end: windows have an end, {config.end_param!r}; remove step_end")
    if config.granularity is not None and (config.step_end != "inclusive" or not config.granularity):
        raise ConfigurationError(
            f'{location}.granularity: it is the unit of an end that is included; set step_end = "inclusive"'
        )
    if config.granularity is not None and config.step is not None and config.granularity > config.step:
        raise ConfigurationError(f"{location}.granularity: it is longer than step; set a longer step")
    if config.restart_at is not None and (config.order != "ascending" or config.param is None):
        raise ConfigurationError(
            f"{location}.restart_at: the next request begins at the highest value, so the API sorts by it and has a "
            'parameter for it; set order = "ascending" and param = "since"'
        )
    if config.step is not None and not config.step:
        raise ConfigurationError(f'{location}.step: a window needs a length, as in step = "30d"')
    if (config.step is None and config.settle is not None) or (option is None and config.step_end != "shared"):
        raise ConfigurationError(
            f'{location}: settle and step_end are for windows; add their length, as in step = "30d"'
        )
    if config.end_param is not None and not is_time and config.ranges is None:
        remedy = "; set ranges = { size = 1000, empty = 3 }" if config.type == "integer" else "; remove it"
        raise ConfigurationError(
            f"{location}.end_param: only times end at the present, and the type is {config.type!r}{remedy}"
        )
    _check_formats(config, location)


def _check_formats(config: CursorConfig, location: str) -> None:
    """An unused or wrong format would send the same parameter in each run."""
    for option, known in (("format", ()), ("param_format", TIMES)):
        value = getattr(config, option)
        if value is None:
            continue
        if config.type == "integer" and option == "param_format":
            if not _INTEGER_FORMAT.fullmatch(value):
                raise ConfigurationError(f'{location}.{option}: {value!r} is not a format of integers, as in "%08d"')
            continue
        if config.type not in TIMES or (option == "format" and config.type in _UNITS):
            raise ConfigurationError(
                f"{location}.{option}: values of type {config.type!r} have no format; remove it, or set type = "
                '"datetime"'
            )
        if value not in known and not re.search(r"%[a-zA-Z]", value):
            names = f"one of {', '.join(known)}, or " if known else ""
            raise ConfigurationError(
                f'{location}.{option}: {value!r} is not a format; it is {names}one as in {option} = "%Y-%m-%d"'
            )
    if config.param_format is not None and config.param is None and config.end_param is None:
        raise ConfigurationError(
            f'{location}.param_format: param and end_param are missing; add one, as in param = "since"'
        )


class Cursor:
    """Values of one cursor: parsed, compared (as integers or text) and written."""

    def __init__(self, config: CursorConfig) -> None:
        self.config = config
        self.is_time = config.type in TIMES
        self._zone = ZoneInfo(config.timezone)

    def parse(self, value: Any) -> Any:
        """A value in a form that compares: microseconds since 1970 for times.

        :raises ValueError: for a value that is not of the cursor's type.
        """
        kind = self.config.type
        if kind == "datetime" and self.config.format is None and type(value) is str:  # the most common by far
            moment = dt.datetime.fromisoformat(value)
            return _micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone))
        if isinstance(value, dt.date):  # of a table of Parquet or Arrow; a datetime is a date as well
            return self._parse_time(value)
        if kind == "string":
            if not isinstance(value, str):
                raise ValueError("it is not text")
            return value
        if kind == "integer":
            if not isinstance(value, (int, str)):
                raise ValueError("it is not an integer")
            return whole_number(value)
        if kind in _UNITS:
            return _scaled(value, _UNITS[kind])
        if not isinstance(value, str):
            raise ValueError("it is not text")
        return _micros(self._moment(value))

    def _parse_time(self, value: dt.date) -> int:
        if self.config.type not in ("datetime", "date"):
            raise ValueError('it is a time; set type = "datetime"')
        moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
        return _micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone))

    def parse_text(self, text: str) -> Any:
        """A value as a person writes it: as the API does, or a time in ISO 8601. Raises ``ValueError``."""
        try:
            return self.parse(text)
        except (ValueError, ArithmeticError):
            if not self.is_time:
                raise
            moment = dt.datetime.fromisoformat(text)
            return _micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone))

    def _moment(self, text: str) -> dt.datetime:
        if self.config.format is not None:
            moment = dt.datetime.strptime(text, self.config.format)
        elif self.config.type == "date":
            moment = dt.datetime.combine(dt.date.fromisoformat(text), dt.time())
        else:
            moment = dt.datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone)

    def write(self, value: Any, like: Any, *, as_param: bool = True) -> str | int:
        """A compared value as the API writes it: in ``param_format``, else in the style of the value ``like``."""
        config = self.config
        if not self.is_time:
            if as_param and config.param_format is not None:
                return str(config.param_format % value)
            written: str | int = value if isinstance(like, int) or config.type == "string" else str(value)
            return written
        format_ = (config.param_format if as_param else None) or config.format or config.type
        if format_ in _UNITS:
            return int(value // _UNITS[format_])
        moment = _moment_of(value)
        if format_ == "date":
            return moment.astimezone(self._zone).date().isoformat()
        if format_ != "datetime":
            return moment.astimezone(self._zone).strftime(format_)
        return _in_style(moment, str(like), self._zone)

    def as_written(self, value: int, like: Any) -> int:
        """The time that the API reads if ``value`` is written as a parameter: formats leave out the rest of a unit.

        It is never above ``value``: an hour that comes twice as the clock goes back is read as its first pass.
        """
        written, config = self.write(value, like), self.config
        format_ = config.param_format or config.format or config.type
        try:
            if format_ in _UNITS:
                return min(value, _scaled(written, _UNITS[format_]))
            iso = format_ in ("date", "datetime")
            moment = dt.datetime.fromisoformat(str(written)) if iso else dt.datetime.strptime(str(written), format_)
            return min(value, _micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone)))
        except ValueError:  # a format that can be written but not parsed, such as the name of a weekday
            return value

    def later(self, value: int, span: dt.timedelta) -> int:
        """``value`` plus ``span``; days are those of the cursor's time zone, which may have 23 or 25 hours."""
        if span % DAY:
            return value + span // dt.timedelta(microseconds=1)
        try:
            return _micros(_moment_of(value).astimezone(self._zone) + span)
        except OverflowError:  # beyond the calendar
            return value + span // dt.timedelta(microseconds=1)

    def lower_of(self, high: Any) -> Any:
        """The value to read from when ``high`` was the highest."""
        if not self.is_time:
            return high
        lower: int = high - self.config.lookback_micros
        moment = _moment_of(lower).astimezone(self._zone)
        first, second = moment.replace(fold=0).utcoffset(), moment.replace(fold=1).utcoffset()
        if first is not None and second is not None and first > second:
            # The clock goes back: a record of the second pass has a lower local time than one of the first.
            lower -= (first - second) // dt.timedelta(microseconds=1)
        return lower


def plain_value(raw: Any) -> Any:
    """A value as JSON has it, for a state: a time of a table as text, with all its digits."""
    if isinstance(raw, dt.datetime):
        return raw.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return raw.isoformat() if isinstance(raw, dt.date) else raw


def micros_now() -> int:
    return _micros(dt.datetime.now(dt.UTC))


def _moment_of(value: int) -> dt.datetime:
    """Microseconds since 1970 as a moment, within the bounds that every time zone can write."""
    return _EPOCH + dt.timedelta(microseconds=min(max(value, _MIN_TIME), _MAX_TIME))


def _micros(moment: dt.datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _scaled(value: Any, unit: int | Decimal) -> int:
    """Seconds or milliseconds as microseconds, rounded down: reading starts at or before it."""
    return math.floor(exact_decimal(value) * unit)


def _in_style(moment: dt.datetime, like: str, zone: dt.tzinfo) -> str:
    """A moment in the ISO 8601 style of another: blank or T, fractions, Z or an offset or none."""
    style = _STYLE.fullmatch(like)
    if style is None:
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    if style["zone"] == "":
        moment = moment.astimezone(zone)
    elif style["zone"] != "Z":
        moment = moment.astimezone(dt.datetime.fromisoformat(like).tzinfo)
    digits = len(style["fraction"] or "")
    fraction = f".{moment.microsecond:06d}"[: digits + 1].ljust(digits + 1, "0") if digits else ""
    seconds = moment.strftime(":%S") if style["seconds"] else ""
    return f"{moment:%Y-%m-%d}{style['blank']}{moment:%H:%M}{seconds}{fraction}{style['zone']}"


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time, or range of integers, that is requested by itself. Times are microseconds since 1970.

    :param start: None: the first record.
    :param end: the start of the next window.
    :param end_value: the value of ``end_param``.
    :param last: it ends at the present.
    :param last_day: the start of the day that ``end_param`` names, if the API must include all of that day; else None.
    """

    start: Any
    end: int
    end_value: int
    last: bool
    last_day: int | None = None


def windows(cursor: Cursor, start: Any, like: Any, now: int) -> Iterator[Window]:
    """Windows from ``start`` to ``now``; without ``step`` there is one.

    :param like: a value in the style of the parameters.
    """
    step = cursor.config.step
    granularity = cursor.config.granularity
    while step is not None and (end := _window_end(cursor, start, step, like, now)) < now:
        whole_days = cursor.as_written(end + _HALF_A_DAY, like) == end
        if granularity is not None:
            yield Window(start, end, cursor.later(end, -granularity), last=False)
        elif cursor.config.step_end == "inclusive" and whole_days:
            yield Window(start, end, end - 1, last=False, last_day=cursor.later(end, -DAY))
        else:
            # Windows of times share their boundary in any case: a record may lie between the last second of a
            # window and the next one, and repeats are recognised.
            yield Window(start, end, end, last=False)
        start = end
    present = now if start is None or not cursor.is_time else max(now, start)
    yield Window(start, present, present, last=True)


def integer_windows(cursor: Cursor, start: int, highest: int | None) -> Iterator[Window]:
    """The ranges of integers from ``start`` on, up to ``highest``; None: they do not end."""
    config = cursor.config
    assert config.ranges is not None
    for begin, after, end in ranges(config.ranges.size, start, highest, is_inclusive=config.step_end == "inclusive"):
        yield Window(begin, after, end, last=highest is not None and after > highest)


def _window_end(cursor: Cursor, start: int, step: dt.timedelta, like: Any, now: int) -> int:
    """The end of a window that starts at ``start``, as the parameter can express it.

    A parameter that is written as a day has no hours: the window is longer then, or reading would not advance.
    """
    while True:
        is_named = cursor.config.step_end == "none"  # a window of today that begins today is requested as well
        if start + step // dt.timedelta(microseconds=1) >= now and not is_named:
            return now
        end = cursor.as_written(cursor.later(start, step), like)
        if end > start:
            return min(end, now)
        step *= 2
