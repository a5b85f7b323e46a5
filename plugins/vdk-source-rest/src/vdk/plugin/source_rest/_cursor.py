"""Cursors: fields that grow with every change, compared by their type and never as text that happens to sort."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig, Duration
from vdk.plugin.datasource_base.parts import exact_decimal, whole_number

CursorType = Literal["datetime", "date", "epoch", "epoch_ms", "integer", "string"]
TIMES = ("datetime", "date", "epoch", "epoch_ms")

_UNITS = {"epoch": 1_000_000, "epoch_ms": 1_000}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_ONE, _LAST_DAY = dt.datetime(1, 1, 2, tzinfo=dt.UTC), dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
_FIRST, _LAST = (int((day - _EPOCH).total_seconds()) * 1_000_000 for day in (_DAY_ONE, _LAST_DAY))
"""What a bound is written as at the least and at the most: a lookback may lead out of the calendar, and a zone too."""
_STYLE = re.compile(r"\d{4}-\d\d-\d\d(?P<blank>[T ])\d\d:\d\d(?P<seconds>:\d\d(?:[.,](?P<fraction>\d+))?)?(?P<zone>.*)")


class CursorConfig(DataSourceConfig):
    """Which field tells what is new, and how the API is asked for it."""

    field: Annotated[str, Meta(min_length=1, description="the field (JMESPath)")]
    type: Annotated[
        CursorType,
        Meta(description="datetime (ISO 8601), date, epoch (seconds), epoch_ms, integer or string"),
    ] = "datetime"
    param: Annotated[
        str | None,
        Meta(description="the parameter that asks for records from here on. Default: none, and they are filtered here"),
    ] = None
    end_param: Annotated[str | None, Meta(description="the parameter that asks for records up to the present")] = None
    initial: Annotated[
        str | int | None, Meta(description="where the first run begins. Default: at the first record")
    ] = None
    format: Annotated[str | None, Meta(description='how the field is written, as in "%d/%m/%Y". Default: ISO 8601')] = (
        None
    )
    param_format: Annotated[
        str | None,
        Meta(description='how the parameter is written: epoch, epoch_ms or as in "%Y-%m-%d". Default: as the field'),
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
    order: Annotated[
        Literal["any", "ascending", "descending"],
        Meta(
            description="how the API sorts records by the field; ascending: the state moves with every page, "
            "descending: reading ends where known records begin"
        ),
    ] = "any"
    nulls: Annotated[Literal["include", "exclude", "fail"], Meta(description="records without a value")] = "include"

    @property
    def lookback_micros(self) -> int:
        if self.lookback is not None:
            return self.lookback // dt.timedelta(microseconds=1)
        return 0 if self.type in ("date", "integer", "string") else 300_000_000


class Cursor:
    """Values of one cursor: read, compared (as integers or text) and written."""

    def __init__(self, config: CursorConfig) -> None:
        self.config = config
        self.is_time = config.type in TIMES
        self._zone = ZoneInfo(config.timezone)

    def parse(self, value: Any) -> Any:
        """A value as what it is compared as: microseconds since 1970 for times.

        :raises ValueError: for what is no value of the cursor's type.
        """
        kind = self.config.type
        if kind == "datetime" and self.config.format is None and type(value) is str:  # the most common by far
            moment = dt.datetime.fromisoformat(value)
            return _micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone))
        if kind == "string":
            if not isinstance(value, str):
                raise ValueError("it is no text")
            return value
        if kind == "integer":
            if not isinstance(value, (int, str)):
                raise ValueError("it is not an integer")
            return whole_number(value)
        if kind in _UNITS:
            return _scaled(value, _UNITS[kind])
        if not isinstance(value, str):
            raise ValueError("it is no text")
        return _micros(self._moment(value))

    def _moment(self, text: str) -> dt.datetime:
        if self.config.format is not None:
            moment = dt.datetime.strptime(text, self.config.format)
        elif self.config.type == "date":
            moment = dt.datetime.combine(dt.date.fromisoformat(text), dt.time())
        else:
            moment = dt.datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone)

    def write(self, value: Any, like: Any, *, as_param: bool = True) -> str | int:
        """A compared value as the API writes it: as ``param_format`` says, else as the value ``like`` is written."""
        config = self.config
        if not self.is_time:
            written: str | int = value if isinstance(like, int) or config.type == "string" else str(value)
            return written
        wanted = (config.param_format if as_param else None) or config.format or config.type
        if wanted in _UNITS:
            return int(value // _UNITS[wanted])
        moment = _EPOCH + dt.timedelta(microseconds=min(max(value, _FIRST), _LAST))
        if wanted == "date":
            return moment.astimezone(self._zone).date().isoformat()
        if wanted != "datetime":
            return moment.astimezone(self._zone).strftime(wanted)
        return _in_style(moment, str(like), self._zone)


def micros_now() -> int:
    return _micros(dt.datetime.now(dt.UTC))


def _micros(moment: dt.datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _scaled(value: Any, unit: int) -> int:
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
