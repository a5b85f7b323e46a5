"""Cursors: fields that grow with every change, compared by their type and never as text that happens to sort."""

from __future__ import annotations

import datetime as dt
import math
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig, Duration, StateError
from vdk.plugin.datasource_base.parts import exact_decimal, whole_number

from .http.types import canonical

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
    step_end: Annotated[
        Literal["shared", "inclusive"],
        Meta(
            description="shared: the next window begins where one ends, and repeats are recognised; inclusive: the API "
            "includes the whole day that end_param names, so the next window begins on the day after it"
        ),
    ] = "shared"
    settle: Annotated[
        Duration | None,
        Meta(
            description="how long after its end a window without records is asked for again, for records that appear "
            "late; needs step. Default: 1d"
        ),
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

    @property
    def settle_micros(self) -> int:
        return (self.settle if self.settle is not None else dt.timedelta(days=1)) // dt.timedelta(microseconds=1)


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
        moment = _moment_of(value)
        if wanted == "date":
            return moment.astimezone(self._zone).date().isoformat()
        if wanted != "datetime":
            return moment.astimezone(self._zone).strftime(wanted)
        return _in_style(moment, str(like), self._zone)

    def as_written(self, value: int, like: Any) -> int:
        """The time that the API reads when ``value`` is written as a parameter: formats leave out the rest of a unit.

        It is never above ``value``: an hour that comes twice as the clock goes back is read as its first pass.
        """
        written, config = self.write(value, like), self.config
        wanted = config.param_format or config.format or config.type
        try:
            if wanted in _UNITS:
                return min(value, _scaled(written, _UNITS[wanted]))
            iso = wanted in ("date", "datetime")
            moment = dt.datetime.fromisoformat(str(written)) if iso else dt.datetime.strptime(str(written), wanted)
            return min(value, _micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone)))
        except ValueError:  # a format that can be written and not be read, such as the name of a weekday
            return value

    def later(self, value: int, span: dt.timedelta) -> int:
        """``value`` and ``span``; days are those of the cursor's time zone, which may have 23 or 25 hours."""
        if span % dt.timedelta(days=1):
            return value + span // dt.timedelta(microseconds=1)
        try:
            return _micros(_moment_of(value).astimezone(self._zone) + span)
        except OverflowError:  # after the last day of the calendar
            return value + span // dt.timedelta(microseconds=1)

    def lower_of(self, high: Any) -> Any:
        """Where to read from when ``high`` was the highest value."""
        if not self.is_time:
            return high
        lower: int = high - self.config.lookback_micros
        moment = _moment_of(lower).astimezone(self._zone)
        first, second = moment.replace(fold=0).utcoffset(), moment.replace(fold=1).utcoffset()
        if first is not None and second is not None and first > second:
            # The clock goes back: a record of the second pass has a lower local time than one of the first.
            lower -= (first - second) // dt.timedelta(microseconds=1)
        return lower


def micros_now() -> int:
    return _micros(dt.datetime.now(dt.UTC))


def _moment_of(value: int) -> dt.datetime:
    """Microseconds since 1970 as a moment, no further out than every time zone can write it."""
    return _EPOCH + dt.timedelta(microseconds=min(max(value, _FIRST), _LAST))


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


VERSION = 1
REMEMBERED = 100_000
"""Records that a state knows at most: about 1 MB. Further ones of the overlap are delivered again."""
_SIZE = 8


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a partition was read.

    :param high: the highest value, as the API wrote it.
    :param known: how often each record near it was delivered, by its digest.
    """

    high: str | int | float | Decimal
    known: Counter[bytes] = field(default_factory=Counter)


def encode(mark: Watermark, cursor: Cursor) -> dict[str, Any]:
    known = b64encode(b"".join(sorted(mark.known.elements()))).decode()
    return {
        "v": VERSION,
        "cursor": cursor.config.field,
        "type": cursor.config.type,
        "high": str(mark.high) if isinstance(mark.high, Decimal) else mark.high,
        **({"overlap": known} if known else {}),
    }


def decode(state: Mapping[str, Any], cursor: Cursor, stream: str) -> Watermark | None:
    """A stored state; None for ``{}``.

    :raises StateError: for a state of another version, making or cursor.
    """
    if not state:
        return None
    remedy = f"Reset the state of stream {stream!r} (`vdk datasource state reset`) to read it from the start"
    version, config = state.get("v"), cursor.config
    if isinstance(version, int) and version > VERSION:
        raise StateError(
            f"stream {stream!r}: its state has version {version}, and this release knows {VERSION}: it was written by "
            f"a newer release. Install that one again, or: {remedy}"
        )
    if version != VERSION or not {"cursor", "type", "high"} <= set(state):
        raise StateError(f"stream {stream!r}: its state was not written by this source. {remedy}")
    if (state["cursor"], state["type"]) != (config.field, config.type):
        raise StateError(
            f"stream {stream!r}: its state was written for the cursor {state['cursor']!r} ({state['type']}), and it is "
            f"read by {config.field!r} ({config.type}) now. {remedy}; or set the cursor back"
        )
    try:
        cursor.parse(state["high"])
        packed = b64decode(state.get("overlap", ""), validate=True)
    except (ValueError, TypeError) as error:
        raise StateError(f"stream {stream!r}: its state is damaged ({error!r}). {remedy}") from None
    known = Counter(packed[index : index + _SIZE] for index in range(0, len(packed), _SIZE))
    return Watermark(state["high"], known)


def digest(row: Mapping[str, Any]) -> bytes:
    """Eight bytes that tell a record's values from others; the order of its fields does not matter."""
    return blake2b(canonical(row), digest_size=_SIZE).digest()
