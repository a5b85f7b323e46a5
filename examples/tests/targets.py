"""The targets that promise every row exactly once, whatever kills the process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of database.

    :param url: the target's URL, for a folder that the test has to itself.
    :param query: runs SQL on what is in that folder, when nobody else does.
    :param statement: the function that every statement goes through: an instant within a transaction.
    """

    name: str
    url: Callable[[Path], str]
    query: Callable[[Path, str], Rows]
    statement: str

    def __str__(self) -> str:
        return self.name


def _query_duckdb(folder: Path, sql: str) -> Rows:
    with closing(duckdb.connect(str(folder / "lake.duckdb"))) as connection:
        return connection.execute(sql).fetchall()


TARGETS = [
    Target(
        "duckdb",
        lambda folder: f"duckdb:///{folder / 'lake.duckdb'}",
        _query_duckdb,
        "vdk.plugin.ingest_arrow._duckdb._connection:DuckDBConnection.rows",
    ),
]
