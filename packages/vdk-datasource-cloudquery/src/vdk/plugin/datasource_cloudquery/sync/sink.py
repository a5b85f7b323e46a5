# SPDX-License-Identifier: Apache-2.0
"""The destination that the base's readers land in: it turns commit units into CloudQuery's messages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from cloudquery.plugin_v3 import plugin_pb2 as pb

from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError
from vdk.plugin.datasource_base.parts import RefusedRow, RefusedRowsError, StateKey, StoredState, TableBatch
from vdk.plugin.datasource_base.runtime import HandoverSink, Outbox, RejectedBatch

from ..tables.columns import Column, column_of, values_of
from ..tables.names import fold_name
from ..tables.record_batches import RowMisfitError, record_batch, record_message, record_messages, schema_message
from ..tables.table import Table

log = logging.getLogger(__name__)


class CloudQuerySink(HandoverSink):
    """Turns rows into messages.

    :param stored: the states of earlier syncs. :param describe: the table that a stream's rows are routed to, by the
        stream's name and the table's.
    :param deletes: whether deletes become delete records; otherwise they arrive as rows.
    :param checkpoint: the message for a state that was just handed over; None: there is none.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        stored: Sequence[StoredState],
        describe: Callable[[str, str], Table],
        deletes: bool,
        deterministic: bool,
        checkpoint: Callable[[StoredState], Any] | None = None,
    ) -> None:
        super().__init__(stored)
        self.write_modes = frozenset({"append", "upsert"}) if deletes else frozenset({"append"})
        self.deletes = deletes
        self._outbox = outbox
        self._describe = describe
        self._deterministic = deterministic
        self._checkpoint = checkpoint
        self._announced: dict[str, Table] = {}

    def identity(self) -> str:
        return "cloudquery"

    def fold(self, name: str) -> str:
        return fold_name(name)

    def announce(self, table: Table) -> None:
        """Send the table itself, which precedes its rows."""
        self._announced[table.name] = table
        self._outbox.put(
            pb.Sync.Response(migrate_table=pb.Sync.MessageMigrateTable(table=schema_message(table.schema())))
        )

    def announce_empty(self, stream: str, table: Table) -> None:
        """Send a table that got no row, so that the command deletes the rows of earlier syncs.

        A table with a state is not sent: it has rows, no row is new, and the types of its columns would be a guess.
        """
        if table.name not in self._announced and not any(key.stream == stream for key in self.states):
            self.announce(table)

    def hand_over(self, key: StateKey, batches: Sequence[TableBatch], state: StoredState | None) -> None:
        self._send(key, batches)
        if state is not None and self._checkpoint is not None:
            self._outbox.put(self._checkpoint(state))

    def cannot_take_back(self, key: StateKey, rows: int) -> DestinationError:
        return DestinationError(
            f"stream {key.stream!r} failed after {rows:,} of its rows were handed over, which cannot be taken "
            "back, so it is not read again in this sync; the log has the reason: run the sync again"
        )

    def _send(self, key: StateKey, batches: Sequence[TableBatch]) -> None:
        """Encode everything, then send it: rows that are refused are named before any row is sent."""
        steps: list[Table | Any] = []
        announced = dict(self._announced)
        for index, batch in enumerate(batches):
            if isinstance(batch, RejectedBatch):
                continue
            table = announced.get(fold_name(batch.table.name)) or self._describe(key.stream, batch.table.name)
            if not (batch.data.num_rows or table.complete):
                continue  # its types are unknown; see ``announce_empty``
            known = announced.get(table.name)
            try:
                table = _with_columns(table, batch.data if batch.kind == "rows" else None, batch.table.schema)
                if table != known:
                    announced[table.name] = table
                    steps.append(table)
                steps += self._messages(table, batch)
            except RowMisfitError as error:
                refused = RefusedRow(index, error.row, str(error), error.column)
                raise RefusedRowsError(f"table {batch.table.name!r}: {error}", [refused]) from None
            except ConfigurationError as error:
                raise DestinationError(str(error)) from None
        for batch in batches:
            if isinstance(batch, RejectedBatch):
                _log_rejected(batch, key.stream)
        for step in steps:
            self.announce(step) if isinstance(step, Table) else self._outbox.put(step)

    def _messages(self, table: Table, batch: TableBatch) -> Iterator[Any]:
        if not batch.data.num_rows:
            return
        if batch.kind != "rows":
            yield from _delete_records(table, batch.data)
            return
        rows = record_batch(table, batch.data, deterministic=self._deterministic)
        for content in record_messages(rows):
            yield pb.Sync.Response(insert=pb.Sync.MessageInsert(record=content))


def _with_columns(table: Table, data: pa.Table | None, declared: pa.Schema | None) -> Table:
    """The table with the columns of rows that it lacks, and with the types that their values need."""
    columns = {column.source: column for column in table.columns}
    changed = False
    for field in data.schema if data is not None else declared or ():
        new = column_of(fold_name(field.name), field.name, field.type)
        old = columns.get(field.name)
        if old is None:
            column: Column = new
        elif not table.complete and old.type == pa.string() and not pa.types.is_null(field.type):
            column = column_of(new.name, new.source, field.type, old.key)  # declared by its name only
        elif pa.types.is_null(field.type) or (old.extension == "uuid" and new.type == pa.string()):
            column = old
        else:
            column = old.widened(new)
        changed |= column != old
        columns[field.name] = column
    return table.with_columns(list(columns.values())) if changed or not table.complete else table


def _delete_records(table: Table, keys: pa.Table) -> Iterator[Any]:
    """One message for each key: its columns have the values of the row to delete."""
    columns = [(column, values_of(keys.column(column.source).combine_chunks(), column)) for column in table.key]
    for row in range(keys.num_rows):
        predicates = [
            pb.Predicate(operator=pb.Predicate.EQ, column=column.name, record=_single_value(column, values, row))
            for column, values in columns
        ]
        group = pb.PredicatesGroup(grouping_type=pb.PredicatesGroup.AND, predicates=predicates)
        yield pb.Sync.Response(
            delete_record=pb.Sync.MessageDeleteRecord(table_name=table.name, where_clause=[group], table_relations=[])
        )


def _single_value(column: Column, values: pa.Array, row: int) -> bytes:
    schema = pa.schema([column.field()])
    return record_message(pa.RecordBatch.from_arrays([values.slice(row, 1)], schema=schema))


def _log_rejected(batch: TableBatch, stream: str) -> None:
    """A rejected row is a line in the log: CloudQuery has no table for them."""
    rows: list[Mapping[str, Any]] = batch.data.select(["reason"]).to_pylist()
    for row in rows:
        log.error("rejected a row: %s", row["reason"], extra={"stream": stream})
