"""New places for rows in each kind of target: emptied before each run, and counted after it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import Bench, emptied
from measure import MeasuringError

TARGETS = ("DuckDB", "SQLite", "Parquet", "PostgreSQL")
ANEW = """
import psycopg, sys
server, name = sys.argv[1].rsplit("/", 1)
with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
    connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    connection.execute(f"CREATE DATABASE {name}")
"""
COUNT = """
import sys
url, table = sys.argv[1:]
kind, path = url.split(":///", 1) if ":///" in url else ("postgresql", "")
if kind == "postgresql":
    import psycopg
    connection = psycopg.connect(url)
elif kind == "sqlite":
    import sqlite3
    connection = sqlite3.connect(f"/{path}")
else:
    import duckdb
    connection = duckdb.connect(f"/{path}") if kind == "duckdb" else duckdb.connect()
    if kind == "parquet":
        from glob import glob
        files = glob(f"/{path}/**/{table}/**/*.parquet", recursive=True)
        table = f"read_parquet({files}, hive_partitioning=false)"
print(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
"""


@dataclass(frozen=True)
class Landing:
    """A place for the rows of one contender. ``url`` is a target of the method ``arrow``."""

    bench: Bench
    url: str

    def empty(self) -> None:
        """Something for ``Contender.prepare``."""
        kind, _, path = self.url.partition("://")
        if kind == "postgresql":
            subprocess.run([self.bench.servers / "python", "-c", ANEW, self.url], check=True, capture_output=True)
        else:
            emptied(Path("/", path.lstrip("/")).parent)()

    def has(self, rows: int, table: str = "orders") -> Callable[[], None]:
        """Something for ``Contender.check``."""

        def look() -> None:
            command = [str(self.bench.servers / "python"), "-c", COUNT, self.url, table]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.stdout.strip() != str(rows):
                raise MeasuringError(f"{table}: {rows} rows expected, found {done.stdout.strip() or done.stderr}")

        return look


@contextmanager
def landings(bench: Bench, target: str) -> Iterator[Callable[[str], Landing]]:
    """Makes places in a target by their names. PostgreSQL runs as long as the block."""
    if target == "PostgreSQL":
        with bench.server("postgres_server.py") as server:
            yield lambda name: Landing(bench, f"{server}/{name}")
        return

    def place(name: str) -> Landing:
        folder = bench.space(f"landing-{target}-{name}".lower())
        return Landing(bench, f"{target.lower()}:///{folder / 'lake'}")

    yield place
