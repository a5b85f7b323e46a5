# SPDX-License-Identifier: Apache-2.0
"""Rows in the types that dlt has, and in the columns that a table has already.

dlt writes Arrow as it is, and lets the destination convert what does not fit the column, which may round a value. So a
value that does not fit goes where dlt puts it for other data: into a column of its own, as ``price__v_double``.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import JSON_TYPE, BadRecordError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX, cast_exactly

SEQUENCE = f"{RESERVED_PREFIX}sequence"
"""The order of a table's operations in one load: dlt keeps the last one of each key."""

_WIDER = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}
_KEPT = (
    *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.binary()),
    *(pa.date32(), pa.time32("s"), pa.time32("ms"), pa.time64("us")),
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us") for zone in (None, "UTC")),
)
_BY_NAME = {str(type_): type_ for type_ in _KEPT}
_DECIMAL = re.compile(r"decimal128\((\d+), (\d+)\)")
_JSON = "json"
_MISFIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)


class TableColumns:
    """Makes the rows of one stream fit the types of dlt and the columns of its table.

    :param known: column → type, of earlier loads. :param key: the primary key, whose values are never NULL.
    """

    def __init__(self, stream: str, known: Mapping[str, str], key: tuple[str, ...]) -> None:
        self._stream = stream
        self._key = key
        self.types = dict(known)
        """Column → type as text, of all rows so far. It is stored with the states, since dlt stores other names."""

    def fit(self, data: pa.Table) -> pa.Table:
        """The rows as dlt writes them. Columns without any value are left out.

        :raises BadRecordError: for a value that no type of dlt holds.
        """
        fields, columns = [], []
        for source in data.schema:
            if pa.types.is_null(source.type):
                continue
            for name, type_name, column in self._fitted(source.name, data.column(source.name)):
                self.types.setdefault(name, type_name)
                fields.append(pa.field(name, column.type, nullable=name not in self._key))
                columns.append(column)
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    def _fitted(self, name: str, column: pa.ChunkedArray) -> Iterator[tuple[str, str, pa.ChunkedArray]]:
        """The column, and where some of its values do not fit its type, a column for those."""
        if name in self._key and column.null_count:
            raise BadRecordError("the primary key is NULL", stream=self._stream, column=name)
        type_name, column = self._converted(name, column)
        known = self.types.get(name, type_name)
        if known == type_name:
            yield name, type_name, column
            return
        try:
            yield name, known, cast_exactly(column, arrow_type(known))
        except _MISFIT:
            yield variant_name(name, type_name), type_name, column

    def _converted(self, name: str, column: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
        """The column in a type of dlt, and the name of the type."""
        type_ = column.type
        if type_ == JSON_TYPE:
            return _JSON, pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string())
        if pa.types.is_duration(type_):
            texts = [None if count is None else duration(count, type_.unit) for count in _counts(column)]
            return str(pa.string()), pa.chunked_array([pa.array(texts, pa.string())])
        target = _target(type_)
        if target is None:
            raise BadRecordError(
                f"dlt has no type for {type_}; convert the column with a transform, or leave it out",
                stream=self._stream,
                column=name,
            )
        try:
            return str(target), column if type_ == target else _cast(column, target)
        except _MISFIT:
            raise BadRecordError(
                f"a value of type {type_} has more digits than dlt's {target}; convert the column with a transform",
                stream=self._stream,
                column=name,
            ) from None


def column_hints(types: Mapping[str, str]) -> dict[str, Any]:
    """dlt's hints for the columns whose type Arrow does not tell: JSON, and times without a zone."""
    hints: dict[str, Any] = {}
    for name, type_name in types.items():
        if type_name == _JSON:
            hints[name] = {"data_type": "json"}
        elif type_name.startswith("timestamp") and "tz=" not in type_name:
            hints[name] = {"timezone": False}
    return hints


def variant_name(name: str, type_name: str) -> str:
    """The name of the column for values that do not fit: what dlt calls it for rows that are not Arrow."""
    kind = type_name.partition("(")[0].partition("[")[0].rstrip("0123456789")
    return f"{name}__v_{ {'string': 'text', 'int': 'bigint', 'date': 'date', 'float': 'double'}.get(kind, kind) }"


def arrow_type(name: str) -> pa.DataType:
    """The type of which this is the name."""
    if (match := _DECIMAL.fullmatch(name)) is not None:
        return pa.decimal128(int(match[1]), int(match[2]))
    return pa.string() if name == _JSON else _BY_NAME[name]


def declared_types(schema: pa.Schema | None) -> dict[str, str]:
    """The names of the types that declared columns have in dlt; those that are unknown are left out."""
    types = {}
    for field in schema or ():
        if field.type == JSON_TYPE:
            types[field.name] = _JSON
        elif not pa.types.is_null(field.type) and (target := _target(field.type)) is not None:
            types[field.name] = str(target)
    return types


def empty_tables(schema: pa.Schema | None, key: Sequence[str]) -> list[pa.Table]:
    """A table without rows of the columns whose types are known, if there are any."""
    types = declared_types(schema)
    fields = [pa.field(name, arrow_type(type_name), nullable=name not in key) for name, type_name in types.items()]
    return [pa.schema(fields).empty_table()] if fields else []


def _target(type_: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if (wider := _WIDER.get(type_)) is not None:
        return wider
    if types.is_decimal(type_):
        return pa.decimal128(type_.precision, type_.scale) if type_.precision <= 38 and type_.scale >= 0 else None
    if types.is_date(type_):
        return pa.date32()
    if types.is_duration(type_):
        return pa.string()
    if type_ == pa.time64("ns"):
        return pa.time64("us")
    if types.is_timestamp(type_):
        return pa.timestamp("us" if type_.unit == "ns" else type_.unit, None if type_.tz is None else "UTC")
    return type_ if type_ in _KEPT else None


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    return column.cast(target, safe=True)


def _counts(column: pa.ChunkedArray) -> list[int | None]:
    counts: list[int | None] = column.cast(pa.int64()).to_pylist()
    return counts


def duration(count: int, unit: str) -> str:
    """A length of time as ISO 8601 writes it, in seconds with all digits."""
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    return f"{'-' if count < 0 else ''}PT{decimal.Decimal(abs(count)).scaleb(-digits):f}S"
