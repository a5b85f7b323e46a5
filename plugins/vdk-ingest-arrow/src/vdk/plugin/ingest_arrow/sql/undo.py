# SPDX-License-Identifier: Apache-2.0
"""The rows that a run has appended are deleted, and the states from before it stored, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX, CommitUnit, literal, quoted

from ..refused_undo import other_rows
from .database import Database
from .state_table import StateTable

_RUN_ID = f"{RESERVED_PREFIX}run_id"


def delete_run(
    database: Database, states: StateTable, units: Sequence[CommitUnit], table: str, run_id: str, rows: int
) -> None:
    """Called within a transaction. See ``Destination.undo``.

    :raises DestinationError: the table has more or fewer rows of the run than it has landed.
    """
    states.compare_and_swap(units)
    database.lock_table(table)
    if _RUN_ID not in (database.columns(table) or {}):
        raise DestinationError(f"table {table!r} has no column {_RUN_ID}, by which the rows of a run are found")
    if (deleted := _delete(database, table, _RUN_ID, run_id)) != rows:
        raise other_rows(table, run_id, deleted, rows)
    rejected = f"{table}__rejected"
    if database.columns(rejected) is not None:
        _delete(database, rejected, "run_id", run_id)


def _delete(database: Database, table: str, column: str, value: str) -> int:
    return database.rows_affected(f"DELETE FROM {database.qualified(table)} WHERE {quoted(column)} = {literal(value)}")
