"""Runs of payloads as batches: transformed, converted, checked, with the framework's columns.

Payloads of one table are converted together, however often rows and deletes alternate: what a destination does for a
slice costs more than what it does for a thousand rows.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from ...contract import BadRecordError, DataSourceError, StreamSchema
from ...parts import DELETED_AT, RESERVED_PREFIX, RefusedRow, RefusedRowsError, TableBatch, TableSpec, WriteMode
from ...parts.convert import Converted, convert_batch, convert_rows
from ...parts.deduplicate import Operations, in_turns, joined, last_operations, last_per_key, without_key
from ...parts.destination import BatchKind
from ...parts.framework_columns import TIMESTAMP, add_columns, check_names, rejected_spec, rejected_table
from ...parts.infer import check_column_count
from ...parts.rows import rows_of
from ...parts.transform import Data
from .buffer import Run
from .plan import StreamPlan


class RejectedBatch(TableBatch):
    """Rows for ``<table>__rejected``; a table of a source may well have such a name, too."""

    __slots__ = ()


Rejected = list[tuple[Mapping[str, Any], BadRecordError]]
Pieces = list[tuple[int, Data]]
"""Rows or batches, each with a number that tells their order in the section."""


class UndeclaredKeys:
    """The keys that no schema declares, which the rows of a run have brought to each table: each becomes a column.

    Batches of several partitions are built at once.
    """

    def __init__(self) -> None:
        self._keys: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def add(self, table: str, keys: Collection[str]) -> None:
        """Raises ``BadRecordError`` where the table gets more of them than rows can bring."""
        with self._lock:
            known = self._keys.setdefault(table, set())
            if not known.issuperset(keys):
                known.update(keys)
                check_column_count(len(known))


@dataclass(slots=True)
class _Section:
    """Rows and deletes for one table between two sweeps of it, in their order; or a sweep, all keys there are."""

    spec: TableSpec
    sweep: bool
    runs: list[Run] = field(default_factory=list)

    def turns(self, kind: BatchKind) -> Iterator[tuple[int, Run]]:
        """The runs of a kind, each with the number of its first piece among those of all runs."""
        turn = 0
        for run in self.runs:
            if run.kind == kind:
                yield turn, run
            turn += _most_pieces(run)

    def takes(self, run: Run, spec: TableSpec) -> bool:
        """Whether a run belongs to it; where its payloads declare other columns, the section gets those, too."""
        if self.sweep != (run.kind == "keys") or replace(spec, schema=self.spec.schema) != self.spec:
            return False
        if spec.schema != self.spec.schema:
            try:
                schema = pa.unify_schemas([one for one in (self.spec.schema, spec.schema) if one is not None])
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                return False
            self.spec = replace(self.spec, schema=schema)
        return True


def _most_pieces(run: Run) -> int:
    """Its batches, which may be of different shapes, and its rows."""
    return len(run.batches) + 1


def build_batches(
    plan: StreamPlan, runs: Sequence[Run], mode: WriteMode, keys: UndeclaredKeys | None = None
) -> list[TableBatch]:
    """The runs as batches. Those of one table are in its order, and reduced to the last operation per key.

    :param mode: the stream's write mode. :param keys: those of earlier batches of the run.
    :raises BadRecordError: for a row that does not fit, unless the flow rejects such rows.
    """
    sections: list[_Section] = []
    last: dict[str, _Section] = {}
    for run in runs:
        spec = plan.table_spec(run.table, mode)
        if run.kind != "rows":
            _check_deletes(plan, run, spec, mode)
        section = last.get(spec.name)
        if section is None or not section.takes(run, spec):
            section = last[spec.name] = _Section(spec, sweep=run.kind == "keys")
            sections.append(section)
        section.runs.append(run)
    keys = keys or UndeclaredKeys()
    return [batch for section in sections for batch in _batches(plan, section, keys)]


def _batches(plan: StreamPlan, section: _Section, keys: UndeclaredKeys) -> list[TableBatch]:
    spec = section.spec
    if section.sweep:
        return [TableBatch(spec, "keys", _all_keys(plan, section))]
    rejected: Rejected = []
    parts = [*_rows(plan, section, rejected, keys), *_deletes(plan, section, rejected)]
    facts = {**plan.run_metadata, "synced_at": dt.datetime.now(dt.UTC)}
    metadata = [run.metadata for run in section.runs for _ in range(_most_pieces(run))]
    batches = []
    for one in ordered(parts, spec):
        data = one.data
        if one.kind == "rows":
            data = add_columns(data, plan.metadata_columns, facts, metadata, one.turns)
        batches.append(TableBatch(spec, one.kind, data))
    if rejected:
        batches.append(_rejected(plan, spec, rejected))
    return batches


def ordered(parts: list[Operations], spec: TableSpec) -> list[Operations]:
    """The parts as they land: few, with what was done to each key last, or everything in its order."""
    if not parts:
        return []
    if not spec.primary_key:
        whole = joined(parts)
        return [whole] if whole is not None else [piece for _, piece in in_turns(parts)]
    reduced = last_operations(parts, spec.primary_key, keep_deleted=spec.soft_deletes)
    if reduced is None:  # a transform has changed the type of a key
        return [_reduced(piece, spec) for _, piece in in_turns(parts)]
    rows, deletes = ([one for one in reduced if one.kind == kind] for kind in ("rows", "deletes"))
    found = []
    for same in (rows, deletes):
        whole = joined(same) if same else None
        found += [whole] if whole is not None else same
    return found


def _reduced(part: Operations, spec: TableSpec) -> Operations:
    last = last_per_key(part.data, spec.primary_key)
    return part if last is None else part.take(last)


def _rows(plan: StreamPlan, section: _Section, rejected: Rejected, keys: UndeclaredKeys) -> list[Operations]:
    """The section's rows: one part for each shape of them."""
    pieces: dict[str | None, Pieces] = {}
    with_rows = {run.table for run in section.runs if run.rows}  # Arrow tables bring as many columns as they have
    for turn, run in section.turns("rows"):
        rejected.extend(run.rejected)
        pieces.setdefault(run.table, []).extend(enumerate(_transformed(plan, run), turn))
    schemas = {table: plan.schema_of(table) for table in pieces}
    loose = plan.transform is not None
    parts = []
    for table, given in pieces.items():
        for one in _converted(given, schemas[table], rejected, stream=plan.name, loose=loose):
            check_names(one.data, stream=plan.name)
            if table in with_rows:
                keys.add(section.spec.name, set(one.data.schema.names) - _declared_names(schemas[table]))
            parts.append(_keyed(one, section.spec, rejected, stream=plan.name))
    return parts


def _declared_names(schema: StreamSchema | None) -> set[str]:
    return set(schema.fields.names) if schema is not None else set()


def _keyed(part: Operations, spec: TableSpec, rejected: Rejected, *, stream: str) -> Operations:
    """The operations that have a key, where there has to be one."""
    if not spec.primary_key:
        return part
    kept, keyless = without_key(part.data, spec.primary_key, stream=stream)
    rejected.extend(keyless)
    return part if kept is None else part.take(kept)


def _transformed(plan: StreamPlan, run: Run) -> list[Data]:
    """A run's rows as the flow's transform gives them. Batches of one shape become one table before."""
    given: list[Data] = [pa.concat_tables(group) for group in _by_schema(run.batches)]
    if run.rows:
        given.append(run.rows)
    if plan.transform is None:
        return given
    changed = [plan.transform(data, stream=plan.name) for data in given]
    return [one for one in changed if one is not None]


def _by_schema(batches: Sequence[pa.Table]) -> list[list[pa.Table]]:
    """Consecutive batches of one schema together."""
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
    """Pieces as tables: rows as one, and batches as one for each of their schemas."""
    groups: dict[pa.Schema | None, Pieces] = {}
    for turn, data in pieces:
        groups.setdefault(data.schema if isinstance(data, pa.Table) else None, []).append((turn, data))
    found: list[Operations] = []
    for given, group in groups.items():
        if given is None:
            rows = [row for _, data in group for row in data]
            converted = convert_rows(rows, schema, stream=stream, loose=loose)
            turns = _turns_of_rows(group, converted)
        else:
            converted = convert_batch(pa.concat_tables([data for _, data in group]), schema, stream=stream, loose=loose)
            turns = _turns_of_batches(group, converted)
        if turns is None:  # which of them were rejected is known from one at a time
            for one in group:
                found += _converted([one], schema, rejected, stream=stream, loose=loose)
            continue
        rejected.extend(converted.rejected)
        if converted.table.num_columns:
            found.append(Operations("rows", converted.table, turns))
    return found


def _turns_of_rows(group: Pieces, converted: Converted) -> pa.Array | None:
    """The turn of each row of the table; None: not known. Rejected rows are the very ones that were given."""
    bad = {id(row) for row, _ in converted.rejected}
    turns = [turn for turn, rows in group for row in rows if not bad or id(row) not in bad]
    if len(turns) == converted.table.num_rows:
        return pa.array(turns, pa.int64())
    return _turns_of_one(group, converted)


def _turns_of_batches(group: Pieces, converted: Converted) -> pa.Array | None:
    if len(group) == 1 or converted.rejected:
        return _turns_of_one(group, converted)
    return pa.concat_arrays([pa.repeat(pa.scalar(turn, pa.int64()), len(data)) for turn, data in group])


def _turns_of_one(group: Pieces, converted: Converted) -> pa.Array | None:
    return pa.repeat(pa.scalar(group[0][0], pa.int64()), converted.table.num_rows) if len(group) == 1 else None


def _rejected(plan: StreamPlan, spec: TableSpec, rejected: Rejected) -> RejectedBatch:
    if plan.options.on_bad_record == "fail":
        raise rejected[0][1]
    table = rejected_table(rejected, source=plan.source_id, stream=plan.name, run_id=plan.run_id)
    return RejectedBatch(rejected_spec(spec.name), "rows", table)


def without_refused(plan: StreamPlan, batches: Sequence[TableBatch], error: RefusedRowsError) -> list[TableBatch]:
    """The batches without the rows that the destination refuses, which are set aside like others that do not fit.

    :raises BadRecordError: unless the flow rejects such rows; and for deletes, which cannot be.
    :raises RefusedRowsError: for rows that are rejected already.
    """
    kept: list[TableBatch] = []
    for number, batch in enumerate(batches):
        refused = {each.row: each for each in error.rows if each.batch == number}
        if not refused:
            kept.append(batch)
            continue
        if isinstance(batch, RejectedBatch):
            raise error
        rejected = [_refusal(plan, batch, each) for each in refused.values()]
        if batch.kind != "rows":
            raise rejected[0][1]
        stay = pa.array([row for row in range(batch.data.num_rows) if row not in refused], pa.int64())
        kept += [TableBatch(batch.table, batch.kind, batch.data.take(stay)), _rejected(plan, batch.table, rejected)]
    return kept


def _refusal(plan: StreamPlan, one: TableBatch, refused: RefusedRow) -> tuple[Mapping[str, Any], BadRecordError]:
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


def _check_deletes(plan: StreamPlan, run: Run, spec: TableSpec, mode: WriteMode) -> None:
    """Raises ``DataSourceError`` for deleted keys, or all keys there are, where nothing can be done with them."""
    schema = plan.schema_of(run.table)
    if mode == "replace":
        raise DataSourceError(f"stream {plan.name!r} yielded {run.kind}, which a table that is replaced cannot take")
    if schema is None or not schema.primary_key:
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


def _deletes(plan: StreamPlan, section: _Section, rejected: Rejected) -> list[Operations]:
    """The section's deleted keys; where rows are only appended they are rows that say so."""
    parts = _keys(plan, section, "deletes", rejected)
    if section.spec.write_mode != "append":
        return [_keyed(part, section.spec, rejected, stream=plan.name) for part in parts]
    now = pa.scalar(dt.datetime.now(dt.UTC), TIMESTAMP)
    return [
        replace(part, kind="rows", data=part.data.append_column(DELETED_AT, pa.repeat(now, part.data.num_rows)))
        for part in parts
    ]


def _all_keys(plan: StreamPlan, section: _Section) -> pa.Table:
    """The keys of a sweep. One that is missing would delete its row, so a bad one fails the stream in any case."""
    bad: Rejected = []
    parts = [_keyed(key, section.spec, bad, stream=plan.name) for key in _keys(plan, section, "keys", bad)]
    if bad:
        raise bad[0][1]
    keys = pa.concat_tables([part.data for part in parts])
    last = last_per_key(keys, section.spec.primary_key)
    return keys if last is None else keys.take(last)


def _keys(plan: StreamPlan, section: _Section, kind: BatchKind, rejected: Rejected) -> list[Operations]:
    """The keys that came as a kind, of the types that the rows' keys have."""
    pieces: dict[str | None, Pieces] = {}
    for turn, run in section.turns(kind):
        given: list[Data] = [*run.batches, *([run.rows] if run.rows else [])]
        pieces.setdefault(run.table, []).extend(enumerate(given, turn))
    parts = []
    for table, mine in pieces.items():
        schema = plan.schema_of(table)
        assert schema is not None  # checked before
        key = schema.primary_key
        only = StreamSchema(pa.schema([schema.fields.field(name) for name in key]), key)
        keys: Pieces = [(turn, _only_keys(data, key, plan.name)) for turn, data in mine]
        for one in _converted(keys, only, rejected, stream=plan.name, loose=False):
            parts.append(replace(one, kind="deletes"))
    return parts


def _only_keys(data: Data, key: Sequence[str], stream: str) -> Data:
    if not isinstance(data, pa.Table):
        return [{name: row.get(name) for name in key} for row in data]
    for name in key:
        if name not in data.schema.names:
            raise BadRecordError("the primary key's column is missing in the rows", stream=stream, column=name)
    return data.select(list(key))
