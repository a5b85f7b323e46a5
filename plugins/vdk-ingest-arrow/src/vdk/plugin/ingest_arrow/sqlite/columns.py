"""Arrow columns as the Python values that SQLite stores, a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..values import UnfitValueError, is_json, json_text

_FIRST_DAY, _LAST_DAY = -719162, 2932896
"""0001-01-01 and 9999-12-31, in days since 1970: ISO 8601 has four digits for a year, and texts of them sort."""
_PER_DAY = {"us": 86_400_000_000, "ns": 86_400_000_000_000}


def stored(column: pa.ChunkedArray, name: str) -> Sequence[Any]:
    """The values of a plain column as ``SqliteTypes.of_arrow`` says they are stored.

    :raises UnfitValueError: for a value that SQLite has no form of.
    """
    try:
        return _stored(column, name)
    except UnfitValueError as error:
        raise UnfitValueError(str(error), name) from error
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise UnfitValueError(f"column {name!r}: {error}", name) from error


def _stored(column: pa.ChunkedArray, name: str) -> Sequence[Any]:
    type_ = column.type
    if is_json(type_) or pa.types.is_nested(type_):
        return _list(json_text(column))
    if isinstance(type_, pa.UuidType):
        return [None if value is None else str(value) for value in column.to_pylist()]
    if pa.types.is_floating(type_):
        if pc.any(pc.is_nan(column)).as_py():
            raise UnfitValueError(
                f"column {name!r}: SQLite has no NaN, it would store NULL: make it NULL, or text, with a transform"
            )
    elif pa.types.is_decimal(type_):
        return _decimals(column)
    elif type_ == pa.uint64():
        return _list(column.cast(pa.string()))
    elif pa.types.is_date(type_):
        _check_years(column.cast(pa.int32()), 1, name)
        return _list(column.cast(pa.string()))
    elif pa.types.is_timestamp(type_):
        return _timestamps(column, name)
    elif pa.types.is_time(type_):
        _check_day(column, name)
        return _list((column if type_.unit == "ns" else column.cast(pa.time64("us"))).cast(pa.string()))
    elif pa.types.is_duration(type_):
        return _list(column.cast(pa.duration("us")).cast(pa.int64()))
    return _list(column)


def _timestamps(column: pa.ChunkedArray, name: str) -> Sequence[Any]:
    """``2026-11-21 12:00:00.123456``, and ``+00:00`` where there is a zone: all of one length, so they sort."""
    unit = "ns" if column.type.unit == "ns" else "us"
    ticks = column.cast(pa.timestamp(unit, column.type.tz)).cast(pa.int64())
    _check_years(ticks, _PER_DAY[unit], name)
    texts = ticks.cast(pa.timestamp(unit)).cast(pa.string())
    return _list(pc.binary_join_element_wise(texts, "+00:00", "") if column.type.tz is not None else texts)


def _check_day(column: pa.ChunkedArray, name: str) -> None:
    latest = pc.max(column.cast(pa.time64("ns")).cast(pa.int64())).as_py()
    if latest is not None and latest >= _PER_DAY["ns"]:
        raise UnfitValueError(f"column {name!r}: SQLite keeps times as text, which ends before 24:00: use a transform")


def _check_years(ticks: pa.ChunkedArray, per_day: int, name: str) -> None:
    bounds = pc.min_max(ticks).as_py()
    low, high = bounds["min"], bounds["max"]
    if low is not None and (low < _FIRST_DAY * per_day or high >= (_LAST_DAY + 1) * per_day):
        raise UnfitValueError(
            f"column {name!r}: a date before the year 1 or after 9999 has no text that sorts, which is what SQLite "
            "keeps dates as: convert it with a transform"
        )


def _decimals(column: pa.ChunkedArray) -> Sequence[Any]:
    texts = _list(column.cast(pa.string()))
    # Arrow writes small ones as 1E-9.
    return [f"{value:f}" if text is not None and "E" in text else text for text, value in _paired(texts, column)]


def _paired(texts: Sequence[Any], column: pa.ChunkedArray) -> Any:
    if not any(text is not None and "E" in text for text in texts):
        return ((text, None) for text in texts)
    return zip(texts, column.to_pylist(), strict=True)


def _list(column: pa.ChunkedArray) -> Sequence[Any]:
    values: list[Any] = column.to_pylist()
    return values
