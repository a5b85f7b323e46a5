"""One large table from MariaDB into DuckDB: ours, and the limits of the drivers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import Bench, lands, removing
from big import QUIET
from measure import Command, Contender, MeasuringError
from report import MIB, Comparison, Target

LIMIT, OURS = "mariadb → Arrow → DuckDB (limit)", "vdk datasource run"
DRIVERS = {
    LIMIT: ("mariadb", "mariadb[binary]==2.0.0rc2"),
    "connectorx with casts → DuckDB (limit)": ("connectorx", "connectorx"),
    "PyMySQL → Arrow → DuckDB (limit of Python)": ("pymysql", "PyMySQL[rsa]"),
}


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads a table for the first time. The processor time of the server is in the wall time alone."""
    with server(bench) as url:
        limits = [limit(bench, url, name, *driver) for name, driver in DRIVERS.items()]
        measured = bench.measure(*limits, ours(bench, url))
    comparison = Comparison(f"{bench.rows:,} rows, 10 columns, MariaDB → DuckDB, cold process", measured, LIMIT)
    least, we = comparison.of(LIMIT), comparison.of(OURS)
    targets = [
        Target("times the limit of the mariadb driver", we.wall / least.wall, 1.3),
        Target("peak MB, all processes", we.peak / MIB, 450),
    ]
    return [Comparison(comparison.title, measured, LIMIT, targets)]


@contextmanager
def server(bench: Bench) -> Iterator[str]:
    """The URL of a server with the table ``orders``, which has an index on its cursor."""
    command: Command = [bench.ours / "python", Path(__file__).with_name("mysql_server.py"), str(bench.rows)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not (url := process.stdout.readline().strip()):
            raise MeasuringError("the server did not start")
        yield url
    finally:
        process.stdin.close()
        process.wait(60)


def limit(bench: Bench, url: str, name: str, driver: str, requirement: str) -> Contender:
    lake = bench.space(f"mysql-{driver}") / "lake.duckdb"
    python = bench.environments.peer(f"mysql-{driver}", requirement, "pyarrow", "duckdb") / "python"
    command: Command = [python, bench.peers / "mysql_to_duckdb.py", url, lake, driver]
    check = lands(bench, lake, f"count(*) = {bench.rows}")
    return Contender(name, command, prepare=removing(lake), check=check, rows=bench.rows)


def ours(bench: Bench, url: str) -> Contender:
    space = bench.space("mysql-ours")
    lake, path = space / "lake.duckdb", space / "shop.toml"
    path.write_text(
        f"""
[sources.shop]
name = "mysql"
config = {{ url = "{url}" }}
[destinations.lake]
method = "arrow"
target = "duckdb:///{lake}"
[[flows]]
from = "shop"
to = "lake"
""",
        "utf-8",
    )
    check = lands(bench, lake, f"count(*) = {bench.rows}")
    command: Command = [bench.ours / "vdk", "datasource", "run", path]
    return Contender(OURS, command, None, QUIET, removing(lake), check, rows=bench.rows)
