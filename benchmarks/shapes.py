"""Wide tables, fat rows and JSON documents, from SQLite into DuckDB, against the bare writer."""

from __future__ import annotations

from pathlib import Path

import data
from bench import Bench, lands, ours, removing
from measure import Command, Contender
from report import OURS, Comparison, Target

ALLOWED = 2
COLUMNS, SIZE = 1_500, 2**20
BARE = "ADBC → DuckDB (limit)"


def measure(bench: Bench) -> list[Comparison]:
    """Each table has a key and no cursor: it is read whole. A document is a text in SQLite, and lands as one."""
    folder = bench.folder / "data"
    wide, fat, documents = max(bench.rows // 500, 10), max(bench.rows // 5_000, 5), max(bench.rows // 20, 10)
    file = folder / f"documents-{documents}.db"
    tables = (
        (f"{wide:,} rows of {COLUMNS:,} columns", data.wide(folder / f"wide-{wide}.db", wide, COLUMNS), wide, 512),
        (f"{fat:,} rows of 1 MB", data.fat(folder / f"fat-{fat}.db", fat, SIZE), fat, 16),
        (f"{documents:,} JSON documents of 1.5 KB", data.documents(file, documents), documents, 20_000),
    )
    return [_shape(bench, *table) for table in tables]


def _shape(bench: Bench, title: str, database: Path, rows: int, batch: int) -> Comparison:
    """One table.

    :param batch: rows that ADBC reads at once.
    """
    python = bench.adbc
    lake = bench.space(f"bare-{database.stem}") / "lake.duckdb"
    copy: Command = [python, bench.peers / "adbc_to_duckdb.py", database, lake, str(batch)]
    measured = bench.measure(
        Contender(BARE, copy, prepare=removing(lake), check=lands(bench, lake, f"count(*) = {rows}"), rows=rows),
        ours(bench, OURS, "sqlite", f'database = "{database}"', rows=rows),
    )
    targets = [Target("times the bare writer", measured[1].wall / measured[0].wall, ALLOWED)]
    return Comparison(f"{title}, SQLite → DuckDB", measured, BARE, targets)
