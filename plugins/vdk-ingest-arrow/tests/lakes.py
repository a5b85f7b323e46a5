"""The databases that the tests of SQL targets land in, each looked at with a driver that is not the target's."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb
import pytest

from vdk.plugin.datasource_base.parts import Destination
from vdk.plugin.ingest_arrow.targets import arrow_destination

if TYPE_CHECKING:
    from vdk.plugin.datasource_base.testing.postgresql import Server


ON_A_SERVER = pytest.param("postgresql", marks=pytest.mark.heavy)
any_target = pytest.mark.parametrize("lake", ["duckdb", "sqlite", ON_A_SERVER, "parquet"], indirect=True)
"""What holds for folders of files as well as for databases. Without it a test of a lake is one of databases."""


class Lake(ABC):
    """A database that a target makes, or that is empty."""

    kind: ClassVar[str]
    schema: ClassVar[str] = "main"
    types: ClassVar[dict[str, str]]
    decimal: ClassVar[str]
    folder = Path()

    @abstractmethod
    def target(self, options: str = "") -> str:
        """Its URL; ``options`` begin with a question mark."""

    @abstractmethod
    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, in UTC."""

    @abstractmethod
    def columns(self, table: str) -> dict[str, str]:
        """Column → type, as the database spells it."""

    @abstractmethod
    def all_tables(self) -> list[str]:
        """Every table, sorted."""

    @abstractmethod
    def indexes(self, table: str = "orders") -> list[str]:
        """The names of the indexes that people made, sorted."""

    def opened(self, options: str = "") -> Destination:
        destination = arrow_destination(self.target(options), folder=self.folder)
        destination.open()
        return destination

    def settle(self) -> None:
        """Wait until nothing is done any more for processes that are gone."""
        return

    def type(self, duckdb_type: str) -> str:
        """What DuckDB calls ``duckdb_type``, as this database calls it."""
        if match := re.fullmatch(r"DECIMAL(\(.*\))", duckdb_type):
            return self.decimal + match[1]
        return self.types[duckdb_type]

    def spelled(self, columns: dict[str, str]) -> dict[str, str]:
        """Columns whose types are DuckDB's, with this database's."""
        return {name: self.type(type_) for name, type_ in columns.items()}

    def recent(self, zoned: str) -> str:
        """SQL: is this instant one of the last minute's."""
        return f"now() - {zoned} < INTERVAL '1 minute'"


class DuckDBLake(Lake):
    kind = "duckdb"
    decimal = "DECIMAL"

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.parent

    def target(self, options: str = "") -> str:
        return f"duckdb:///{self.path}{options}"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()

    def columns(self, table: str) -> dict[str, str]:
        quoted = table.replace('"', '""')
        return {row[0]: row[1] for row in self.query(f'DESCRIBE "{quoted}"')}

    def all_tables(self) -> list[str]:
        return [name for (name,) in self.query("SELECT table_name FROM duckdb_tables() ORDER BY 1")]

    def indexes(self, table: str = "orders") -> list[str]:
        return [
            name
            for (name,) in self.query(
                f"SELECT index_name FROM duckdb_indexes() WHERE table_name = '{table}' ORDER BY 1"
            )
        ]

    def type(self, duckdb_type: str) -> str:
        return duckdb_type


class SqliteLake(Lake):
    kind = "sqlite"
    decimal = "DECIMAL_TEXT"
    types: ClassVar = {
        **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "INTEGER"),
        **dict.fromkeys(("UBIGINT", "HUGEINT"), "DECIMAL_TEXT(20,0)"),
        **dict.fromkeys(("FLOAT", "DOUBLE"), "REAL"),
        "VARCHAR": "TEXT",
        "JSON": "JSON_TEXT",
        "INTERVAL": "INTERVAL MICROSECOND",
        **{same: same for same in ("BOOLEAN", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")},
        **{same: same for same in ("TIMESTAMP_NS", "TIME_NS")},
        "TIMESTAMPTZ_NS": "TIMESTAMP_NS WITH TIME ZONE",
    }

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.parent

    def target(self, options: str = "") -> str:
        return f"sqlite:///{self.path}{options}"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            with connection:
                return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def recent(self, zoned: str) -> str:
        return f"julianday('now') - julianday({zoned}) BETWEEN 0 AND 1.0 / 1440"

    def columns(self, table: str) -> dict[str, str]:
        quoted = table.replace('"', '""')
        return {row[1]: row[2] for row in self.query(f'PRAGMA table_info("{quoted}")')}

    def all_tables(self) -> list[str]:
        return [name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]

    def indexes(self, table: str = "orders") -> list[str]:
        found = self.query(f"SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}' ORDER BY 1")
        return [name for (name,) in found if not name.startswith("_vdk_key_")]


class PostgresqlLake(Lake):
    kind = "postgresql"
    schema = "public"
    decimal = "numeric"
    types: ClassVar = {
        **dict.fromkeys(("TINYINT", "SMALLINT", "UTINYINT"), "smallint"),
        **dict.fromkeys(("INTEGER", "USMALLINT"), "integer"),
        **dict.fromkeys(("BIGINT", "UINTEGER"), "bigint"),
        **dict.fromkeys(("UBIGINT", "HUGEINT"), "numeric(20,0)"),
        "FLOAT": "real",
        "DOUBLE": "double precision",
        "VARCHAR": "text",
        "JSON": "jsonb",
        "BLOB": "bytea",
        "TIME": "time without time zone",
        "TIMESTAMP": "timestamp without time zone",
        "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
        **{name: name.lower() for name in ("BOOLEAN", "DATE", "INTERVAL")},
    }

    def __init__(self, server: Server, database: str, folder: Path) -> None:
        self.server, self.database, self.folder = server, database, folder

    def target(self, options: str = "") -> str:
        return self.server.url(self.database, options)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.query(self.database, sql)

    def columns(self, table: str) -> dict[str, str]:
        found = self.server.query(
            self.database,
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute JOIN pg_class c ON attrelid = c.oid "
            "WHERE relname = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [table],
        )
        return dict(found)

    def all_tables(self) -> list[str]:
        return sorted(name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))

    def settle(self) -> None:
        while self.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'vdk-ingest-arrow'"):
            time.sleep(0.02)

    def indexes(self, table: str = "orders") -> list[str]:
        found = self.query(f"SELECT indexname FROM pg_indexes WHERE tablename = '{table}' ORDER BY 1")
        return [name for (name,) in found if not re.fullmatch(r"(?:_vdk_staged_.*|orders.*)_idx\d*", name)]


class ParquetLake(Lake):
    """A folder, looked at with DuckDB, as if its tables and states were those of a database."""

    kind = "parquet"
    decimal = "DECIMAL"

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.parent

    def target(self, options: str = "") -> str:
        return f"parquet:///{self.path}{options}"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name in self.all_tables():
                files = f"{self.path}/{name}/*.parquet"
                connection.execute(
                    f"CREATE VIEW \"{name}\" AS SELECT * FROM read_parquet('{files}', union_by_name = true)"
                )
            connection.execute(
                "CREATE TABLE _vdk_datasource_state (source_id TEXT, partition TEXT, version INT, state TEXT, "
                "updated_at TIMESTAMP WITH TIME ZONE)"
            )
            record = self.path / "_vdk" / "commits.json"
            content = json.loads(record.read_text("utf-8")) if record.exists() else {"states": []}
            for one in content["states"]:
                key, written = one["key"], content["written_at"]
                values = [key["source_id"], key["partition"], one["version"], json.dumps(one["state"]), written]
                connection.execute("INSERT INTO _vdk_datasource_state VALUES (?, ?, ?, ?, ?)", values)
            return connection.execute(sql).fetchall()

    def columns(self, table: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self.query(f'DESCRIBE "{table}"')}

    def all_tables(self) -> list[str]:
        return sorted({path.parent.name for path in self.path.glob("[!_]*/*.parquet")})

    def indexes(self, table: str = "orders") -> list[str]:
        return []

    def type(self, duckdb_type: str) -> str:
        return duckdb_type
