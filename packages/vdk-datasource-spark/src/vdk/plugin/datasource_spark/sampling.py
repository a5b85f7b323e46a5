# SPDX-License-Identifier: Apache-2.0
"""The columns of a stream, and the types that it does not declare, from its first rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConfigurationError, StreamSchema
from vdk.plugin.datasource_base.parts import DELETED_AT, TableBatch
from vdk.plugin.datasource_base.runtime import RejectedBatch

from .session import Session
from .tasks import TaskSource, read_stream, whole_stream


def sampled_fields(session: Session) -> pa.Schema:
    """The declared columns, then those of the first ``sample_rows`` rows if the stream does not declare all.

    A column that is NULL in all of them has Arrow's null type.
    """
    declared = session.landing(session.schemas()[_table_of(session)])
    if declared is not None and not declared.open and not any(map(pa.types.is_null, declared.fields.types)):
        return declared.fields
    fields = {field.name: field for field in declared.fields} if declared is not None else {}
    for schema in _first_schemas(session):
        for field in schema:
            known = fields.get(field.name)
            if known is None or pa.types.is_null(known.type):
                fields[field.name] = field
            elif not pa.types.is_null(field.type) and not _is_declared(declared, field.name):
                fields[field.name] = pa.field(field.name, _common(known.type, field.type))
    if not fields:
        raise ConfigurationError(
            f"stream {session.stream.name!r} declares no column and has no row to infer one from; name its columns, as "
            'in .schema("id BIGINT, name STRING")'
        )
    return pa.schema(list(fields.values()))


def _table_of(session: Session) -> str | None:
    table = session.options.table
    return None if table == session.stream.name else table


def _is_declared(declared: StreamSchema | None, name: str) -> bool:
    return (
        declared is not None
        and name in declared.fields.names
        and not pa.types.is_null(declared.fields.field(name).type)
    )


def _common(first: pa.DataType, other: pa.DataType) -> pa.DataType:
    """A type for the values of both; text where there is none that keeps them."""
    types = pa.types
    if first == other:
        return first
    if types.is_integer(first) and types.is_integer(other):
        return pa.int64()
    numbers = (types.is_integer(first) or types.is_floating(first)) and (
        types.is_integer(other) or types.is_floating(other)
    )
    return pa.float64() if numbers else pa.string()


def _first_schemas(session: Session) -> Iterator[pa.Schema]:
    options = session.options
    missing = options.sample_rows
    stream = whole_stream(session.stream, session.schemas(), options)

    def tables(batches: Sequence[TableBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if not isinstance(batch, RejectedBatch) and DELETED_AT not in batch.data.schema.names:
                yield from batch.data.slice(0, missing).combine_chunks().to_batches()

    rows = read_stream(TaskSource(session.configured, stream), options, tables, batch_rows=missing)
    with closing(rows):
        for batch in rows:
            yield batch.schema
            missing -= batch.num_rows
            if missing <= 0:
                return
