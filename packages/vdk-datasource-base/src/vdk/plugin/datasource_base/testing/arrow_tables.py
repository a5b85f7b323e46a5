# SPDX-License-Identifier: Apache-2.0
"""Tables in memory: Arrow as it lands, and rows of Python values once somebody looks at them."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..contract import DestinationError
from ..parts import DELETED_AT, TableBatch, TableSpec
from ..parts.columns.rows import rows_of, values_of

Row = dict[str, Any]
Key = tuple[Any, ...]
LARGE = 50_000
"""Rows of a chunk that is not merged with others."""


@dataclass(slots=True)
class _Content:
    """The rows of a table: those that somebody has looked at, then chunks. What it has is replaced, never changed.

    :param keys: the keys of all rows, and perhaps of deleted ones; None: unknown.
    """

    rows: list[Row] = field(default_factory=list)
    chunks: list[pa.Table] = field(default_factory=list)
    keys: set[Key] | None = None

    def __len__(self) -> int:
        return len(self.rows) + sum(int(chunk.num_rows) for chunk in self.chunks)

    def as_rows(self) -> list[Row]:
        return [*self.rows, *(row for chunk in self.chunks for row in rows_of(chunk))]


class ArrowTables(dict[str, list[Row]]):
    """Table → rows. A table that is looked at becomes a list of rows, which may be changed.

    One thread lands; others may look at any time.
    """

    def __init__(self, rows: Mapping[str, list[Row]] | None = None) -> None:
        super().__init__(rows or {})
        self._chunks: dict[str, list[pa.Table]] = {}
        self._keys: dict[str, set[Key]] = {}
        self._lock = threading.RLock()

    def landed(self, batches: Iterable[TableBatch], *, published: Iterable[str] = ()) -> Changes:
        """What the tables are after batches; nothing is changed before ``put``.

        :param published: tables that are replaced.
        """
        return Changes(self, batches, published)

    def put(self, changes: Changes) -> None:
        with self._lock:
            for name, content in changes.contents.items():
                self[name] = content.rows
                self._chunks[name] = content.chunks
                if content.keys is not None:
                    content.keys |= changes.added.get(name, set())
                    self._keys[name] = content.keys

    def content(self, name: str) -> _Content:
        with self._lock:
            rows: list[Row] = super().get(name, [])
            return _Content(rows, list(self._chunks.get(name, ())), self._keys.get(name))

    def _looked_at(self, name: str) -> None:
        """From now on only the list counts: it may be changed by whoever has it."""
        with self._lock:
            self._keys.pop(name, None)
            if chunks := self._chunks.pop(name, None):
                super().__setitem__(name, _Content(super().__getitem__(name), chunks).as_rows())

    def __setitem__(self, name: str, rows: list[Row]) -> None:
        self._chunks.pop(name, None)
        self._keys.pop(name, None)
        super().__setitem__(name, rows)

    def __getitem__(self, name: str) -> list[Row]:
        self._looked_at(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._looked_at(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:  # without it, dict(tables) would not call __getitem__
        return super().__iter__()

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def __eq__(self, other: object) -> bool:
        return dict(self.items()) == other

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def pop(self, name: str, *default: Any) -> Any:
        self._looked_at(name)
        return super().pop(name, *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        self._looked_at(name)
        return super().setdefault(name, default)

    def __delitem__(self, name: str) -> None:
        self._looked_at(name)
        super().__delitem__(name)

    def __reduce__(self) -> tuple[Any, ...]:  # for copy and pickle, which do not know the lock
        return ArrowTables, (dict(self.items()),)

    def update(self, others: Mapping[str, list[Row]]) -> None:  # type: ignore[override]  # only mappings are given
        for name in others:
            self[name] = others[name]

    def clear(self) -> None:
        with self._lock:
            self._chunks.clear()
            self._keys.clear()
            super().clear()


class Changes:
    """The contents of some tables after some batches."""

    def __init__(self, tables: ArrowTables, batches: Iterable[TableBatch], published: Iterable[str]) -> None:
        self._tables = tables
        self._published = frozenset(published)
        self.contents: dict[str, _Content] = {name: _Content() for name in self._published}
        self.added: dict[str, set[Key]] = {}
        self.rows_swept = 0
        for batch in batches:
            self._land(batch)

    def _land(self, batch: TableBatch) -> None:
        spec = batch.table
        content = self.contents.get(spec.name)
        if content is None:
            content = self.contents[spec.name] = self._tables.content(spec.name)
        if batch.kind == "keys":
            before = len(content)
            self._sweep(content, batch)
            self.rows_swept += before - len(content)
        elif batch.kind == "deletes":
            self._delete(content, set(_keys(batch.data, spec.primary_key)), spec)
        else:
            self._land_rows(content, batch)

    def _land_rows(self, content: _Content, batch: TableBatch) -> None:
        spec = batch.table
        if spec.write_mode == "replace" and spec.name not in self._published:
            raise DestinationError(f"{spec.name} has the write mode replace, so it is published and not committed")
        if spec.write_mode == "upsert":
            new = set(_keys(batch.data, spec.primary_key))
            if content.keys is None:
                content.keys = {_key(row, spec.primary_key) for row in content.rows}
                content.keys.update(key for chunk in content.chunks for key in _keys(chunk, spec.primary_key))
            added = self.added.setdefault(spec.name, set())
            if not (content.keys.isdisjoint(new) and added.isdisjoint(new)):
                _remove(content, new, spec.primary_key, batch.data)
            added |= new
        else:
            content.keys = None
        content.chunks = _appended(content.chunks, batch.data)

    def _sweep(self, content: _Content, batch: TableBatch) -> None:
        keys, spec = set(_keys(batch.data, batch.table.primary_key)), batch.table
        gone = {
            _key(row, spec.primary_key)
            for row in content.as_rows()
            if not row.get(DELETED_AT) and _key(row, spec.primary_key) not in keys
        }
        self._delete(content, gone, spec)

    def _delete(self, content: _Content, keys: set[Key], spec: TableSpec) -> None:
        if not spec.soft_deletes:
            _remove(content, keys, spec.primary_key)
            return
        now = dt.datetime.now(dt.UTC)
        content.rows = [
            {**row, DELETED_AT: now} if _key(row, spec.primary_key) in keys else row for row in content.as_rows()
        ]
        content.chunks = []


def _remove(content: _Content, keys: set[Key], names: Sequence[str], data: pa.Table | None = None) -> None:
    """Remove the rows with these keys. :param data: a table with exactly these keys, which is faster."""
    content.rows = [row for row in content.rows if _key(row, names) not in keys]
    kept = [chunk.filter(pc.invert(_has_key(chunk, keys, names, data))) for chunk in content.chunks]
    content.chunks = [chunk for chunk in kept if chunk.num_rows]


def _has_key(chunk: pa.Table, keys: set[Key], names: Sequence[str], data: pa.Table | None) -> Any:
    """Whether each row has one of the keys."""
    if data is not None and len(names) == 1:
        column, values = chunk.column(names[0]), data.column(names[0])
        if column.type == values.type and not pa.types.is_nested(column.type) and not _is_extension(column.type):
            return pc.is_in(column, value_set=values.combine_chunks())
    return pa.array([key in keys for key in _keys(chunk, names)], pa.bool_())


def _is_extension(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType)


def _keys(data: pa.Table, names: Sequence[str]) -> Iterator[Key]:
    missing = [None] * data.num_rows
    return zip(*(values_of(data.column(name)) if name in data.schema.names else missing for name in names), strict=True)


def _key(row: Row, names: Sequence[str]) -> Key:
    return tuple(row.get(name) for name in names)


def _appended(chunks: list[pa.Table], data: pa.Table) -> list[pa.Table]:
    """The chunks and one more; small ones are merged, so that their number grows with the logarithm of the rows."""
    chunks = [*chunks, data] if data.num_rows else chunks
    while len(chunks) > 1 and chunks[-2].num_rows < min(2 * chunks[-1].num_rows, LARGE):
        if not chunks[-2].schema.equals(chunks[-1].schema):
            break
        chunks[-2:] = [pa.concat_tables(chunks[-2:]).combine_chunks()]
    return chunks
