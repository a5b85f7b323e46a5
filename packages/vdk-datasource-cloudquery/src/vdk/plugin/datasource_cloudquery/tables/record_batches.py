# SPDX-License-Identifier: Apache-2.0
"""Rows as record batches of CloudQuery's messages: ``_cq_id``, serialization, and the bound on a message's size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa

from .columns import MisfitError, values_of
from .table import Table

MAX_MESSAGE = 3_000_000
"""Bytes of a message of several rows."""
MAX_ROW = 4_000_000
"""Bytes of a message of one row: gRPC refuses more than 4 MiB by default, and the command adds columns."""


class RowMisfitError(MisfitError):
    """A row that cannot be sent, with the column that is the reason, if one is."""

    def __init__(self, reason: str, row: int, column: str | None = None) -> None:
        super().__init__(reason, row)
        self.column = column


def schema_message(schema: pa.Schema) -> bytes:
    """A schema in Arrow's stream format."""
    return _stream(schema, None)


def record_message(batch: pa.RecordBatch) -> bytes:
    """A record batch, with its schema, in Arrow's stream format."""
    return _stream(batch.schema, batch)


def _stream(schema: pa.Schema, batch: pa.RecordBatch | None) -> bytes:
    output = pa.BufferOutputStream()
    with pa.ipc.new_stream(output, schema) as writer:
        if batch is not None:
            writer.write_batch(batch)
    content: bytes = output.getvalue().to_pybytes()
    return content


def record_batch(table: Table, data: pa.Table, *, deterministic: bool) -> pa.RecordBatch:
    """Rows with all columns of a table, in its order.

    :param data: columns by their names in the source; those that are missing are null.
    :raises RowMisfitError: for a value that does not fit, and for a key that is null.
    """
    count = data.num_rows
    arrays = {}
    for column in table.columns:
        index = data.schema.get_field_index(column.source)
        if index < 0:
            arrays[column.name] = pa.nulls(count, column.type)
            continue
        chunks = data.column(index)
        values = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
        try:
            arrays[column.name] = values_of(values, column)
        except MisfitError as error:
            raise RowMisfitError(str(error), error.row, column.source) from None
        if column.key and values.null_count:
            row = next(row for row, value in enumerate(values.is_null().to_pylist()) if value)
            raise RowMisfitError("the primary key is null", row, column.source)
    key = [(column.name, arrays[column.name]) for column in table.key]
    ids = _hashed_ids(table.name, key, count) if deterministic and key else _random_ids(count)
    schema = table.schema()
    return pa.RecordBatch.from_arrays([ids, pa.nulls(count, pa.binary(16)), *arrays.values()], schema=schema)


def _random_ids(count: int) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(os.urandom(16 * count))])


_ENCODER = msgspec.json.Encoder(enc_hook=str, decimal_format="string")


def _hashed_ids(table: str, key: Sequence[tuple[str, pa.Array]], count: int) -> pa.Array:
    """The same id for the same key, in every sync."""
    names = [table, *(name for name, _ in key)]
    prefix = hashlib.sha256(_ENCODER.encode(names))
    ids = bytearray()
    for values in zip(*(_plain_values(array) for _, array in key), strict=True):
        digest = prefix.copy()
        digest.update(_ENCODER.encode(values))
        ids += digest.digest()[:16]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(bytes(ids))])


def _plain_values(array: pa.Array) -> Sequence[object]:
    """The values of a key, those of times as the numbers that they are: Python's own types lack nanoseconds."""
    if pa.types.is_temporal(array.type):
        bits = array.type.bit_width
        array = array.cast(pa.int64() if bits == 64 else pa.int32())
    return list(array.to_pylist())


def record_messages(batch: pa.RecordBatch, first: int = 0) -> Iterator[bytes]:
    """The batch in messages of ``MAX_MESSAGE`` at most.

    :param first: the number of the batch's first row, for errors.
    :raises RowMisfitError: for a row that is larger than ``MAX_ROW``.
    """
    count = batch.num_rows
    rows = max(1, int(MAX_MESSAGE * 0.9 * count / max(batch.nbytes, 1)))
    for begin in range(0, count, rows):
        part = batch.slice(begin, rows)
        content = record_message(part)
        if len(content) <= MAX_MESSAGE or (part.num_rows == 1 and len(content) <= MAX_ROW):
            yield content
        elif part.num_rows == 1:
            raise RowMisfitError(
                f"the row has {len(content):,} bytes, and a message of CloudQuery at most {MAX_ROW:,}", first + begin
            )
        else:  # rows differ in their size
            middle = part.num_rows // 2
            yield from record_messages(part.slice(0, middle), first + begin)
            yield from record_messages(part.slice(middle), first + begin + middle)
