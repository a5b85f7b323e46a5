"""SQLite's own SQL: its catalog, loading row by row, and tables that are made anew because columns cannot change."""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError

from ..sql.database import Database
from ..sql.incoming import Incoming
from ..sql.names import STAGED_PREFIX, check_name, check_table, folded, leads, quoted
from ..sql.types import Columns
from ..values import is_checked_json
from .columns import stored
from .connection import SqliteConnection
from .values import SqliteTypes

T = TypeVar("T")
_OWN_RULES = re.compile(
    r"\b(?:PRIMARY|UNIQUE|NOT|DEFAULT|CHECK|COLLATE|REFERENCES|FOREIGN|GENERATED|AS|CONSTRAINT|STRICT|WITHOUT)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r'"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL
)
_KEY_INDEX = "_vdk_key_"
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 10_000, 16 * 1024 * 1024
"""Of which Python objects are in memory, unless a single row is larger."""


@dataclass(frozen=True, slots=True)
class _Trace:
    """What is known of a table; SQLite has nothing that names it for good.

    :param schema: the number that each change of any table raises. :param keys: indexes that were made here.
    :param top: the highest rowid; 0 where there is none.
    """

    schema: int
    keys: frozenset[str]
    top: int


class SqliteDatabase(Database):
    """An SQLite file."""

    types = SqliteTypes()
    now = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00'"

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        self.where = str(path)
        self.connection = SqliteConnection(path, lock_timeout=lock_timeout)

    def open(self) -> None:
        self.connection.open()

    def close(self) -> None:
        self.connection.close()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return self.connection.execute(sql, parameters).rowcount

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self.connection.translated(error) from error

    def transaction(self, work: Callable[[], T]) -> T:
        return self.connection.transaction(work)

    @contextmanager
    def readable(self, tables: Sequence[pa.Table]) -> Iterator[Callable[[], list[Incoming]]]:
        loaded: list[str] = []

        def load(table: pa.Table, columns: Columns) -> str:
            loaded.append(f'temp."_vdk_arrow_{len(loaded)}"')
            # A table needs a column.
            listed = ", ".join(f"{quoted(one)} {type_}" for one, type_ in columns.items()) or "nothing"
            self.rows(f"CREATE TABLE {loaded[-1]} ({listed})")
            self._fill(loaded[-1], list(columns) or ["nothing"], ["?"] * (len(columns) or 1), table)
            return loaded[-1]

        yield lambda: [Incoming.loaded(one, self.types, load) for one in tables]
        for one in loaded:
            self.rows(f"DROP TABLE IF EXISTS {one}")

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
        self._fill(self.path(table), names, values, incoming.arrow)

    def numbered(self, count: int, first: int = 1) -> list[str]:
        # Without numbers: Python 3.12.0 to 3.12.3 take numbered ones for named ones, and warn.
        return ["?"] * count

    def check_name(self, name: str, what: str) -> None:
        check_name(name, what)
        if folded(name).startswith("sqlite_"):
            raise DestinationError(f"{what} {name!r} cannot be: names that begin with 'sqlite_' are SQLite's own")

    def path(self, name: str) -> str:
        return f"main.{quoted(name)}"

    def make_schema(self) -> None:
        """There is one, ``main``."""

    def columns(self, name: str) -> Columns | None:
        self.check_name(name, "a table named")
        # NOCASE folds the letters that SQLite's own names fold.
        found = self.rows("SELECT name, type FROM main.sqlite_master WHERE name = ? COLLATE NOCASE", [name])
        if not check_table(found, name):
            return None
        listed = self.rows("SELECT name, type FROM pragma_table_info(?, 'main')", [name])
        return {column: self._spelled(type_) for column, type_ in listed}

    def traces(self, names: Collection[str]) -> Mapping[str, _Trace]:
        ((schema,),) = self.rows("PRAGMA main.schema_version")
        there = [name for name in names if self.rows("SELECT 1 FROM main.sqlite_master WHERE name = ?", [name])]
        return {one: _Trace(int(schema), self._key_indexes(one), self._top(one)) for one in there}

    def continues(self, before: Hashable, now: Hashable, *, landed: bool = False) -> bool:
        """Nobody changes a table within our transaction. Between two, where somebody has changed any table, it is
        still the same if an index of ours is on it, or if no rows are gone from its end.
        """
        assert isinstance(before, _Trace)
        assert isinstance(now, _Trace)
        if landed or before.schema == now.schema:
            return True
        return bool(before.keys & now.keys) if before.keys else before.top <= now.top

    def _key_indexes(self, table: str) -> frozenset[str]:
        found = self.rows("SELECT name FROM pragma_index_list(?, 'main')", [table])
        return frozenset(name for (name,) in found if name.startswith(_KEY_INDEX))

    def _top(self, table: str) -> int:
        taken = {folded(name) for (name,) in self.rows("SELECT name FROM pragma_table_info(?, 'main')", [table])}
        rowid = next((one for one in ("rowid", "_rowid_", "oid") if one not in taken), None)
        if rowid is None:
            return 0
        try:
            ((top,),) = self.rows(f"SELECT max({rowid}) FROM {self.path(table)}")
        except sqlite3.OperationalError:  # a table WITHOUT ROWID
            return 0
        return int(top or 0)

    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        ((sql,),) = self.rows("SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", [table])
        if rule := _OWN_RULES.search(_QUOTED.sub("", sql)):
            raise DestinationError(
                f"{self.where}: column {column!r} of table {table!r} has to become {target}, and SQLite changes no "
                f"column of a table; one that was made with {rule[0].upper()} is not made anew, since its rules could "
                "be lost. Change the column yourself, or convert the values with a transform"
            )
        columns = {**(self.columns(table) or {}), column: target}
        new = f"{STAGED_PREFIX}{uuid.uuid4().hex}"
        listed = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
        self.rows(f"CREATE TABLE {self.path(new)} ({listed})")
        selected = (
            self.types.converted(quoted(name), existing, target) if name == column else quoted(name) for name in columns
        )
        self.rows(f"INSERT INTO {self.path(new)} SELECT {', '.join(selected)} FROM {self.path(table)}")
        self.put_in_place(new, table)

    def put_in_place(self, new: str, name: str) -> None:
        made = self.rows(
            "SELECT sql FROM main.sqlite_master WHERE tbl_name = ? AND type <> 'table' AND sql <> ''", [name]
        )
        self.rows(f"DROP TABLE {self.path(name)}")
        self.rename(new, name)
        for (sql,) in made:
            self.rows(sql)

    def index(self, table: str, columns: Sequence[str]) -> None:
        found = self.rows(
            "SELECT i.name, c.name FROM pragma_index_list(?, 'main') AS i, pragma_index_info(i.name, 'main') AS c "
            "WHERE NOT i.partial ORDER BY i.seq, c.seqno",
            [table],
        )
        if not leads(found, columns):
            name = quoted(f"{_KEY_INDEX}{uuid.uuid4().hex}")
            self.rows(f"CREATE INDEX main.{name} ON {quoted(table)} ({', '.join(map(quoted, columns))})")

    @contextmanager
    def temporary(self, select: str, columns: Sequence[str]) -> Iterator[str]:
        self.rows(f"CREATE TABLE temp._vdk_keys AS {select}")
        self.rows(f"CREATE INDEX temp._vdk_keys_found ON _vdk_keys ({', '.join(map(quoted, columns))})")
        yield "temp._vdk_keys"
        self.rows("DROP TABLE temp._vdk_keys")

    def delete_matching(self, table: str, keys: str, columns: Sequence[str]) -> None:
        listed = ", ".join(map(quoted, columns))
        self.rows(f"DELETE FROM {self.path(table)} WHERE ({listed}) IN (SELECT {listed} FROM {keys})")

    def _fill(self, path: str, names: Sequence[str], values: Sequence[str], table: pa.Table) -> None:
        """Insert a plain table's rows; ``values`` is the SQL for each of ``names``."""
        sql = f"INSERT INTO {path} ({', '.join(map(quoted, names))}) VALUES ({', '.join(values)})"
        row = table.nbytes // max(table.num_rows, 1)
        count = min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // max(row, 1)) or 1
        for start in range(0, table.num_rows, count):
            part = table.slice(start, count)
            columns = [
                stored(part.column(name), name) if name in part.schema.names else [None] * part.num_rows
                for name in names
            ]
            self.connection.execute_many(sql, zip(*columns, strict=True))

    def _parameter(self, source: str, target: str, column: pa.ChunkedArray) -> str:
        """SQL for a parameter of one type as another. Text that is not JSON does not become JSON."""
        if source == target == self.types.json and not is_checked_json(column):
            return "(SELECT value FROM (SELECT ? AS value) WHERE value IS NULL OR json_type(value) IS NOT NULL)"
        return self.types.converted("?", source, target)

    def _spelled(self, declared: str) -> str:
        """A declared type as it is called here, where it is one of ours."""
        ours = re.sub(r"\s*([(),])\s*", r"\1", " ".join(declared.upper().split()))
        return ours if self.types.is_own(ours) else declared
