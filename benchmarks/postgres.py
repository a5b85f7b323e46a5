"""One large table from PostgreSQL into DuckDB: ours, the peers, and the limit of the fastest driver."""

from __future__ import annotations

from bench import Bench, lands, ours, removing
from measure import Command, Contender, Measured
from report import MIB, OURS, Comparison, Target, ahead, slope
from rivals import Road, rivals, sizes
from serving_command import cloudquery

LIMIT = "ADBC → DuckDB (limit)"
LARGER = 3
CURSOR, WHOLE = OURS, f"{OURS}, the table read whole"
REPLACED = "tables = { orders = { cursor = false } }"


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads a table for the first time. The processor time of the server is not counted."""
    larger = LARGER * bench.rows
    with bench.server("postgres_server.py", *sizes(bench.rows), larger) as server:
        road = Road("PostgreSQL", {rows: f"{server}/shop{rows}" for rows in [*sizes(bench.rows), larger]}, bench.rows)
        with cloudquery(bench, road.name, {rows: road.urls[rows] for rows in sizes(bench.rows)}, bench.rows) as sync:
            measured = bench.measure(
                limit(bench, road.url, bench.rows),
                *(_ours(bench, road.url, name, bench.rows) for name in (CURSOR, WHOLE)),
                *rivals(bench, road),
                sync,
            )
        further = bench.measure(limit(bench, road.urls[larger], larger), _ours(bench, road.urls[larger], WHOLE, larger))
    return [_first(bench, measured), _growth(bench, measured, further)]


def _first(bench: Bench, measured: list[Measured]) -> Comparison:
    title = f"{bench.rows:,} rows, 10 columns, PostgreSQL → DuckDB, cold process"
    comparison = Comparison(title, measured, LIMIT)
    least, whole, cursor = (comparison.of(name) for name in (LIMIT, WHOLE, CURSOR))
    targets = [
        Target("by cursor, times the ADBC limit", cursor.wall / least.wall, 1.3),
        Target("whole, times the ADBC limit", whole.wall / least.wall, 1.3),
        Target("peak MB, all processes", max(whole.peak, cursor.peak) / MIB, 450),
        ahead(measured, cursor),
    ]
    return Comparison(title, measured, LIMIT, targets)


def _growth(bench: Bench, measured: list[Measured], further: list[Measured]) -> Comparison:
    """What further rows take, which start-up is no part of."""
    title = f"{LARGER * bench.rows:,} rows, of which {bench.rows:,} are above"
    first = Comparison(title, measured, LIMIT)
    seconds, processor = slope((first.of(WHOLE), first.of(LIMIT)), (further[1], further[0]))
    targets = [
        Target("whole, seconds of further rows / those of the limit", seconds, 1.3),
        Target("whole, processor seconds of further rows / those of the limit", processor, 1.3),
    ]
    return Comparison(title, further, LIMIT, targets)


def limit(bench: Bench, url: str, rows: int) -> Contender:
    lake = bench.space(f"postgres-limit-{rows}") / "lake.duckdb"
    python = bench.adbc
    command: Command = [python, bench.peers / "adbc_to_duckdb.py", url, lake]
    check = lands(bench, lake, f"count(*) = {rows}")
    return Contender(LIMIT, command, prepare=removing(lake), check=check, rows=rows)


def _ours(bench: Bench, url: str, name: str, rows: int) -> Contender:
    return ours(bench, name, "postgres", f'url = "{url}"' + f", {REPLACED}" * (name == WHOLE), rows=rows)
