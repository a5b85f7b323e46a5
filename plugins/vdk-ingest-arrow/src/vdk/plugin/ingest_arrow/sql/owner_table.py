# SPDX-License-Identifier: Apache-2.0
"""The table of owners: which streams have rows in which table, stored in the transaction that lands the rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vdk.plugin.datasource_base.parts import StateKey, TableOwner

from ..names import OWNER_TABLE
from .database import Database
from .framework_table import FrameworkTable

_COLUMNS = ("table_name", "source_id", "source_identity", "stream", "destination_table")
"""``destination_table`` is the stream's own table, as in the state table."""


class OwnerTable:
    """The table ``_vdk_datasource_tables``. A run writes to it with its first commit into each table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = FrameworkTable(database, OWNER_TABLE, stamp="landed_at")
        self._known: set[TableOwner] = set()
        self._pending: set[TableOwner] = set()

    def reset(self) -> None:
        """The connection is closed: another run may find another table."""
        self._known.clear()
        self._pending.clear()

    def prepare(self) -> None:
        """Create the table where it is missing."""
        if not self._table.exists(_COLUMNS):
            self._table.create(dict.fromkeys(_COLUMNS, self._database.types.text), primary_key=_COLUMNS)

    def load(self) -> list[TableOwner]:
        if not self._table.exists(_COLUMNS):
            return []
        rows = self._table.select(_COLUMNS, {}, order=_COLUMNS)
        return [TableOwner(row[0], StateKey(row[1], row[2], row[3], "", row[4])) for row in rows]

    # Within a transaction.

    def restart(self) -> None:
        """A transaction begins."""
        self._pending.clear()

    def committed(self) -> None:
        """The transaction is committed."""
        self._known |= self._pending

    def join(self, key: StateKey, tables: Collection[str]) -> None:
        """Rows of a stream are about to land in these tables, beside those that are there."""
        owners = self._owners(key, tables) - self._known
        self._add(owners, alone=[owner for owner in owners if self._database.columns(owner.table) is None])

    def replace(self, key: StateKey, tables: Collection[str]) -> None:
        """A stream's rows take the place of all rows of these tables."""
        owners = self._owners(key, tables)
        self._add(owners, alone=owners)

    def remove(self, key: StateKey) -> None:
        """A stream has no rows any more: they are another stream's."""
        values = (key.source_id, key.source_identity, key.stream, key.table)
        self._table.delete(dict(zip(_COLUMNS[1:], values, strict=True)))

    @staticmethod
    def _owners(key: StateKey, tables: Collection[str]) -> set[TableOwner]:
        """Without a key, rows of a job: they belong to no stream."""
        return {TableOwner(table, replace(key, partition="")) for table in tables if key.source_id}

    def _add(self, owners: Collection[TableOwner], alone: Collection[TableOwner]) -> None:
        for owner in sorted(owners, key=lambda owner: owner.table):  # as another run does, which it may wait for
            row = (owner.table, owner.key.source_id, owner.key.source_identity, owner.key.stream, owner.key.table)
            if owner in alone:
                self._delete_others(row)
            self._table.insert(_COLUMNS, [row], unless_exists=_COLUMNS)
        self._pending |= set(owners)

    def _delete_others(self, row: tuple[str, ...]) -> None:
        table, *owner = self._database.placeholders(len(row))
        self._database.execute(
            f"DELETE FROM {self._database.qualified(OWNER_TABLE)} WHERE table_name = {table} "
            f"AND ({', '.join(_COLUMNS[1:])}) <> ({', '.join(owner)})",
            row,
        )
