# SPDX-License-Identifier: Apache-2.0
"""The tables of the lists in a stream's rows: each item is a row, with the key of its row and its position.

Under "upsert" the items of a row replace all earlier ones: first every row of the table that has its key is deleted,
also in the tables of lists that it does not have any more. All of it lands in the commit of the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ....contract import BadRecordError, ConfigurationError
from ....parts import RESERVED_PREFIX, TableBatch, TableSpec, WriteMode
from ....parts.columns.convert import convert_rows
from ....parts.columns.framework import check_names
from ....parts.columns.nested import SEPARATOR, Lists, Row, flattened
from ....parts.columns.policy import StreamPolicy
from ....parts.destination import BatchKind
from ..plan.child_tables import ChildTables

Rejected = list[tuple[Mapping[str, Any], BadRecordError]]
POSITION = "position"
VALUE = "value"
"""The column of an item that is a value of its own."""


class ChildBatch(TableBatch):
    """Items of lists, or the keys of rows whose items are deleted. They are not among the rows that a stream reads."""

    __slots__ = ()


@dataclass(slots=True)
class ChildBatches:
    """Builds the batches of child tables for the batches of a stream's own table.

    :param mode: of the own table. :param rejected: gets items that do not fit, by table.
    """

    tables: ChildTables
    mode: WriteMode
    soft_deletes: bool
    evolve: bool
    policy: StreamPolicy | None
    rejected: dict[str, Rejected]

    def lists(self) -> Lists:
        return Lists(self.tables.keep)

    def deletes(self, rows: pa.Table, kind: BatchKind) -> Iterator[TableBatch]:
        """The items of these rows are deleted, from every known table; ``keys``: those of all other rows."""
        if self.mode == "upsert" and rows.num_rows:
            for name in self.tables.known():
                yield self._deletes(name, rows, kind)

    def _deletes(self, name: str, rows: pa.Table, kind: BatchKind) -> TableBatch:
        keys = rows.select(list(self.tables.key)).rename_columns(list(self.tables.key.values()))
        return ChildBatch(self._spec(name, tuple(self.tables.key.values())), kind, keys)

    def rows(self, rows: pa.Table, nested: Sequence[tuple[int, Row]]) -> Iterator[TableBatch]:
        """The items of the lists of rows that land, with the columns that the framework adds."""
        kept = [name for name in rows.schema.names if name.startswith(RESERVED_PREFIX)]
        parents = rows.select([*self.tables.key, *kept]).rename_columns([*self.tables.key.values(), *kept])
        yield from self._level(parents, nested, "", tuple(self.tables.key.values()), self.tables.depth - 1)

    def _level(
        self, parents: pa.Table, nested: Sequence[tuple[int, Row]], prefix: str, key: tuple[str, ...], depth: int
    ) -> Iterator[TableBatch]:
        """:param parents: the key and the framework's columns. :param depth: levels that are left in an item."""
        for field in dict.fromkeys(field for _, lists in nested for field in lists):
            path = f"{prefix}{field}"
            own_key = (*key, f"{path}{SEPARATOR}{POSITION}")
            name = self.tables.name(path, own_key)
            items = [
                (parent, position, item)
                for parent, lists in nested
                for position, item in enumerate(lists.get(field, ()))
            ]
            yield from self._table(name, parents, items, f"{path}{SEPARATOR}", own_key, depth)

    def _table(
        self,
        name: str,
        parents: pa.Table,
        items: Sequence[tuple[int, int, Any]],
        prefix: str,
        key: tuple[str, ...],
        depth: int,
    ) -> Iterator[TableBatch]:
        lists = Lists()
        rows = self._item_rows([item for _, _, item in items], key, depth)
        taken = [lists.take([row])[0] for row in rows] if depth > 0 else rows
        converted = convert_rows(taken, None, stream=self.tables.stream)
        if converted.rejected:
            self.rejected.setdefault(name, []).extend((lists.whole(row), error) for row, error in converted.rejected)
            bad = {id(row) for row, _ in converted.rejected}
            items = [item for item, row in zip(items, taken, strict=True) if id(row) not in bad]
        fields, nested = lists.split(converted.table)
        check_names(fields, stream=self.tables.stream)
        numbers = pa.array([parent for parent, _, _ in items], pa.int64())
        places = pa.array([place for _, place, _ in items], pa.int64())
        keyed = parents.take(numbers).append_column(key[-1], places)
        columns = {each: keyed.column(each) for each in key}
        columns |= {each: fields.column(each) for each in fields.schema.names}
        columns |= {each: keyed.column(each) for each in keyed.schema.names if each not in key}
        table = pa.table(columns)
        yield ChildBatch(self._spec(name, key), "rows", table)
        if nested:
            yield from self._level(keyed, nested, prefix, key, depth - 1)

    def _item_rows(self, items: Sequence[Any], key: Sequence[str], depth: int) -> list[Row]:
        """Items as flat rows, as the column policy leaves them."""
        rows: list[Row] = [item if isinstance(item, Mapping) else {VALUE: item} for item in items]
        rows = flattened(rows, depth, self.tables.stream)
        if taken := next((name for row in rows for name in key if name in row), None):
            raise ConfigurationError(
                f"stream {self.tables.stream!r}: an item of a list has a field {taken!r}, which is the name of a "
                'column of its key; set nested = "json" to keep lists as they are'
            )
        return rows if self.policy is None else list(self.policy.data(rows))

    def _spec(self, name: str, key: tuple[str, ...]) -> TableSpec:
        upsert = self.mode == "upsert"
        return TableSpec(name, self.mode, key if upsert else (), None, self.soft_deletes, self.evolve)
