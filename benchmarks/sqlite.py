"""One large table from SQLite into DuckDB: ours, the peers, and the limits of the machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import data
from bench import QUIET, Bench, lands, ours, removing
from measure import Command, Contender
from report import OURS, Comparison, beside_limit
from rivals import SLOWEST, Road, rivals, sizes
from serving_command import cloudquery

LIMIT = "ADBC → DuckDB (limit)"
PYTHON = "sqlite3 → Arrow → DuckDB (limit of Python)"


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads a table with a cursor for the first time."""
    files = {rows: data.orders(bench.folder / "data" / f"orders-{rows}.db", rows) for rows in sizes(bench.rows)}
    road = Road("SQLite", {rows: f"sqlite:///{path}" for rows, path in files.items()}, bench.rows)
    database = files[bench.rows]
    with cloudquery(bench, road.name, road.urls, bench.rows) as sync:
        measured = bench.measure(
            limit(bench, database, bench.rows),
            by_python(bench, database),
            ours(bench, OURS, "sqlite", f'database = "{database}"', rows=bench.rows),
            *rivals(bench, road),
            sync,
            *vdk_itself(bench, files[road.fewer(SLOWEST)], road.fewer(SLOWEST)),
        )
    title = f"{bench.rows:,} rows, 10 columns, SQLite → DuckDB, cold process"
    return [beside_limit(title, measured, LIMIT, times=("times the ADBC limit", 1.4), megabytes=300)]


def limit(bench: Bench, database: Path, rows: int) -> Contender:
    """What the machine and the fastest driver allow, with nothing around them."""
    python = bench.adbc
    lake = bench.space(f"adbc-{rows}") / "lake.duckdb"
    command: Command = [python, bench.peers / "adbc_to_duckdb.py", database, lake]
    check = lands(bench, lake, f"count(*) = {rows}")
    return Contender(LIMIT, command, prepare=removing(lake), check=check, rows=rows)


def by_python(bench: Bench, database: Path) -> Contender:
    python = bench.environments.peer("python", "pyarrow", "duckdb") / "python"
    lake = bench.space("python") / "lake.duckdb"
    command: Command = [python, bench.peers / "python_to_duckdb.py", database, lake]
    check = lands(bench, lake, f"count(*) = {bench.rows}")
    return Contender(PYTHON, command, prepare=removing(lake), check=check, rows=bench.rows)


def vdk_itself(bench: Bench, database: Path, rows: int) -> list[Contender]:
    """A job that sends its rows with what vdk-core offers."""
    home = bench.environments.peer("vdk", "vdk-core", "vdk-sqlite", "vdk-duckdb", "setuptools<81")
    found = []
    for method in ("sqlite", "duckdb"):
        lake = bench.space(f"vdk-{method}") / f"lake.{method}"
        found.append(
            Contender(
                f"a VDK job, send_tabular_data → vdk-{method}",
                [home / "vdk", "run", bench.peers / "vdk_job"],
                environment={
                    **QUIET,
                    "BENCH_DATABASE": str(database),
                    "BENCH_METHOD": method,
                    "BENCH_TARGET": str(lake),
                    "VDK_SQLITE_FILE": str(lake),
                    "DUCKDB_DATABASE": str(lake),
                    "VDK_INGESTER_NUMBER_OF_WORKER_THREADS": "1",  # more of them lose rows
                },
                prepare=_with_table(home, method, lake),
                check=lands(bench, lake, f"count(*) = {rows}"),
                runs=1,
                rows=bench.rows,
                scale=bench.rows / rows,
                start=[home / "vdk", "--help"],
                note=f"extrapolated from {rows:,} rows",
            )
        )
    return found


def _with_table(home: Path, method: str, lake: Path) -> Callable[[], None]:
    """The table has to be there before VDK's plugins are sent rows."""
    columns = data.COLUMNS.replace(" PRIMARY KEY", "").replace(" NOT NULL", "").replace("TIMESTAMP", "TEXT")
    module = {"sqlite": "sqlite3"}.get(method, method)
    made = f"c = {module}.connect({str(lake)!r}); c.execute('CREATE TABLE orders ({columns})'); c.commit()"

    def make() -> None:
        removing(lake)()
        subprocess.run([home / "python", "-c", f"import {module}; {made}"], check=True)

    return make
