"""``expect``: rows that are not what a flow expects do not land, in each target."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import execute, rows_of
from vdk.plugin.datasource_base import ConfigurationError, run_flows
from vdk.plugin.datasource_base.contract import FlowFailedError

pytestmark = pytest.mark.libraries

KINDS = ["duckdb", "sqlite", "parquet"]
TODAY = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    database = tmp_path / "shop.db"
    execute(
        database,
        "CREATE TABLE whole (id INTEGER PRIMARY KEY, v TEXT)",
        ("INSERT INTO whole VALUES (?, ?)", [(number, f"v{number}") for number in range(10)]),
        "CREATE TABLE growing (id INTEGER PRIMARY KEY, v TEXT, updated_at TEXT)",
        ("INSERT INTO growing VALUES (?, ?, ?)", [(number, f"v{number}", TODAY) for number in range(10)]),
    )
    return database


def run(shop: Path, kind: str, stream: str, **entry: Any) -> Any:
    return run_flows(
        None,
        {
            "sources": {"shop": {"name": "sqlite", "config": {"database": str(shop)}}},
            "destinations": {"lake": {"method": "arrow", "target": f"{kind}:///{shop.parent / 'lake'}"}},
            "flows": [{"from": "shop", "to": "lake", "streams": [stream], **entry}],
        },
    )


def landed(shop: Path, kind: str, table: str) -> list[Any]:
    """The ids that have landed, in order."""
    lake = shop.parent / "lake"
    if kind == "sqlite":
        return [row[0] for row in rows_of(lake, f"SELECT id FROM {table} ORDER BY id")]
    with closing(duckdb.connect(str(lake) if kind == "duckdb" else ":memory:")) as connection:
        relation = table if kind == "duckdb" else f"'{lake}/{table}/*.parquet'"
        return [row[0] for row in connection.execute(f"SELECT id FROM {relation} ORDER BY id").fetchall()]


MET: dict[str, Any] = {"rows_min": 10, "shrink_max": "20%", "unique": ["id", ["id", "v"]], "not_null": ["v"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_replaced_table_that_does_not_meet_them_is_not_published(shop: Path, kind: str) -> None:
    run(shop, kind, "whole", expect=MET)
    before = landed(shop, kind, "whole")
    assert before == list(range(10))
    execute(shop, "DELETE FROM whole WHERE id > 6", "INSERT INTO whole VALUES (100, NULL), (101, 'v1')")
    cases = {
        "rows_min": (10, "rows_min = 10: it would have 9 rows"),
        "shrink_max": ("5%", r'shrink_max = "5%": it would have 9 rows after 10, 10.0% fewer'),
        "unique": (["v"], r"unique = \['v'\]: 2 rows would have v='v1'"),
        "not_null": (["v"], r"not_null = \['v'\]: 1 rows would have no value"),
    }
    for name, (value, message) in cases.items():
        with pytest.raises(FlowFailedError, match=f"table 'whole' does not meet expect {message}"):
            run(shop, kind, "whole", expect={name: value})
        assert landed(shop, kind, "whole") == before
    run(shop, kind, "whole", expect={"shrink_max": "10%", "streams": {"whole": {"rows_min": 9}}})
    assert len(landed(shop, kind, "whole")) == 9


@pytest.mark.parametrize("kind", KINDS)
def test_an_incremental_table_is_judged_in_the_commit_of_its_rows(shop: Path, kind: str) -> None:
    run(shop, kind, "growing", expect={**MET, "max_age": "1h"})
    before = landed(shop, kind, "growing")
    execute(shop, f"INSERT INTO growing VALUES (100, NULL, '{TODAY}'), (101, 'v1', '{TODAY}')")
    for name, value in {"not_null": ["v"], "unique": ["v"], "rows_min": 13}.items():
        with pytest.raises(FlowFailedError, match=f"expect {name}"):
            run(shop, kind, "growing", expect={name: value})
        assert landed(shop, kind, "growing") == before
    run(shop, kind, "growing")
    with pytest.raises(FlowFailedError, match=r"max_age = '0:00:00.001000'.*The rows of this run have landed"):
        run(shop, kind, "growing", expect={"max_age": "1ms"})


@pytest.mark.parametrize(
    ("stream", "expect", "message"),
    [
        (
            "whole",
            {"shrink_max": "a lot"},
            r'expect.shrink_max: .a lot.: it must be a percentage .*write shrink_max = "20%"',
        ),
        ("whole", {"unique": ["idd"]}, r"expect.unique: stream 'whole' has no column 'idd'; did you mean 'id'"),
        ("whole", {"max_age": "1d"}, "expect.max_age: stream 'whole' has no cursor"),
        ("whole", {"row_min": 1}, "row_min"),
        (
            "whole",
            {"streams": {"whol": {"rows_min": 1}}},
            r"expect.streams: 'whol' is no stream .* did you mean 'whole'",
        ),
    ],
)
def test_wrong_expectations_are_refused_before_anything_is_read(
    shop: Path, stream: str, expect: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(shop, "duckdb", stream, expect=expect)
