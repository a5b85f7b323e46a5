# SPDX-License-Identifier: Apache-2.0
"""An SQLite file as a target: its SQL dialect, and the options of ``sqlite:///file``.

Rows are loaded one by one, and a table is rebuilt where a column changes its type, since SQLite cannot change it.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import quoted

from ..names import STAGED_PREFIX, check_name, fold_ascii, has_leading_index, table_exists
from ..sql.database import Incoming, LoadedRows
from ..sql.target import SqlTarget
from ..sql.types import Columns
from ..targets import TargetUrl, path_identity
from ..values import is_checked_json
from .connection import SqliteConnection
from .values import SqliteTypes, encode_column

_OWN_RULES = re.compile(
    r"\b(?:PRIMARY|UNIQUE|NOT|DEFAULT|CHECK|COLLATE|REFERENCES|FOREIGN|GENERATED|AS|CONSTRAINT|STRICT|WITHOUT)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r'"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL
)
_KEY_INDEX = "_vdk_key_"
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 10_000, 16 * 1024 * 1024
"""The rows, and their bytes, that are in memory as Python objects at once; a single larger row is alone."""


@dataclass(frozen=True, slots=True)
class _TableId:
    """What identifies a table; SQLite has no permanent id for one.

    :param schema: a number that every change of any table increases. :param keys: indexes made by ``create_index``.
    :param top: the highest rowid; 0 without any.
    """

    schema: int
    keys: frozenset[str]
    top: int


class SqliteDatabase(SqliteConnection):
    """An SQLite file."""

    types = SqliteTypes()
    now = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00'"

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        super().__init__(path, lock_timeout=lock_timeout)
        self._loaded: list[str] = []

    @contextmanager
    def incoming(self, tables: Sequence[pa.Table]) -> Iterator[list[LoadedRows]]:
        self._loaded.clear()  # of a transaction that was rolled back
        yield [LoadedRows(table, self.types, self._load) for table in tables]
        for relation in self._loaded:
            self.execute(f"DROP TABLE IF EXISTS {relation}")

    def insert(self, incoming: Incoming, table: str, names: Sequence[str], columns: Columns) -> None:
        if incoming.arrow is None:
            super().insert(incoming, table, names, columns)
            return
        values = [
            self._parameter(incoming.types[name], columns[name], incoming.arrow.column(name))
            if name in incoming.types
            else "?"
            for name in names
        ]
        self._fill(self.qualified(table), names, values, incoming.arrow)

    def placeholders(self, count: int, first: int = 1) -> list[str]:
        # Without numbers: Python 3.12.0 to 3.12.3 warn of numbered ones as if they were named.
        return ["?"] * count

    def instant(self, parameter: str) -> str:
        return parameter  # as text, the form of all such columns

    def epoch(self, column: str) -> str:
        return f"(julianday({column}) - 2440587.5) * 86400.0"

    def check_name(self, name: str, what: str) -> None:
        check_name(name, what)
        if fold_ascii(name).startswith("sqlite_"):
            raise DestinationError(f"{what} {name!r} is not possible: SQLite reserves 'sqlite_'. Choose another name")

    def qualified(self, name: str) -> str:
        return f"main.{quoted(name)}"

    def create_schema(self) -> None:
        """``main`` always exists."""

    def columns(self, name: str) -> Columns | None:
        self.check_name(name, "a table named")
        # NOCASE folds the letters that SQLite's own names fold.
        entries = self.execute("SELECT name, type FROM main.sqlite_master WHERE name = ? COLLATE NOCASE", [name])
        if not table_exists(entries, name):
            return None
        listed = self.execute("SELECT name, type FROM pragma_table_info(?, 'main')", [name])
        return {column: self._spelled(type_) for column, type_ in listed}

    def table_ids(self, names: Collection[str]) -> Mapping[str, _TableId]:
        ((schema,),) = self.execute("PRAGMA main.schema_version")
        existing = [name for name in names if self.execute("SELECT 1 FROM main.sqlite_master WHERE name = ?", [name])]
        return {name: _TableId(int(schema), self._key_indexes(name), self._top(name)) for name in existing}

    def is_same_table(self, before: Hashable, now: Hashable, *, landed: bool = False) -> bool:
        """Nobody changes a table within our transaction. Between two, if somebody has changed any table, it is still
        the same if it has an index of ours, or if no rows are missing at its end.
        """
        assert isinstance(before, _TableId)
        assert isinstance(now, _TableId)
        if landed or before.schema == now.schema:
            return True
        return bool(before.keys & now.keys) if before.keys else before.top <= now.top

    def _key_indexes(self, table: str) -> frozenset[str]:
        indexes = self.execute("SELECT name FROM pragma_index_list(?, 'main')", [table])
        return frozenset(name for (name,) in indexes if name.startswith(_KEY_INDEX))

    def _top(self, table: str) -> int:
        columns = {
            fold_ascii(name) for (name,) in self.execute("SELECT name FROM pragma_table_info(?, 'main')", [table])
        }
        rowid = next((name for name in ("rowid", "_rowid_", "oid") if name not in columns), None)
        if rowid is None:
            return 0
        try:
            ((top,),) = self.execute(f"SELECT max({rowid}) FROM {self.qualified(table)}")
        except sqlite3.OperationalError:  # a table WITHOUT ROWID
            return 0
        return int(top or 0)

    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        ((sql,),) = self.execute("SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", [table])
        if rule := _OWN_RULES.search(_QUOTED.sub("", sql)):
            raise DestinationError(
                f"{self.location}: column {column!r} of table {table!r} has to become {target}, and SQLite can only "
                f"rebuild the table for that. It is not rebuilt, because its rule {rule[0].upper()} could be lost. "
                "Change the column yourself, or convert the values with a transform"
            )
        columns = {**(self.columns(table) or {}), column: target}
        new = f"{STAGED_PREFIX}{uuid.uuid4().hex}"
        listed = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
        self.execute(f"CREATE TABLE {self.qualified(new)} ({listed})")
        selected = (
            self.types.cast_sql(quoted(name), existing, target) if name == column else quoted(name) for name in columns
        )
        self.execute(f"INSERT INTO {self.qualified(new)} SELECT {', '.join(selected)} FROM {self.qualified(table)}")
        self.swap_table(new, table)

    def swap_table(self, new: str, name: str) -> None:
        dependents = self.execute(
            "SELECT sql FROM main.sqlite_master WHERE tbl_name = ? AND type <> 'table' AND sql <> ''", [name]
        )
        self.execute(f"DROP TABLE {self.qualified(name)}")
        self.rename(new, name)
        for (sql,) in dependents:
            self.execute(sql)

    def create_index(self, table: str, columns: Sequence[str]) -> None:
        indexes = self.execute(
            "SELECT i.name, c.name FROM pragma_index_list(?, 'main') AS i, pragma_index_info(i.name, 'main') AS c "
            "WHERE NOT i.partial ORDER BY i.seq, c.seqno",
            [table],
        )
        if not has_leading_index(indexes, columns):
            name = quoted(f"{_KEY_INDEX}{uuid.uuid4().hex}")
            self.execute(f"CREATE INDEX main.{name} ON {quoted(table)} ({', '.join(map(quoted, columns))})")

    @contextmanager
    def key_table(self, select: str, columns: Sequence[str]) -> Iterator[str]:
        self.execute(f"CREATE TABLE temp._vdk_keys AS {select}")
        self.execute(f"CREATE INDEX temp._vdk_keys_found ON _vdk_keys ({', '.join(map(quoted, columns))})")
        yield "temp._vdk_keys"
        self.execute("DROP TABLE temp._vdk_keys")

    def delete_matching(self, table: str, keys: str, columns: Sequence[str]) -> None:
        listed = ", ".join(map(quoted, columns))
        self.execute(f"DELETE FROM {self.qualified(table)} WHERE ({listed}) IN (SELECT {listed} FROM {keys})")

    def _load(self, table: pa.Table, columns: Columns) -> str:
        relation = f'temp."_vdk_arrow_{len(self._loaded)}"'
        self._loaded.append(relation)
        # A table needs a column.
        listed = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items()) or "nothing"
        self.execute(f"CREATE TABLE {relation} ({listed})")
        self._fill(relation, list(columns) or ["nothing"], ["?"] * (len(columns) or 1), table)
        return relation

    def _fill(self, path: str, names: Sequence[str], values: Sequence[str], table: pa.Table) -> None:
        """Insert the rows of an Arrow table; ``values`` is the SQL for each of ``names``."""
        sql = f"INSERT INTO {path} ({', '.join(map(quoted, names))}) VALUES ({', '.join(values)})"
        row = table.nbytes // max(table.num_rows, 1)
        count = min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // max(row, 1)) or 1
        for start in range(0, table.num_rows, count):
            part = table.slice(start, count)
            columns = [
                encode_column(part.column(name), name) if name in part.schema.names else [None] * part.num_rows
                for name in names
            ]
            self.execute_many(sql, zip(*columns, strict=True))

    def _parameter(self, source: str, target: str, column: pa.ChunkedArray) -> str:
        """SQL for a parameter of one type as another. Text that is not JSON does not become JSON."""
        if source == target == self.types.json and not is_checked_json(column):
            return "(SELECT value FROM (SELECT ? AS value) WHERE value IS NULL OR json_type(value) IS NOT NULL)"
        return self.types.cast_sql("?", source, target)

    def _spelled(self, declared: str) -> str:
        """A declared type in our spelling, where it is one of ours."""
        ours = re.sub(r"\s*([(),])\s*", r"\1", " ".join(declared.upper().split()))
        return ours if self.types.is_own(ours) else declared


class SqliteTarget(SqlTarget):
    """One SQLite file.

    Option: ``lock_timeout`` (default 30s: how long to wait for others that read or write the file).
    """

    options = ("lock_timeout",)

    def __init__(self, target: str | None, *, folder: Path) -> None:
        url = TargetUrl.parse(target)
        url.check_options(self.options)
        self.path = url.file(folder)
        super().__init__(target, folder=folder, database=SqliteDatabase(self.path, lock_timeout=url.lock_timeout()))

    def identity(self) -> str:
        return f"arrow sqlite:///{path_identity(self.path)}"
