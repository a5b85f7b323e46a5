# SPDX-License-Identifier: Apache-2.0
"""Builds batches from payloads: transforms, converts and checks rows, and adds the framework's columns.

Payloads of one table are converted together, however often rows and deletes alternate: a batch costs a destination
more than a thousand rows do.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from ....contract import BadRecordError, DataSourceError, StreamSchema, VerificationError
from ....parts import DELETED_AT, RESERVED_PREFIX, RefusedRow, RefusedRowsError, TableBatch, TableSpec, WriteMode
from ....parts.columns.convert import Converted, convert_batch, convert_rows
from ....parts.columns.deduplicate import Operations, in_turns, joined, last_operations, last_per_key, without_key
from ....parts.columns.framework import TIMESTAMP, add_columns, check_names, rejected_spec, rejected_table
from ....parts.columns.infer import check_column_count
from ....parts.columns.nested import Lists, names_without_row
from ....parts.columns.records import has_records, to_rows
from ....parts.columns.rows import rows_of
from ....parts.columns.transform import Data
from ....parts.destination import BatchKind
from ..plan.stream_plan import StreamPlan
from .buffer import PayloadGroup
from .child_batches import ChildBatch, ChildBatches


class RejectedBatch(TableBatch):
    """Rows for ``<table>__rejected``. Their own class, because a source may have a table of such a name, too."""

    __slots__ = ()


class RejectedChildBatch(RejectedBatch):
    """Rejected items of lists, which are not among the rows that a stream reads."""

    __slots__ = ()


Rejected = list[tuple[Mapping[str, Any], BadRecordError]]
Pieces = list[tuple[int, Data]]
"""Rows or batches, each with its turn: a number that orders them in the section."""


class UndeclaredColumns:
    """The undeclared columns that the rows of a run have added to each table. Several threads add to it."""

    def __init__(self) -> None:
        self._columns: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def add(self, table: str, columns: Collection[str]) -> None:
        """Add columns of a table. Raises ``BadRecordError`` if the table has more than ``MAX_COLUMNS`` of them."""
        with self._lock:
            known = self._columns.setdefault(table, set())
            if not known.issuperset(columns):
                known.update(columns)
                check_column_count(len(known))


@dataclass(slots=True)
class _Section:
    """Rows and deletes of one table between two sweeps, in their order; or a sweep, which is all keys of the table."""

    spec: TableSpec
    sweep: bool
    groups: list[PayloadGroup] = field(default_factory=list)

    def turns(self, kind: BatchKind) -> Iterator[tuple[int, PayloadGroup]]:
        """Yield the groups of a kind, each with the turn of its first piece."""
        turn = 0
        for group in self.groups:
            if group.kind == kind:
                yield turn, group
            turn += _max_pieces(group)

    def add(self, group: PayloadGroup, spec: TableSpec) -> bool:
        """Add a group, and the columns that it declares. Returns False if the group needs a section of its own."""
        if self.sweep != (group.kind == "keys") or replace(spec, schema=self.spec.schema) != self.spec:
            return False
        if spec.schema != self.spec.schema:
            try:
                unified = pa.unify_schemas([schema for schema in (self.spec.schema, spec.schema) if schema is not None])
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                return False
            self.spec = replace(self.spec, schema=unified)
        self.groups.append(group)
        return True


def _max_pieces(group: PayloadGroup) -> int:
    """The largest number of pieces of a group: its batches, which may differ in their schemas, and its rows."""
    return len(group.batches) + 1


def build_batches(
    plan: StreamPlan, groups: Sequence[PayloadGroup], mode: WriteMode, undeclared: UndeclaredColumns | None = None
) -> list[TableBatch]:
    """Build batches from groups. The batches of one table are in order, with only the last operation of each key.

    :param mode: the stream's write mode. :param undeclared: the undeclared columns of earlier batches of the run.
    :raises BadRecordError: for a row that does not fit, unless the flow rejects such rows.
    """
    sections: list[_Section] = []
    last: dict[str, _Section] = {}
    for group in groups:
        spec = plan.table_spec(group.table, mode)
        if group.kind != "rows":
            _check_deletes(plan, group, spec, mode)
        section = last.get(spec.name)
        if section is None or not section.add(group, spec):
            section = last[spec.name] = _Section(spec, group.kind == "keys", [group])
            sections.append(section)
    undeclared = undeclared or UndeclaredColumns()
    return [batch for section in sections for batch in _batches(plan, section, undeclared)]


def _batches(plan: StreamPlan, section: _Section, undeclared: UndeclaredColumns) -> list[TableBatch]:
    spec, children = section.spec, _children(plan, section)
    if section.sweep:
        keys = _all_keys(plan, section)
        return [TableBatch(spec, "keys", keys), *(children.deletes(keys, "keys") if children is not None else ())]
    rejected: Rejected = []
    lists = children.lists() if children is not None else None
    parts = [*_rows(plan, section, rejected, undeclared, lists), *_deletes(plan, section, rejected)]
    if plan.transform is None:
        _check_count(plan, section, parts, rejected)
    run_metadata = {**plan.run_metadata, "synced_at": dt.datetime.now(dt.UTC)}
    metadata = [group.metadata for group in section.groups for _ in range(_max_pieces(group))]
    batches: list[TableBatch] = []
    no_lists: list[tuple[int, Mapping[str, Any]]] = []
    for part in ordered(parts, spec):
        data, nested = part.data, no_lists
        if part.kind == "rows":
            data = add_columns(data, plan.metadata_columns, run_metadata, metadata, part.turns)
            data, nested = lists.split(data) if lists is not None else (data, no_lists)
        batches.append(TableBatch(spec, part.kind, data))
        if children is not None:
            batches += children.deletes(data, "deletes")
            batches += children.rows(data, nested) if nested else ()
    if rejected:
        batches.append(_rejected(plan, spec, rejected))
    for batch in batches if children is not None else ():
        if isinstance(batch, ChildBatch) and batch.kind == "rows":
            undeclared.add(batch.table.name, batch.data.schema.names)
    for table, items in children.rejected.items() if children is not None else ():
        batches.append(_rejected(plan, TableSpec(table, "append"), items, RejectedChildBatch))
    return batches


def _children(plan: StreamPlan, section: _Section) -> ChildBatches | None:
    """What builds the batches of the lists in the section's rows; None: lists are JSON."""
    tables, spec = plan.child_tables, section.spec
    if tables is None or spec.name != plan.table:
        return None
    return ChildBatches(tables, spec.write_mode, spec.soft_deletes, spec.evolve, plan.policy, {})


def _check_count(plan: StreamPlan, section: _Section, parts: Sequence[Operations], rejected: Rejected) -> None:
    """Raise ``VerificationError`` unless every row that was read is converted or rejected."""
    read = sum(group.count for group in section.groups)
    converted = sum(part.data.num_rows for part in parts)
    if read != converted + len(rejected):
        raise VerificationError(
            f"stream {plan.name!r}: {read:,} rows were read, {converted:,} converted and {len(rejected):,} rejected. "
            "This is a bug: please report it. Nothing of these rows has landed"
        )


def ordered(parts: list[Operations], spec: TableSpec) -> list[Operations]:
    """The parts as they land: of a table with a primary key only the last operation of each key, joined if possible."""
    if not parts:
        return []
    if not spec.primary_key:
        whole = joined(parts)
        return [whole] if whole is not None else [piece for _, piece in in_turns(parts)]
    reduced = last_operations(parts, spec.primary_key, keep_deleted=spec.soft_deletes)
    if reduced is None:  # a transform has changed the type of a key column
        return [_reduced(piece, spec) for _, piece in in_turns(parts)]
    rows, deletes = ([part for part in reduced if part.kind == kind] for kind in ("rows", "deletes"))
    result = []
    for operations in (rows, deletes):
        whole = joined(operations) if operations else None
        result += [whole] if whole is not None else operations
    return result


def _reduced(part: Operations, spec: TableSpec) -> Operations:
    last = last_per_key(part.data, spec.primary_key)
    return part if last is None else part.take(last)


def _rows(
    plan: StreamPlan,
    section: _Section,
    rejected: Rejected,
    undeclared: UndeclaredColumns,
    lists: Lists | None = None,
) -> list[Operations]:
    """Convert the section's rows: one part for each schema.

    :param lists: gets the lists of the rows, which land in tables of their own.
    """
    unfit: Rejected = []
    pieces: dict[str | None, Pieces] = {}
    # only tables with such rows have a limit of columns: Arrow batches may have any number
    with_rows = {group.table for group in section.groups if group.rows}
    for turn, group in section.turns("rows"):
        rejected.extend(_refused(plan, group.rejected))
        transformed = _transformed(plan, group, rejected)
        data = [lists.take(piece) for piece in transformed] if lists is not None else transformed
        pieces.setdefault(group.table, []).extend(enumerate(data, turn))
    schemas = {table: plan.schema_of(table) for table in pieces}
    loose = plan.transform is not None
    if loose or plan.policy is not None:  # whose rows have the names of columns
        schemas = {table: schema and replace(schema, record=None) for table, schema in schemas.items()}
    parts = []
    for table, table_pieces in pieces.items():
        for part in _converted(table_pieces, schemas[table], unfit, stream=plan.name, loose=loose):
            check_names(part.data, stream=plan.name)
            if table in with_rows:
                names = names_without_row(part.data.schema.names)
                undeclared.add(section.spec.name, names - _declared_names(schemas[table]))
            parts.append(_keyed(part, section.spec, unfit, stream=plan.name))
    rejected += [(lists.whole(row), error) for row, error in unfit] if lists is not None else unfit
    return parts


def _declared_names(schema: StreamSchema | None) -> set[str]:
    return set(schema.fields.names) if schema is not None else set()


def _keyed(part: Operations, spec: TableSpec, rejected: Rejected, *, stream: str) -> Operations:
    """Reject operations that lack a key, if the table has a primary key."""
    if not spec.primary_key:
        return part
    kept, keyless = without_key(part.data, spec.primary_key, stream=stream)
    rejected.extend(keyless)
    return part if kept is None else part.take(kept)


def _transformed(plan: StreamPlan, group: PayloadGroup, rejected: Rejected) -> list[Data]:
    """Apply the flow's transform to a group's rows. Consecutive batches of one schema are transformed as one table."""
    pieces = _allowed(plan, group, rejected)
    if plan.transform is None:
        return pieces
    transformed = [plan.transform(data, stream=plan.name) for data in pieces]
    return [data for data in transformed if data is not None]


def _allowed(plan: StreamPlan, group: PayloadGroup, rejected: Rejected) -> list[Data]:
    """A group's rows without what the flow's column policy takes away; for a transform or a policy, as mappings."""
    pieces: list[Data] = [pa.concat_tables(batches) for batches in _by_schema(group.batches)]
    if plan.transform is None and plan.policy is None and plan.child_tables is None:
        return [*pieces, group.rows] if group.rows else pieces
    if rows := _mappings(plan, group, rejected):
        pieces.append(rows)
    return pieces if plan.policy is None else [plan.policy.data(data) for data in pieces]


def _refused(plan: StreamPlan, rows: Rejected) -> Rejected:
    """Rows that the source, or a resolver of it, could not convert, and their errors, as the column policy allows."""
    return rows if plan.policy is None else plan.policy.rejected(rows)


def _mappings(plan: StreamPlan, group: PayloadGroup, rejected: Rejected) -> list[Mapping[str, Any]]:
    """The group's rows, with its records as mappings; of deletes and keys the columns of the primary key."""
    schema = plan.schema_of(group.table)
    if group.kind != "rows" and schema is not None and schema.record is not None:
        values = {name: get for name, get in schema.record.values.items() if name in schema.primary_key}
        schema = replace(schema, record=replace(schema.record, values=values))
    if not has_records(group.rows, schema):
        return group.rows
    rows, failed = to_rows(group.rows, schema, stream=plan.name)
    rejected.extend(_refused(plan, failed))
    return rows


def _by_schema(batches: Sequence[pa.Table]) -> list[list[pa.Table]]:
    """Group consecutive batches of one schema."""
    groups: list[list[pa.Table]] = []
    for batch in batches:
        if groups and groups[-1][-1].schema.equals(batch.schema):
            groups[-1].append(batch)
        else:
            groups.append([batch])
    return groups


def _converted(
    pieces: Pieces, schema: StreamSchema | None, rejected: Rejected, *, stream: str, loose: bool
) -> list[Operations]:
    """Convert pieces to tables: one for all rows, and one for each schema of batches."""
    groups: dict[pa.Schema | None, Pieces] = {}
    for turn, data in pieces:
        groups.setdefault(data.schema if isinstance(data, pa.Table) else None, []).append((turn, data))
    result: list[Operations] = []
    for arrow_schema, group in groups.items():
        if arrow_schema is None:
            rows = [row for _, data in group for row in data]
            converted = convert_rows(rows, schema, stream=stream, loose=loose)
            turns = _turns_of_rows(group, converted)
        else:
            converted = convert_batch(pa.concat_tables([data for _, data in group]), schema, stream=stream, loose=loose)
            turns = _turns_of_batches(group, converted)
        if turns is None:  # converted one by one, so that the turn of each row is known
            for piece in group:
                result += _converted([piece], schema, rejected, stream=stream, loose=loose)
            continue
        rejected.extend(converted.rejected)
        if converted.table.num_columns:
            result.append(Operations("rows", converted.table, turns))
    return result


def _turns_of_rows(group: Pieces, converted: Converted) -> pa.Array | None:
    """The turn of each row of the table; None: unknown. Rejected rows are the same objects as the given ones."""
    rejected = {id(row) for row, _ in converted.rejected}
    turns = [turn for turn, rows in group for row in rows if not rejected or id(row) not in rejected]
    if len(turns) == converted.table.num_rows:
        return pa.array(turns, pa.int64())
    return _turns_of_single_piece(group, converted)


def _turns_of_batches(group: Pieces, converted: Converted) -> pa.Array | None:
    if len(group) == 1 or converted.rejected:
        return _turns_of_single_piece(group, converted)
    return pa.concat_arrays([pa.repeat(pa.scalar(turn, pa.int64()), len(data)) for turn, data in group])


def _turns_of_single_piece(group: Pieces, converted: Converted) -> pa.Array | None:
    return pa.repeat(pa.scalar(group[0][0], pa.int64()), converted.table.num_rows) if len(group) == 1 else None


def _rejected(
    plan: StreamPlan, spec: TableSpec, rejected: Rejected, kind: type[RejectedBatch] = RejectedBatch
) -> RejectedBatch:
    if plan.options.on_bad_record == "fail":
        raise rejected[0][1]
    table = rejected_table(rejected, source=plan.source_id, stream=plan.name, run_id=plan.run_id)
    return kind(rejected_spec(spec.name), "rows", table)


def without_refused(plan: StreamPlan, batches: Sequence[TableBatch], error: RefusedRowsError) -> list[TableBatch]:
    """The batches without the rows that the destination refuses; these are rejected, as rows are that do not fit.

    :raises BadRecordError: unless the flow rejects such rows; always for deletes, which cannot be rejected.
    :raises RefusedRowsError: if the destination refuses a row of the table of rejected rows.
    """
    kept: list[TableBatch] = []
    for index, batch in enumerate(batches):
        refused = {refusal.row: refusal for refusal in error.rows if refusal.batch == index}
        if not refused:
            kept.append(batch)
            continue
        if isinstance(batch, RejectedBatch):
            raise error
        rejected = [_rejected_row(plan, batch, refusal) for refusal in refused.values()]
        if batch.kind != "rows":
            raise rejected[0][1]
        accepted = pa.array([row for row in range(batch.data.num_rows) if row not in refused], pa.int64())
        kind = RejectedChildBatch if isinstance(batch, ChildBatch) else RejectedBatch
        kept.append(type(batch)(batch.table, batch.kind, batch.data.take(accepted)))
        kept.append(_rejected(plan, batch.table, rejected, kind))
    return kept


def _rejected_row(plan: StreamPlan, batch: TableBatch, refused: RefusedRow) -> tuple[Mapping[str, Any], BadRecordError]:
    names = [name for name in batch.data.schema.names if not name.startswith(RESERVED_PREFIX)]
    row = {name: _python_value(batch.data.select([name]).slice(refused.row, 1)) for name in names}
    declared = plan.schema.primary_key if plan.schema is not None else ()
    key = {name: row.get(name) for name in batch.table.primary_key or declared if name in row}
    error = BadRecordError(
        refused.reason,
        stream=plan.name,
        column=refused.column,
        key=key or None,
        value=row.get(refused.column) if refused.column is not None else None,
    )
    return row, error


def _python_value(value: pa.Table) -> Any:
    """The value of a table of one row and column. Text that is not UTF-8 is shown as bytes, a date or time beyond
    Python's range as a number."""
    try:
        return next(iter(rows_of(value)[0].values()))
    except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
        column = value.column(0)
        if pa.types.is_string(column.type):
            return repr(column.cast(pa.binary())[0].as_py())
        return column.cast(pa.int64() if column.type.bit_width == 64 else pa.int32())[0].as_py()


def _check_deletes(plan: StreamPlan, group: PayloadGroup, spec: TableSpec, mode: WriteMode) -> None:
    """Raise ``DataSourceError`` for deletes, or for a sweep, that the table cannot apply."""
    schema = plan.schema_of(group.table)
    if mode == "replace":
        raise DataSourceError(
            f"stream {plan.name!r} yielded {group.kind}, which cannot be applied to a table that is replaced; yield "
            f'rows only, or write write_mode = "upsert" in {plan.location}'
        )
    if schema is None or not schema.primary_key:
        raise DataSourceError(
            f"stream {plan.name!r} yielded {group.kind} but declares no primary key, by which the rows are found"
        )
    if group.kind == "keys" and plan.transform is not None:
        raise DataSourceError(
            f"stream {plan.name!r} yielded all its keys, to delete the other rows of {spec.name!r}, and transform "
            f"{plan.transform.name} may have changed their keys; remove the transform, or let the source yield no keys"
        )
    if group.kind == "keys" and spec.write_mode == "append":
        raise DataSourceError(
            f"stream {plan.name!r} yielded all its keys, to delete the other rows of {spec.name!r}, and rows are only "
            f'appended there; write write_mode = "upsert" in {plan.location}'
        )


def _deletes(plan: StreamPlan, section: _Section, rejected: Rejected) -> list[Operations]:
    """The section's deletes; for an appended table, rows with ``DELETED_AT``."""
    parts = _keys(plan, section, "deletes", rejected)
    if section.spec.write_mode != "append":
        return [_keyed(part, section.spec, rejected, stream=plan.name) for part in parts]
    now = pa.scalar(dt.datetime.now(dt.UTC), TIMESTAMP)
    return [
        replace(part, kind="rows", data=part.data.append_column(DELETED_AT, pa.repeat(now, part.data.num_rows)))
        for part in parts
    ]


def _all_keys(plan: StreamPlan, section: _Section) -> pa.Table:
    """The keys of a sweep. An invalid key fails the stream: a sweep without it would delete its row."""
    rejected: Rejected = []
    parts = [_keyed(part, section.spec, rejected, stream=plan.name) for part in _keys(plan, section, "keys", rejected)]
    if rejected:
        raise rejected[0][1]
    keys = pa.concat_tables([part.data for part in parts])
    last = last_per_key(keys, section.spec.primary_key)
    return keys if last is None else keys.take(last)


def _keys(plan: StreamPlan, section: _Section, kind: BatchKind, rejected: Rejected) -> list[Operations]:
    """Convert the keys of one kind of payload to the declared types of the primary key."""
    pieces: dict[str | None, Pieces] = {}
    for turn, group in section.turns(kind):
        data: list[Data] = [*group.batches, *([rows] if (rows := _mappings(plan, group, rejected)) else [])]
        if plan.policy is not None:
            data = [plan.policy.data(piece) for piece in data]
        pieces.setdefault(group.table, []).extend(enumerate(data, turn))
    parts = []
    for table, table_pieces in pieces.items():
        schema = plan.schema_of(table)
        assert schema is not None  # see _check_deletes
        key = schema.primary_key
        key_schema = StreamSchema(pa.schema([schema.fields.field(name) for name in key]), key)
        keys: Pieces = [(turn, _select_key(piece, key, plan.name)) for turn, piece in table_pieces]
        for part in _converted(keys, key_schema, rejected, stream=plan.name, loose=False):
            parts.append(replace(part, kind="deletes"))
    return parts


def _select_key(data: Data, key: Sequence[str], stream: str) -> Data:
    if not isinstance(data, pa.Table):
        return [{name: row.get(name) for name in key} for row in data]
    for name in key:
        if name not in data.schema.names:
            raise BadRecordError("the column of the primary key is missing in the rows", stream=stream, column=name)
    return data.select(list(key))
