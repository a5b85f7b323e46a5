# SPDX-License-Identifier: Apache-2.0
"""Columns as CloudQuery types them, and values converted to them.

CloudQuery adds two types to Arrow's: ``json`` over binary, and ``uuid`` over 16 bytes. The metadata of a field declares
them, so that no type is registered in this process.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

import pyarrow as pa

from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts import to_json

UUID = (pa.binary(16), "uuid")
JSON = (pa.binary(), "json")


class MisfitError(ValueError):
    """A value that the type of its column cannot hold. ``row``: its index."""

    def __init__(self, reason: str, row: int) -> None:
        super().__init__(reason)
        self.row = row


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    :param source: its name in the source. :param type: Arrow's type. :param extension: CloudQuery's type over it.
    :param key: part of the primary key.
    """

    name: str
    source: str
    type: pa.DataType
    extension: str | None = None
    key: bool = False
    unique: bool = False
    required: bool = False

    def field(self) -> pa.Field:
        metadata = {}
        if self.extension is not None:
            metadata["ARROW:extension:name"] = self.extension
            metadata["ARROW:extension:metadata"] = f"{self.extension}-serialized"
        if self.key:
            metadata["cq:extension:primary_key"] = "true"
        if self.unique:
            metadata["cq:extension:unique"] = "true"
        # a delete has the key alone, so no other column is required
        return pa.field(self.name, self.type, not (self.key or self.required), metadata)

    def accepts(self, other: Column) -> bool:
        """Whether every value of another column is one of this type."""
        same = self.type == other.type and self.extension == other.extension
        return same or pa.types.is_null(other.type) or self._is_wider(other)

    def _is_wider(self, other: Column) -> bool:
        if self.extension is not None or other.extension is not None:
            return self.extension == "json" and other.extension is None and not pa.types.is_binary(other.type)
        if self.type == pa.string():
            return not pa.types.is_binary(other.type)
        if self.type == pa.float64() and pa.types.is_integer(other.type):
            return True  # an integer that it cannot hold is refused with its row
        integers = pa.types.is_integer(self.type) and pa.types.is_integer(other.type)
        signs = integers and pa.types.is_signed_integer(self.type) == pa.types.is_signed_integer(other.type)
        return bool(signs and self.type.bit_width >= other.type.bit_width)

    def widened(self, other: Column) -> Column:
        """A column for the values of both."""
        if self.accepts(other):
            return self
        if replace(other, key=self.key).accepts(self):
            return replace(other, key=self.key)
        return replace(self, type=pa.string(), extension=None)


def column_of(name: str, source: str, type_: pa.DataType, key: bool = False) -> Column:
    """The column for values of an Arrow type: nested values are JSON, and what has no type yet is text."""
    extension = type_.extension_name if isinstance(type_, pa.BaseExtensionType) else None
    if extension == "arrow.uuid":
        return Column(name, source, *UUID, key=key)
    if extension == "arrow.json" or pa.types.is_nested(type_):
        return Column(name, source, *JSON, key=key)
    if isinstance(type_, pa.BaseExtensionType):
        return column_of(name, source, type_.storage_type, key)
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return column_of(name, source, type_.value_type, key)
    if pa.types.is_null(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return Column(name, source, pa.string(), key=key)
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_) or pa.types.is_fixed_size_binary(type_):
        return Column(name, source, pa.binary(), key=key)
    return Column(name, source, pa.float32() if pa.types.is_float16(type_) else type_, key=key)


def values_of(values: pa.Array, column: Column) -> pa.Array:
    """Values as the base hands them out, in the type of their column.

    :raises MisfitError: for a value that is not one of that type.
    """
    if values.type == JSON_TYPE:
        texts = values.storage
        return texts.cast(column.type) if column.extension == "json" or column.type == pa.string() else _misfit(0)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), column.type)
    if column.extension == "uuid":
        return values if values.type == column.type else _uuids(values)
    if column.extension == "json":
        return pa.array([None if value is None else to_json(value) for value in values.to_pylist()], pa.string()).cast(
            pa.binary()
        )
    if values.type == column.type:
        return values
    try:
        return values.cast(column.type)
    except pa.ArrowInvalid:
        return pa.concat_arrays([_cast_value(values.slice(row, 1), column, row) for row in range(len(values))])


def _cast_value(value: pa.Array, column: Column, row: int) -> pa.Array:
    try:
        return value.cast(column.type)
    except pa.ArrowInvalid as error:
        raise MisfitError(str(error), row) from None


def _misfit(row: int) -> pa.Array:
    raise MisfitError("a nested value cannot be stored in a column of another type", row)


def _uuids(texts: pa.Array) -> pa.Array:
    """The 16 bytes of UUIDs that are text."""
    values = texts.to_pylist()
    try:
        if all(value is not None and len(value) == 36 for value in values):
            data = bytes.fromhex("".join(values).replace("-", ""))  # eight times as fast as one by one
            if len(data) == 16 * len(values):
                return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [None, pa.py_buffer(data)])
    except ValueError:
        pass
    return pa.array([_uuid_bytes(value, row) for row, value in enumerate(values)], pa.binary(16))


def _uuid_bytes(text: str | None, row: int) -> bytes | None:
    try:
        return uuid.UUID(text).bytes if text is not None else None
    except ValueError:
        raise MisfitError(f"{text!r} is not a UUID", row) from None
