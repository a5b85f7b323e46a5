"""One large table into DuckDB: ours, the peers, and the limits of the machine; then again after 1 % has changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import data
from bench import Bench, flow, lands, removing
from measure import Command, Contender
from report import MIB, Comparison, Target

QUIET = {"VDK_VERSION_CHECK_DISABLED": "true", "VDK_LOG_LEVEL_VDK": "WARNING"}
LIMIT, OURS = "ADBC → DuckDB (limit)", "vdk datasource run"
SHARE = 0.01
SLOW_ROWS, SLOWEST_ROWS = 109_000, 5_000
"""Rows for peers that take minutes and for those that take hours; their times are multiplied."""


def first_run(bench: Bench) -> list[Comparison]:
    """A cold process reads a table with a cursor for the first time."""
    database = data.orders(bench.folder / "data" / f"orders-{bench.rows}.db", bench.rows)
    measured = bench.measure(
        *limits(bench, database), ours(bench, database), *dlt(bench, database), singer(bench), *vdk_itself(bench)
    )
    comparison = Comparison(f"{bench.rows:,} rows, 10 columns, SQLite → DuckDB, cold process", measured, LIMIT)
    limit, we = comparison.of(LIMIT), comparison.of(OURS)
    peers = [one for one in measured if "limit" not in one.name and one is not we]
    fastest = min(peers, key=lambda one: one.wall)
    targets = [
        Target("times the ADBC limit", we.wall / limit.wall, 1.5),
        Target("peak MB, all processes", we.peak / MIB, 350),
        Target(f"share of the fastest peer ({fastest.name})", we.wall / fastest.wall, 1.0),
    ]
    return [Comparison(comparison.title, measured, LIMIT, targets)]


def second_run(bench: Bench) -> list[Comparison]:
    """The same flow again, after 1 % of the rows were changed, with and without an index on the cursor."""
    return [_second(bench, indexed=indexed) for indexed in (False, True)]


def _second(bench: Bench, *, indexed: bool) -> Comparison:
    made = data.orders(
        bench.folder / "data" / f"orders-{bench.rows}{'-indexed' * indexed}.db", bench.rows, indexed=indexed
    )
    space = bench.space(f"second{'-indexed' * indexed}")
    database, lake, kept = space / "shop.db", space / "lake.duckdb", space / "first.duckdb"
    shutil.copy(made, database)
    path = flow(space, database, target=f"duckdb:///{lake}")
    command: Command = [bench.ours / "vdk", "datasource", "run", path]
    first = bench.measure(Contender("first run", command, environment=QUIET, prepare=removing(lake), rows=bench.rows))
    shutil.copy(lake, kept)
    changed = data.change(database, SHARE)
    again = Contender(
        f"second run, {changed:,} rows changed",
        command,
        environment=QUIET,
        prepare=lambda: shutil.copy(kept, lake),
        check=lands(bench, lake, f"count(*) FILTER (updated_at = (SELECT max(updated_at) FROM orders)) = {changed}"),
        rows=changed,
    )
    idle = Contender("third run, nothing changed", command, environment=QUIET)
    measured = [*first, *bench.measure(again), *bench.measure(idle)]
    target = Target("the second run's share of the first's time", measured[1].wall / measured[0].wall, 1 / 8)
    title = f"{bench.rows:,} rows, then 1 % of them changed, {'an' if indexed else 'no'} index on the cursor"
    return Comparison(title, measured, "first run", [target])


def ours(bench: Bench, database: Path) -> Contender:
    space = bench.space("ours")
    lake = space / "lake.duckdb"
    path = flow(space, database, target=f"duckdb:///{lake}")
    command: Command = [bench.ours / "vdk", "datasource", "run", path]
    check = lands(bench, lake, f"count(*) = {bench.rows}")
    return Contender(OURS, command, None, QUIET, removing(lake), check, rows=bench.rows)


def limits(bench: Bench, database: Path) -> list[Contender]:
    """What the machine and the libraries allow, with nothing around them."""
    found = []
    for name, script, requirements in (
        (LIMIT, "adbc_to_duckdb.py", ("adbc-driver-sqlite", "pyarrow", "duckdb")),
        ("connectorx → DuckDB (limit)", "connectorx_to_duckdb.py", ("connectorx", "pyarrow", "duckdb")),
        ("sqlite3 → Arrow → DuckDB (limit of Python)", "python_to_duckdb.py", ("pyarrow", "duckdb")),
    ):
        lake = bench.space(script) / "lake.duckdb"
        python = bench.environments.peer(script.removesuffix(".py"), *requirements) / "python"
        command: Command = [python, bench.peers / script, database, lake]
        check = lands(bench, lake, f"count(*) = {bench.rows}")
        found.append(Contender(name, command, prepare=removing(lake), check=check, rows=bench.rows))
    return found


def dlt(bench: Bench, database: Path) -> list[Contender]:
    python = bench.environments.peer("dlt", "dlt[duckdb,sql_database]", "connectorx", "pyarrow") / "python"
    found = []
    for backend in ("connectorx", "pyarrow", "sqlalchemy"):
        space = bench.space(f"dlt-{backend}")
        rows = bench.rows if backend != "sqlalchemy" else min(bench.rows, SLOW_ROWS)
        source = database if rows == bench.rows else data.orders(bench.folder / "data" / f"orders-{rows}.db", rows)
        found.append(
            Contender(
                f"dlt, {backend} backend" + (" (its default)" if backend == "sqlalchemy" else ""),
                [python, bench.peers / "dlt_to_duckdb.py", source, space / "lake.duckdb", backend],
                prepare=emptied(space),
                check=lands(bench, space / "lake.duckdb", f"count(*) = {rows}", "bench_dataset.orders"),
                runs=None if backend == "connectorx" else 3 if backend == "pyarrow" else 1,
                rows=bench.rows,
                scale=bench.rows / rows,
                note="" if rows == bench.rows else f"extrapolated from {rows:,} rows",
            )
        )
    return found


def singer(bench: Bench) -> Contender:
    rows = min(bench.rows, SLOW_ROWS)
    database = data.orders(bench.folder / "data" / f"orders-{rows}.db", rows)
    space = bench.space("singer")
    lake, source, config = space / "lake.duckdb", space / "source.json", space / "target.json"
    source.write_text(json.dumps({"database": str(database)}), "utf-8")
    config.write_text(json.dumps({"path": str(lake), "default_target_schema": "main"}), "utf-8")
    tap = bench.environments.peer("singer-tap", "singer-sdk") / "python"
    target = bench.environments.peer("singer-target", "target-duckdb") / "target-duckdb"
    read = f"'{tap}' '{bench.peers / 'singer_tap.py'}' --config '{source}' 2>/dev/null"
    piped = f"{read} | '{target}' --config '{config}'"
    return Contender(
        "singer-sdk tap | target-duckdb",
        ["sh", "-c", piped],
        prepare=removing(lake),
        check=lands(bench, lake, f"count(*) > {rows} * 0.999"),  # target-duckdb 0.8 loses a row here and there
        runs=1,
        rows=bench.rows,
        scale=bench.rows / rows,
        note="" if rows == bench.rows else f"extrapolated from {rows:,} rows",
    )


def vdk_itself(bench: Bench) -> list[Contender]:
    """A job that sends its rows with what vdk-core offers."""
    rows = min(bench.rows, SLOWEST_ROWS)
    database = data.orders(bench.folder / "data" / f"orders-{rows}.db", rows)
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
                note=f"extrapolated from {rows:,} rows",
            )
        )
    return found


def emptied(space: Path) -> Callable[[], None]:
    """Something for ``Contender.prepare``: empties a folder."""

    def empty() -> None:
        shutil.rmtree(space)
        space.mkdir()

    return empty


def _with_table(home: Path, method: str, lake: Path) -> Callable[[], None]:
    """The table has to be there before VDK's plugins are sent rows."""
    columns = data.COLUMNS.replace(" PRIMARY KEY", "").replace(" NOT NULL", "").replace("TIMESTAMP", "TEXT")
    module = {"sqlite": "sqlite3"}.get(method, method)
    made = f"c = {module}.connect({str(lake)!r}); c.execute('CREATE TABLE orders ({columns})'); c.commit()"

    def make() -> None:
        removing(lake)()
        subprocess.run([home / "python", "-c", f"import {module}; {made}"], check=True)

    return make
