# SPDX-License-Identifier: Apache-2.0
"""What the suite needs to know of a database: how a test writes to it, and how a source reads from it."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DataSource

START = dt.datetime(2026, 1, 1, 10)
NAMES = (
    "a \"double\" 'single' `back` [square]",
    "100% %s %(x)s %% %(",
    ":x ::y \\: ;",
    "/slash\\back$",
    "#!&*+,-.<=>?@^_{|}~()",
    "grüße 名前 ŽÑ",
    "Capital and lower",
    "select",
)
"""Names of tables and columns: each printable character of ASCII is in one of them."""


@dataclass(frozen=True)
class TypeCase:
    """A type, one of its values, and how that lands.

    :param declared: the type in ``CREATE TABLE``. :param literal: the value in ``INSERT``.
    :param arrow: the type that it lands as. :param value: what Arrow's ``as_py`` gives for it.
    """

    declared: str
    literal: str
    arrow: pa.DataType
    value: Any


class SqlDatabase(ABC):
    """An empty database, and the user whom the sources are configured with.

    The defaults are standard SQL. A subclass replaces what its database writes another way.
    """

    integer: ClassVar[str] = "integer"
    text: ClassVar[str] = "varchar(100)"
    time: ClassVar[str] = "timestamp"
    now: ClassVar[str] = "current_timestamp"
    """The time that a row gets when it is written."""
    names: ClassVar[tuple[str, ...]] = NAMES
    """Names that are legal here. Replace it only to leave out what the database itself refuses."""

    @abstractmethod
    def execute(self, *statements: str) -> None:
        """Execute statements without parameters as the owner, each committed. ``%`` means itself."""

    @abstractmethod
    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, as the owner."""

    @abstractmethod
    def source(self, **options: Any) -> DataSource[Any]:
        """A new source on the database, not connected, as a user who may only select; the options are its own."""

    def quoted(self, name: str) -> str:
        """A name in SQL."""
        return '"' + name.replace('"', '""') + '"'

    def literal(self, value: Any) -> str:
        """A number, text, time (without zone) or None in SQL."""
        if value is None:
            return "NULL"
        if isinstance(value, dt.datetime):
            return f"'{value.isoformat(' ')}'"
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)

    def create(
        self, table: str, columns: Mapping[str, str], *, key: str | None = None, unique: str | None = None
    ) -> None:
        """Create a table. ``key``: the column that is its primary key; ``unique``: one that is unique and not NULL."""
        listed = [
            f"{self.quoted(name)} {declared}" + (" NOT NULL" if name in (key, unique) else "")
            for name, declared in columns.items()
        ]
        listed += [f"PRIMARY KEY ({self.quoted(key)})"] if key else []
        listed += [f"UNIQUE ({self.quoted(unique)})"] if unique else []
        self.execute(f"CREATE TABLE {self.quoted(table)} ({', '.join(listed)})")

    def insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert rows in one statement, with values in the table's order."""
        values = ", ".join(f"({', '.join(map(self.literal, row))})" for row in rows)
        self.execute(f"INSERT INTO {self.quoted(table)} VALUES {values}")

    def index(self, table: str, *columns: str) -> None:
        self.execute(f"CREATE INDEX suite_index ON {self.quoted(table)} ({', '.join(map(self.quoted, columns))})")


class SqlServer(SqlDatabase):
    """A database of a server that a test can kill and start again."""

    @property
    @abstractmethod
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""

    @abstractmethod
    def source_at(self, port: int, **options: Any) -> DataSource[Any]:
        """The source whose server is at a port of 127.0.0.1."""

    @abstractmethod
    def kill(self) -> None:
        """End the server at once, as a crash does."""

    @abstractmethod
    def start(self) -> None:
        """Start it again at the same port, and wait until it answers."""

    @abstractmethod
    def connect(self) -> Any:
        """A new connection of the owner (PEP 249), which commits by ``commit()`` alone."""

    @abstractmethod
    def hide(self, table: str) -> None:
        """Take the sources' user the right to select from a table."""

    def source(self, **options: Any) -> DataSource[Any]:
        return self.source_at(self.port, **options)

    def change_type(self, table: str, column: str, declared: str) -> None:
        """Change the type of a column."""
        self.execute(f"ALTER TABLE {self.quoted(table)} ALTER COLUMN {self.quoted(column)} TYPE {declared}")
