"""A database of thousands of tables is described and read with few statements."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support import run, source_of
from vdk.plugin.source_sqlite.backend import SqliteBackend


def counts(folder: Path, tables: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many statements describe the tables, and how many read one of them."""
    path = folder / f"{tables}.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(tables):
            connection.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT)")
            connection.execute(f"CREATE INDEX i{number} ON t{number} (updated_at, id)")
            connection.execute(f"INSERT INTO t{number} VALUES (1, 'x', '2026-01-01 00:00:00')")
        connection.commit()
    statements: list[str] = []
    connect = SqliteBackend._opened

    def traced(backend: SqliteBackend) -> Any:
        connection = connect(backend)
        connection.set_trace_callback(statements.append)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(SqliteBackend, "_opened", traced)
        source = source_of(path)
        described = len(statements)
        assert len(source.streams()) == tables
        assert run(source.streams()[1]).column("id") == [1]
    return described, len(statements) - described


@pytest.mark.heavy
def test_statements_grow_with_the_tables_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Describing takes a few for each table, and reading one takes the same few, however many others there are."""
    few, read_of_few = counts(tmp_path, 5, monkeypatch)
    many, read_of_many = counts(tmp_path, 1000, monkeypatch)
    assert many - few <= 4 * (1000 - 5)
    assert read_of_many == read_of_few <= 20
