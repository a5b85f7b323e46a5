# SPDX-License-Identifier: Apache-2.0
"""Pages of raw rows as payloads: Arrow for what fits, rejected rows for what does not, deleted keys apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from vdk.plugin.datasource_base.contract import JSON, BadRecordError, DataSourcePayload, RejectedRows
from vdk.plugin.datasource_base.parts import REJECT_REMEDY

from ..backend import Backend
from ..kinds import MISFIT_ERRORS, Kind, is_undecodable, raw_bytes, resolve_kind, split
from ..plans.planning import TablePlan
from ..session import Row
from ..statements import TableQuery

NOT_DELETED = (None, 0, "", "0", b"")


class PayloadBuilder:
    """Turns the rows of one query into payloads.

    :param kinds: how each column lands. One that waits is resolved here, by the first page that has a value in it.
    :param backend: resolves a kind, and says why a value does not fit one.
    """

    def __init__(self, plan: TablePlan, kinds: dict[str, Kind], query: TableQuery, backend: Backend) -> None:
        self._plan, self._query, self._kinds, self._backend = plan, query, kinds, backend
        self._key_indexes = [plan.columns.index(name) for name in plan.primary_key] or list(query.key_indexes)
        self._count = 0

    def payloads(self, rows: Sequence[Row], state: Mapping[str, JSON] | None = None) -> Iterator[DataSourcePayload]:
        """The rows of one page; ``state`` goes with the last payload."""
        *others, last = list(self._payloads(rows)) or [DataSourcePayload(None)]
        yield from others
        yield DataSourcePayload(last.data, state=state, kind=last.kind)

    def _payloads(self, rows: Sequence[Row]) -> Iterator[DataSourcePayload]:
        live, deleted = self._apart(rows)
        if live:
            yield from self._converted(live, range(len(self._plan.columns)), "rows")
        if deleted and self._plan.cursor:  # a table that is read whole is replaced: what it leaves out is gone
            yield from self._converted(deleted, self._key_indexes, "deletes")
        self._count += len(rows)

    def _converted(
        self, rows: Sequence[Row], columns: Sequence[int], kind: Literal["rows", "deletes"]
    ) -> Iterator[DataSourcePayload]:
        table, rejected = self._table(rows, columns)
        if rejected:
            yield DataSourcePayload(RejectedRows(rejected))
        if table.num_rows:
            yield DataSourcePayload(table, kind=kind)

    def keys(self, rows: Sequence[Row]) -> pa.Table:
        """Rows of primary keys alone, as a table; a key that does not fit never landed and is left out."""
        by_column = list(zip(*rows, strict=True)) or [()] * len(self._key_indexes)
        return self._fitting(dict(zip(self._key_indexes, by_column, strict=True)), len(rows))[0]

    def _apart(self, rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
        index = self._query.deleted_index
        if index is None:
            return rows, ()
        live = [row for row in rows if row[index] in NOT_DELETED]
        return live, [row for row in rows if row[index] not in NOT_DELETED]

    def _table(
        self, rows: Sequence[Row], columns: Sequence[int]
    ) -> tuple[pa.Table, list[tuple[dict[str, Any], BadRecordError]]]:
        """The rows that fit, and those that do not."""
        by_column = list(zip(*rows, strict=True))
        table, bad = self._fitting({index: by_column[index] for index in columns}, len(rows))
        return table, [self._rejected(rows[row], row, column) for row, column in sorted(bad.items())]

    def _fitting(self, by_column: Mapping[int, Sequence[Any]], count: int) -> tuple[pa.Table, dict[int, int]]:
        """The rows of which every value fits, and the others with the first column that each does not fit."""
        arrays: list[pa.Array] = []
        bad: dict[int, int] = {}
        names = self._plan.columns
        for column, values in by_column.items():
            resolve_kind(self._backend.kind, self._plan.table.columns, self._kinds, names[column], values)
            kind = self._kinds[names[column]]
            try:
                arrays.append(kind.array(values))
            except MISFIT_ERRORS:
                array, unfit = split(kind, values)
                arrays.append(array)
                for row in unfit:
                    bad.setdefault(row, column)
        table = pa.Table.from_arrays(arrays, names=[names[column] for column in by_column])
        return (table.filter(pa.array([row not in bad for row in range(count)])) if bad else table), bad

    def _rejected(self, row: Row, number: int, column: int) -> tuple[dict[str, Any], BadRecordError]:
        plan, name = self._plan, self._plan.columns[column]
        error = BadRecordError(
            f"{self._backend.misfit(plan, name, self._kinds[name], row[column])}{REJECT_REMEDY}",
            stream=plan.name,
            column=name,
            key=self._named_key(row, number),
            value=raw_bytes(row[column]) if is_undecodable(row[column]) else row[column],
        )
        return dict(zip(plan.columns, row, strict=False)), error

    def _named_key(self, row: Row, number: int) -> Any:
        values = [row[column] for column in self._key_indexes]
        if not values:
            return f"row {self._count + number + 1} as read"
        return values[0] if len(values) == 1 else tuple(values)


def schema_of(plan: TablePlan, kinds: Mapping[str, Kind]) -> pa.Schema:
    return pa.schema([pa.field(name, kinds[name].arrow) for name in plan.columns])
