"""One large table from MariaDB into DuckDB: ours, the peers, and the limits of the drivers."""

from __future__ import annotations

from bench import Bench, lands, ours, removing
from measure import Command, Contender
from report import OURS, Comparison, beside_limit
from rivals import Road, rivals, sizes
from serving_command import cloudquery

LIMIT, PYTHON = "mariadb → Arrow → DuckDB (limit)", "PyMySQL → Arrow → DuckDB (limit of Python)"
DRIVERS = {LIMIT: ("mariadb", "mariadb[binary]==2.0.0rc2"), PYTHON: ("pymysql", "PyMySQL[rsa]")}


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads a table for the first time. The processor time of the server is in the wall time alone."""
    with bench.server("mysql_server.py", *sizes(bench.rows)) as server:
        road = Road("MySQL", {rows: f"{server}/shop{rows}" for rows in sizes(bench.rows)}, bench.rows)
        reachable = {rows: url.replace("mysql:", "mysql+pymysql:") for rows, url in road.urls.items()}
        with cloudquery(bench, road.name, reachable, bench.rows) as sync:
            measured = bench.measure(
                *(limit(bench, road.url, name, *driver) for name, driver in DRIVERS.items()),
                ours(bench, OURS, "mysql", f'url = "{road.url}"', rows=bench.rows),
                *rivals(bench, road),
                sync,
            )
    title = f"{bench.rows:,} rows, 10 columns, MariaDB → DuckDB, cold process"
    times = ("times the limit of the mariadb driver", 1.3)
    return [beside_limit(title, measured, LIMIT, times=times, megabytes=450)]


def limit(bench: Bench, url: str, name: str, driver: str, requirement: str) -> Contender:
    lake = bench.space(f"mysql-{driver}") / "lake.duckdb"
    python = bench.environments.peer(f"mysql-{driver}", requirement, "pyarrow", "duckdb") / "python"
    command: Command = [python, bench.peers / "mysql_to_duckdb.py", url, lake, driver]
    check = lands(bench, lake, f"count(*) = {bench.rows}")
    runs = None if name == LIMIT else 1
    return Contender(name, command, None, None, removing(lake), check, runs, bench.rows)
