# SPDX-License-Identifier: Apache-2.0
"""Nested records: objects in a record as columns of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError

from .http.types import Row

SEPARATOR = "__"
DEFAULT_DEPTH = 5


def flattened(rows: Sequence[Row], depth: int, stream: str) -> list[Row]:
    """Records whose objects are columns: ``{"a": {"b": 1}}`` is ``{"a__b": 1}``. Lists and what is deeper stay.

    :raises ConfigurationError: for a field that has the name of such a column, since one of the two would be lost.
    """
    return [_flat(row, depth, stream) if _is_nested(row) else row for row in rows]


def _is_nested(row: Row) -> bool:
    return any(isinstance(value, Mapping) for value in row.values())


def _flat(row: Row, depth: int, stream: str) -> Row:
    columns: dict[str, Any] = {}
    _add(columns, row, "", depth, stream)
    return columns


def _add(columns: dict[str, Any], fields: Row, prefix: str, depth: int, stream: str) -> None:
    for field, value in fields.items():
        name = f"{prefix}{field}"
        if isinstance(value, Mapping) and depth > 0 and value:
            _add(columns, value, f"{name}{SEPARATOR}", depth - 1, stream)
        elif name in columns:
            raise ConfigurationError(
                f"stream {stream!r}: two fields of a record are the column {name!r}, one of them in an object; set "
                'nested = "json" to keep objects as they are'
            )
        else:
            columns[name] = value
