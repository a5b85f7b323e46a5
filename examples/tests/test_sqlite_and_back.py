"""What the SQLite target writes, the SQLite source reads: through a real ``vdk``, with every value and its type."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyproj.datadir
import pytest

from conftest import Vdk, summary_of
from values import differences
from vdk.plugin.datasource_base.parts import CommitUnit, StateKey, TableBatch, TableSpec
from vdk.plugin.ingest_arrow.targets import arrow_destination

pytestmark = pytest.mark.heavy

PROJ = Path(pyproj.datadir.get_data_dir()) / "proj.db"
NOON = dt.datetime(2026, 11, 21, 12, 0, 0, 5)
VALUES: dict[str, tuple[pa.Array, str, object]] = {
    "whole": (pa.array([2**63 - 1]), "BIGINT", 2**63 - 1),
    "small": (pa.array([-5], pa.int8()), "BIGINT", -5),
    "unsigned": (pa.array([2**64 - 1], pa.uint64()), "DECIMAL(20,0)", Decimal(2**64 - 1)),
    "real": (pa.array([0.1]), "DOUBLE", 0.1),
    "exact": (pa.array([Decimal("1.10")], pa.decimal128(38, 9)), "DECIMAL(38,9)", Decimal("1.100000000")),
    "text": (pa.array(["Ж"]), "VARCHAR", "Ж"),
    "raw": (pa.array([b"\0\xff"]), "BLOB", b"\0\xff"),
    "flag": (pa.array([True]), "BOOLEAN", True),
    "day": (pa.array([dt.date(1, 1, 1)]), "DATE", dt.date(1, 1, 1)),
    "moment": (pa.array([NOON]), "TIMESTAMP", NOON),
    "instant": (
        pa.array([NOON.replace(tzinfo=dt.UTC)]),
        "TIMESTAMP WITH TIME ZONE",
        NOON.replace(tzinfo=dt.UTC),
    ),
    "clock": (pa.array([dt.time(1, 2, 3)]), "VARCHAR", "01:02:03.000000"),
    "took": (pa.array([dt.timedelta(seconds=1)]), "BIGINT", 1_000_000),
}


def test_every_type_comes_back_as_what_it_was(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """SQLite has no times of a day and no durations: they come back as the text and the number that it keeps."""
    table = pa.table({name: array for name, (array, _, _) in VALUES.items()})
    destination = arrow_destination("sqlite:///shop.db", folder=tmp_path)
    destination.open()
    batches = [TableBatch(TableSpec("orders", "append"), "rows", table)]
    destination.commit(CommitUnit(StateKey("a", "", "orders", "", "orders"), batches, None, 0, "run"))
    destination.close()
    done = vdk("datasource", "run", str(flow(flow='streams = ["orders"]')))
    assert done.returncode == 0, done.stderr
    with closing(duckdb.connect(str(tmp_path / "lake.duckdb"))) as lake:
        lake.execute("SET TimeZone = 'UTC'")
        types = {name: type_ for name, type_, *_ in lake.execute("DESCRIBE orders").fetchall()}
        (row,) = lake.execute("SELECT * FROM orders").fetchall()
    assert types == {name: type_ for name, (_, type_, _) in VALUES.items()}
    assert dict(zip(types, row, strict=True)) == {name: value for name, (_, _, value) in VALUES.items()}


def test_a_large_database_of_others_is_the_same_afterwards(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """PROJ's database into SQLite, and from there into DuckDB: every value of every table."""
    path = flow(PROJ, name="path.toml")
    path.write_text(path.read_text("utf-8").replace("duckdb:///lake.duckdb", "sqlite:///copy.db"), "utf-8")
    done = vdk("datasource", "run", str(path), "--summary", "path.json")
    assert done.returncode == 0, done.stderr
    streams = sorted(summary_of(tmp_path / "path.json"))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        made = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {name for name in made if not name.startswith("_vdk_")} == set(streams)
    back = flow("copy.db", name="back.toml", flow='streams = ["*", "!_vdk_*"]')
    done = vdk("datasource", "run", str(back))
    assert done.returncode == 0, done.stderr
    for stream in streams:
        assert differences(PROJ, stream, tmp_path / "lake.duckdb", stream) == []
