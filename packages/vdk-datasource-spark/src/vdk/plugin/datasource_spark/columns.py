# SPDX-License-Identifier: Apache-2.0
"""Columns as Spark has them. A batch gets exactly the names, the order and the types of the data frame's schema."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import DataType, StringType, StructField, StructType

from vdk.plugin.datasource_base.contract import JSON_TYPE, ConfigurationError
from vdk.plugin.datasource_base.parts import (
    DELETED_AT,
    RESERVED_PREFIX,
    RefusedRow,
    RefusedRowsError,
    TableBatch,
    cast_exactly,
    closest,
    to_json,
)
from vdk.plugin.datasource_base.runtime import RejectedBatch

from .options import ReadOptions

log = logging.getLogger(__name__)

DELETED = f"{RESERVED_PREFIX}deleted"
ERROR = f"{RESERVED_PREFIX}error"
EXTRA = f"{RESERVED_PREFIX}extra"
_INTEGERS = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64()}
_MISFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)


def spark_type(type_: pa.DataType) -> DataType:
    """The type of Spark that holds every value of an Arrow type: text where no other does.

    Spark's times have microseconds: a value with nanoseconds is a row that does not fit.
    """
    types = pa.types
    if types.is_uint64(type_):
        return from_arrow_type(pa.decimal128(20, 0))
    if types.is_decimal(type_):
        fits = type_.precision <= 38 and 0 <= type_.scale <= type_.precision
        return from_arrow_type(pa.decimal128(type_.precision, type_.scale)) if fits else StringType()
    if types.is_date(type_):
        return from_arrow_type(pa.date32())
    if types.is_float16(type_):
        return from_arrow_type(pa.float32())
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_):
        return from_arrow_type(pa.binary())
    known = types.is_boolean(type_) or types.is_integer(type_) or types.is_floating(type_)
    if known or types.is_timestamp(type_) or types.is_duration(type_):
        return from_arrow_type(_INTEGERS.get(type_, type_))
    return StringType()


def spark_schema(fields: pa.Schema, options: ReadOptions) -> StructType:
    """The schema of the data frame: the chosen columns, then those that the options add.

    Every column may be NULL: a deleted or a rejected row has no values.
    """
    names = options.columns or fields.names
    if unknown := [name for name in names if name not in fields.names]:
        near = closest(unknown[0], fields.names)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(map(repr, fields.names))}"
        raise ConfigurationError(f"option columns: stream {options.stream!r} has no column {unknown[0]!r}; {hint}")
    folded: dict[str, str] = {}
    for name in names:
        if (other := folded.setdefault(name.lower(), name)) != name:
            raise ConfigurationError(
                f"stream {options.stream!r} has the columns {other!r} and {name!r}, which are one name for Spark; "
                f'name the columns to read, as in option("columns", "{other}")'
            )
    columns = [StructField(name, spark_type(fields.field(name).type)) for name in names]
    return StructType([*columns, *(StructField(name, type_) for name, type_ in added_columns(options))])


def added_columns(options: ReadOptions) -> Iterator[tuple[str, DataType]]:
    if options.extra == "column":
        yield EXTRA, StringType()
    if options.deletes == "column":
        yield DELETED, from_arrow_type(pa.bool_())
    if options.on_bad_record == "column":
        yield ERROR, StringType()


def check_schema(schema: StructType, options: ReadOptions) -> None:
    """Raise ``ConfigurationError`` for a schema of the user's without a column that the options add.

    A deleted row without its mark would be one more row.
    """
    for name, type_ in added_columns(options):
        if name not in schema.names or schema[name].dataType != type_:
            raise ConfigurationError(f".schema() lacks a column of the options; add: {name} {type_.simpleString()}")


@dataclass(slots=True)
class SchemaFit:
    """Makes batches of a stream fit the data frame's schema."""

    stream: str
    schema: pa.Schema
    warn: bool
    """Whether a column that the schema lacks is worth a warning: nobody chose the columns."""
    _warned: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, schema: StructType, options: ReadOptions) -> SchemaFit:
        return cls(options.stream, to_arrow_schema(schema, timezone="UTC"), not options.columns)

    def batches(self, batches: Sequence[TableBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of all batches, rejected ones included.

        :raises RefusedRowsError: with the rows whose values no column of the schema holds.
        """
        for index, batch in enumerate(batches):
            if batch.data.num_rows:
                data = batch.data
                columns = self._rejected(data) if isinstance(batch, RejectedBatch) else self._columns(data, index)
                table = pa.Table.from_arrays(columns, schema=self.schema)
                yield from table.combine_chunks().to_batches()

    def _columns(self, data: pa.Table, index: int) -> list[pa.ChunkedArray]:
        names = set(self.schema.names)
        others = [name for name in data.schema.names if name not in names and name != DELETED_AT]
        columns = []
        for target in self.schema:
            if target.name == DELETED:
                deleted = DELETED_AT in data.schema.names
                columns.append(_whole(data.column(DELETED_AT).is_valid() if deleted else pa.repeat(False, len(data))))
            elif target.name == EXTRA:
                columns.append(_whole(_as_json(data, others)))
            elif target.name in data.schema.names:
                columns.append(self._cast(data.column(target.name), target, index))
            else:
                columns.append(_nulls(len(data), target.type))
        if others and self.warn and EXTRA not in names:
            self._warn(others)
        return columns

    def _rejected(self, data: pa.Table) -> list[pa.ChunkedArray]:
        """Rejected rows as ``{"reason": …, "row": …}``; the values of their columns are not known to fit."""
        errors = [
            f'{{"reason":{to_json(reason)},"row":{row}}}'
            for reason, row in zip(data.column("reason").to_pylist(), data.column("row").to_pylist(), strict=True)
        ]
        own = {ERROR: pa.array(errors, pa.string()), DELETED: pa.repeat(False, len(data))}
        return [
            _whole(own[target.name]) if target.name in own else _nulls(len(data), target.type) for target in self.schema
        ]

    def _cast(self, column: pa.ChunkedArray, target: pa.Field, index: int) -> pa.ChunkedArray:
        try:
            return cast_column(column, target.type)
        except _MISFIT:
            misfits = list(_misfits(column, target, index))
            raise RefusedRowsError(
                f"stream {self.stream!r}: column {target.name!r} of Spark's schema is {target.type}", misfits
            ) from None

    def _warn(self, names: Collection[str]) -> None:
        if new := [name for name in names if name not in self._warned]:
            self._warned.update(new)
            log.warning(
                'stream %r: the columns %s are not in the schema, and are dropped; write option("extra", "column") to '
                "keep them as JSON, or name them in .schema()", self.stream, ", ".join(map(repr, new)),
            )  # fmt: skip


def cast_column(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """The column as another type, with every value kept. Raises one of Arrow's errors if that is not possible."""
    if column.type == target:
        return column
    if column.type == JSON_TYPE:
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string())
    if pa.types.is_null(column.type):
        return _nulls(len(column), target)
    if pa.types.is_string(target):
        return column.cast(target)
    return cast_exactly(column, target)


def _misfits(column: pa.ChunkedArray, target: pa.Field, index: int) -> Iterator[RefusedRow]:
    for row in range(len(column)):
        try:
            cast_column(column.slice(row, 1), target.type)
        except _MISFIT:
            reason = f"the value, {column.type}, does not fit {target.type}, the column's type in Spark's schema"
            yield RefusedRow(index, row, reason, target.name)


def _as_json(data: pa.Table, names: Sequence[str]) -> pa.Array:
    """An object of the values that are not NULL; NULL where there is none."""
    rows = data.select(list(names)).to_pylist() if names else [{}] * len(data)
    kept = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return pa.array([to_json(row) if row else None for row in kept], pa.string())


def _nulls(count: int, type_: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(count, type_)], type_)


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
