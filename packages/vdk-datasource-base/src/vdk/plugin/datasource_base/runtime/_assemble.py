"""Runs of payloads as slices: transformed, converted, checked, with the framework's columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ..contract import BadRecordError, DataSourceError, StreamSchema
from ..parts import DELETED_AT, RESERVED_PREFIX, RefusedRow, RefusedRowsError, Slice, TableSpec, WriteMode
from ..parts._columns import TIMESTAMP, add_columns, check_names, rejected_spec, rejected_table
from ..parts._convert import convert_batch, convert_rows
from ..parts._infer import infer_table
from ..parts._reduce import last_per_key, without_key
from ..parts._rows import rows_of
from ..parts._transform import Data
from ._buffer import Run
from ._plan import StreamPlan


class RejectedSlice(Slice):
    """Rows for ``<table>__rejected``; a table of a source may well have such a name, too."""

    __slots__ = ()


Rejected = list[tuple[Mapping[str, Any], BadRecordError]]


def slices_of(plan: StreamPlan, runs: Sequence[Run], mode: WriteMode | None) -> list[Slice]:
    """The runs as slices, in their order.

    :param mode: the stream's write mode; None: undecided, so no key is reduced yet.
    :raises BadRecordError: for a row that does not fit, unless the flow rejects such rows.
    """
    slices: list[Slice] = []
    for run in runs:
        spec = plan.spec(run.table, mode)
        if run.kind != "rows":
            slices.append(_deletes(plan, run, spec, mode))
            continue
        tables, rejected = _converted(plan, run)
        facts = {**plan.facts, "synced_at": dt.datetime.now(dt.UTC)}
        for table in tables:
            if not table.num_columns:
                continue
            check_names(table, stream=plan.name)
            if mode == "upsert" and spec.primary_key:
                table, keyless = without_key(table, spec.primary_key, stream=plan.name)
                rejected.extend(keyless)
                table = last_per_key(table, spec.primary_key)
            slices.append(Slice(spec, "rows", add_columns(table, plan.metadata_columns, facts, run.metadata)))
        if rejected:
            slices.append(_rejected(plan, spec, rejected))
    return slices


def _converted(plan: StreamPlan, run: Run) -> tuple[list[pa.Table], Rejected]:
    """A run's tables, and the rows that fit none. Batches of one shape become one table."""
    schema, loose = plan.schema_of(run.table), plan.transform is not None
    rejected: Rejected = list(run.rejected)
    tables: list[pa.Table] = []
    given: list[Data] = [*_joined(run.batches)]
    if run.rows:
        given.append(run.rows)
    for data in given:
        if plan.transform is not None:
            changed = plan.transform(data, stream=plan.name)
            if changed is None:
                continue
            data = changed
        converted = (
            convert_batch(data, schema, stream=plan.name, loose=loose)
            if isinstance(data, pa.Table)
            else convert_rows(data, schema, stream=plan.name, loose=loose)
        )
        tables.append(converted.table)
        rejected.extend(converted.rejected)
    return tables, rejected


def _joined(batches: Sequence[pa.Table]) -> list[pa.Table]:
    """Consecutive batches of one schema as one table."""
    groups: list[list[pa.Table]] = []
    for batch in batches:
        if groups and groups[-1][-1].schema.equals(batch.schema):
            groups[-1].append(batch)
        else:
            groups.append([batch])
    return [pa.concat_tables(group) if len(group) > 1 else group[0] for group in groups]


def _rejected(plan: StreamPlan, spec: TableSpec, rejected: Rejected) -> RejectedSlice:
    if plan.options.on_bad_record == "fail":
        raise rejected[0][1]
    table = rejected_table(rejected, source=plan.source_id, stream=plan.name, run_id=plan.run_id)
    return RejectedSlice(rejected_spec(spec.name), "rows", table)


def without_refused(plan: StreamPlan, slices: Sequence[Slice], error: RefusedRowsError) -> list[Slice]:
    """The slices without the rows that the destination refuses, which are set aside like others that do not fit.

    :raises BadRecordError: unless the flow rejects such rows; and for deletes, which cannot be.
    :raises RefusedRowsError: for rows that are rejected already.
    """
    kept: list[Slice] = []
    for number, one in enumerate(slices):
        refused = {each.row: each for each in error.rows if each.slice == number}
        if not refused:
            kept.append(one)
            continue
        if isinstance(one, RejectedSlice):
            raise error
        rejected = [_refusal(plan, one, each) for each in refused.values()]
        if one.kind != "rows":
            raise rejected[0][1]
        stay = pa.array([row for row in range(one.data.num_rows) if row not in refused], pa.int64())
        kept += [Slice(one.table, one.kind, one.data.take(stay)), _rejected(plan, one.table, rejected)]
    return kept


def _refusal(plan: StreamPlan, one: Slice, refused: RefusedRow) -> tuple[Mapping[str, Any], BadRecordError]:
    names = [name for name in one.data.schema.names if not name.startswith(RESERVED_PREFIX)]
    row = {name: _shown(one.data.select([name]).slice(refused.row, 1)) for name in names}
    declared = plan.schema.primary_key if plan.schema is not None else ()
    key = {name: row.get(name) for name in one.table.primary_key or declared if name in row}
    error = BadRecordError(
        refused.reason,
        stream=plan.name,
        column=refused.column,
        key=key or None,
        value=row.get(refused.column) if refused.column is not None else None,
    )
    return row, error


def _shown(value: pa.Table) -> Any:
    """The one value of a table; where Python has none for it, text as its bytes, and a date or time as its number."""
    try:
        return next(iter(rows_of(value)[0].values()))
    except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
        column = value.column(0)
        if pa.types.is_string(column.type):
            return repr(column.cast(pa.binary())[0].as_py())
        return column.cast(pa.int64() if column.type.bit_width == 64 else pa.int32())[0].as_py()


def _deletes(plan: StreamPlan, run: Run, spec: TableSpec, mode: WriteMode | None) -> Slice:
    """Deleted keys, or all keys there are: as they are under upsert; deletes under append are rows that say so."""
    schema = plan.schema_of(run.table)
    key = schema.primary_key if schema is not None else ()
    if mode == "replace":
        raise DataSourceError(f"stream {plan.name!r} yielded {run.kind}, which a table that is replaced cannot take")
    if schema is None or not key:
        raise DataSourceError(
            f"stream {plan.name!r} yielded {run.kind} but declares no primary key to find the rows by"
        )
    if run.kind == "keys" and plan.transform is not None:
        raise DataSourceError(
            f"stream {plan.name!r} yielded all its keys, to delete the other rows of {spec.name!r}, and transform "
            f"{plan.transform.name} may have changed the keys of those; leave out one of the two"
        )
    if run.kind == "keys" and spec.write_mode == "append":
        raise DataSourceError(
            f"stream {plan.name!r} yielded all its keys, to delete the other rows of {spec.name!r}, and rows are only "
            'appended there; use write_mode = "upsert"'
        )
    keys = _keys(run, schema, key, plan.name)
    if spec.write_mode == "append":
        marked = keys.append_column(DELETED_AT, pa.repeat(pa.scalar(dt.datetime.now(dt.UTC), TIMESTAMP), keys.num_rows))
        facts = {**plan.facts, "synced_at": dt.datetime.now(dt.UTC)}
        return Slice(spec, "rows", add_columns(marked, plan.metadata_columns, facts, run.metadata))
    keys, keyless = without_key(keys, key, stream=plan.name)
    if keyless:
        raise keyless[0][1]
    return Slice(spec, run.kind, last_per_key(keys, key))


def _keys(run: Run, schema: StreamSchema, key: Sequence[str], stream: str) -> pa.Table:
    only = StreamSchema(pa.schema([schema.fields.field(name) for name in key]), tuple(key))
    tables = [batch.select(list(key)) for batch in run.batches]
    if run.rows:
        tables.append(infer_table([{name: row.get(name) for name in key} for row in run.rows]))
    converted = [convert_batch(table, only, stream=stream) for table in tables]
    for one in converted:
        if one.rejected:
            raise one.rejected[0][1]
    return pa.concat_tables([one.table for one in converted])
