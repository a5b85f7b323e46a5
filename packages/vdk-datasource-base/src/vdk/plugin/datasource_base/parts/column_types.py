"""Types of columns, as a configuration writes them."""

from __future__ import annotations

import re

import pyarrow as pa

from ..contract import JSON_TYPE, ConfigurationError

_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "json": JSON_TYPE,
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")


def column_type(text: str) -> pa.DataType:
    """``integer``, ``decimal(12,2)`` and so on as Arrow types. Raises ``ConfigurationError`` for others."""
    if (known := _TYPES.get(text)) is not None:
        return known
    if (match := _DECIMAL.fullmatch(text)) and 0 < int(match[1]) <= 38 and int(match[2]) <= int(match[1]):
        return pa.decimal128(int(match[1]), int(match[2]))
    raise ConfigurationError(f"{text!r} is not a column type; expected {', '.join(_TYPES)} or decimal(p,s)")
