# SPDX-License-Identifier: Apache-2.0
"""A table that is replaced: the new one is built of what is staged, and takes the place of the old one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from vdk.plugin.datasource_base.parts import SchemaChange, TableSpec

from ..names import STAGED_PREFIX, is_reserved
from .database import Database
from .staging import Segment, StagedTables
from .tables import Tables
from .types import Columns


class NewTables:
    """Replaces tables, in the transaction of the caller."""

    def __init__(self, database: Database, tables: Tables, staging: StagedTables) -> None:
        self._database = database
        self._tables = tables
        self._staging = staging

    def replace(self, spec: TableSpec, segments: Sequence[Segment]) -> None:
        """Put a new table in the place of the existing one."""
        self._database.lock_table(spec.name)
        existing = self._database.columns(spec.name)
        new, rest = self._begin_snapshot(spec, segments, existing or {})
        for segment in rest:
            self._land_in_snapshot(segment, new)
        if self._database.columns(new) is not None:
            self._add_kept_columns(spec, existing or {}, new)
            self._note_changes(spec, existing or {}, self._database.columns(new) or {})
            if existing is None:
                self._database.rename(new, spec.name)
            else:
                self._database.swap_table(new, spec.name)
        self._staging.drop_tables(segments)

    def _land_in_snapshot(self, segment: Segment, new: str) -> None:
        rows, spec = self._staging.rows(segment), segment.spec
        if segment.kind == "keys":
            self._tables.sweep(spec, rows, into=new)
            return
        spec = replace(spec, write_mode="append") if spec.write_mode == "replace" else spec
        self._tables.land(spec, segment.kind, rows, into=new)

    def _begin_snapshot(
        self, spec: TableSpec, segments: Sequence[Segment], existing: Columns
    ) -> tuple[str, Sequence[Segment]]:
        """The table that becomes the new one, and the segments that it does not contain yet."""
        declared = self._database.types.declared_columns(spec)
        frozen = not spec.evolve and (existing or declared)
        if segments and segments[0].kind == "rows" and not frozen:
            shared = [segment for segment in segments if segment.table == segments[0].table]
            return self._staging.only(shared), [segment for segment in segments if segment not in shared]
        new = f"{STAGED_PREFIX}{uuid.uuid4().hex}"
        self._tables.create(spec, (existing or declared) if frozen else (declared or existing), into=new)
        return new, segments

    def _add_kept_columns(self, spec: TableSpec, existing: Columns, new: str) -> None:
        """Columns that are declared, or that exist and have no value this time, stay columns."""
        fold = self._database.fold
        present = {fold(name) for name in self._database.columns(new) or {}}
        declared = self._database.types.declared_columns(spec)
        untyped = {field.name for field in spec.schema or () if field.name not in declared}
        kept = {
            name: type_ for name, type_ in existing.items() if name in untyped or not (declared or is_reserved(name))
        }
        kept |= declared
        missing = {name: type_ for name, type_ in kept.items() if fold(name) not in present}
        self._tables.add_columns(spec, missing, into=new)

    def _note_changes(self, spec: TableSpec, existing: Columns, new: Columns) -> None:
        for name, type_ in new.items():
            if existing.get(name, type_) != type_:
                self._tables.changes.append(SchemaChange(spec.name, name, existing[name], type_))
