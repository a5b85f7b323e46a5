"""The second run of a flow: 1 % of ten times the rows of the large job has changed, without and with an index.

Beside it is the bare way: a script that reads the changed rows by ADBC and merges them into the same DuckDB table.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import data
from bench import QUIET, Bench, flow, lands, removing
from measure import Command, Contender
from report import OURS, Comparison, Target

SHARE = 0.01
SIZE = 10
INDEX = "orders_updated_at"
SCAN, IDLE = "SQLite's count(*) of the changed rows", f"{OURS}, nothing changed"
COUNT = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    print(connection.execute("SELECT count(*) FROM orders WHERE updated_at > ?", (sys.argv[2],)).fetchone())
"""


def measure(bench: Bench) -> list[Comparison]:
    """The rows are changed in the table itself, of which there is one: a copy would need as much of the disk again."""
    database = data.orders(bench.folder / "data" / f"orders-{SIZE * bench.rows}.db", SIZE * bench.rows)
    data.execute(database, f"DROP INDEX IF EXISTS {INDEX}")
    without = _second(bench, database, indexed=False)
    data.execute(database, f"CREATE INDEX {INDEX} ON orders(updated_at)")
    try:
        indexed = _second(bench, database, indexed=True)
    finally:
        data.execute(database, f"DROP INDEX {INDEX}")
    scan = without.of(IDLE).wall - indexed.of(IDLE).wall
    one_pass = Target(
        "seconds that an idle run has more than with an index / count(*)", scan / without.of(SCAN).wall, 1
    )
    return [replace(without, targets=[*without.targets, one_pass]), indexed]


def _second(bench: Bench, database: Path, *, indexed: bool) -> Comparison:
    rows = SIZE * bench.rows
    space = bench.space(f"second{'-indexed' * indexed}")
    lake, kept = space / "lake.duckdb", space / "first.duckdb"
    path = flow(space, "sqlite", f'database = "{database}"', f"duckdb:///{lake}")
    run: Command = [bench.ours / "vdk", "datasource", "run", path]
    first = Contender("first run", run, environment=QUIET, prepare=removing(lake), runs=2, rows=rows)
    measured = bench.measure(first)
    shutil.copy(lake, kept)
    last = data.latest(database)
    changed = data.change(database, SHARE)
    arrived = lands(bench, lake, f"count(*) FILTER (updated_at > '{last}') = {changed} AND count(*) = {rows}")

    def restore() -> None:
        removing(lake)()
        shutil.copy(kept, lake)

    python = bench.adbc
    merge: Command = [python, bench.peers / "merge_into_duckdb.py", database, lake, last]
    count: Command = [python, "-c", COUNT, database, last]
    bare, again = f"bare MERGE of {changed:,} rows", f"{OURS}, {changed:,} rows changed"
    measured += bench.measure(
        Contender(bare, merge, prepare=restore, check=arrived, rows=changed),
        Contender(SCAN, count),
        Contender(again, run, environment=QUIET, prepare=restore, check=arrived, rows=changed),
    )
    measured += bench.measure(Contender(IDLE, run, environment=QUIET))
    title = f"{rows:,} rows, then 1 % of them changed, {'an' if indexed else 'no'} index on the cursor"
    whole, bare_merge, _, second, _ = measured
    targets = [Target("the second run / bare MERGE", second.wall / bare_merge.wall, 1.5)]
    if indexed:
        targets.append(Target("the second run / the first", second.wall / whole.wall, 1 / 8))
    return Comparison(title, measured, "first run", targets)
