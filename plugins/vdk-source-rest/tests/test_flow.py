"""From an API into DuckDB by ``vdk datasource``: whole rows, new columns, changing types, and a second run."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request as Asked
from werkzeug import Response as Reply

pytestmark = pytest.mark.heavy

Vdk = Callable[..., "subprocess.CompletedProcess[str]"]
ENVIRONMENT = {**os.environ, "VDK_VERSION_CHECK_DISABLED": "true", "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def vdk(tmp_path: Path) -> Vdk:
    """Runs ``vdk datasource`` with arguments in the test's folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vdk.internal.cli_entry", "datasource", *arguments],
            check=False,
            cwd=tmp_path,
            env={**ENVIRONMENT, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    return run


def write_flow(folder: Path, base_url: str, streams: str) -> None:
    (folder / "api.toml").write_text(
        f"""
        [sources.api]
        name = "rest"
        [sources.api.config]
        base_url = "{base_url}"
        auth = {{ type = "api_key", name = "key", value = "${{env:API_KEY}}", in = "query" }}
        {streams}
        [destinations.lake]
        method = "arrow"
        target = "duckdb:///lake.duckdb"
        [[flows]]
        from = "api"
        to = "lake"
        """,
        "utf-8",
    )


def lake(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "lake.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


STREAMS = """
        [[sources.api.config.streams]]
        name = "orders"
        primary_key = ["id"]
        cursor = { field = "at", param = "since", type = "datetime" }
        [[sources.api.config.streams]]
        name = "lines"
        path = "orders/{order}/lines"
        parent = { stream = "orders", bind = { order = "id" }, include = ["id"] }
"""
FIRST = [
    {"id": 1, "at": "2026-01-01T00:00:00Z", "total": 1.10, "tags": ["a"], "mixed": 1, "who": {"name": "Ann"}},
    {"id": 2, "at": "2026-01-02T00:00:00Z", "total": 2, "tags": None, "mixed": "one", "big": 2**70},
]
SECOND = [
    {"id": 2, "at": "2026-01-03T00:00:00Z", "total": 2.5, "tags": [], "mixed": {"x": 1}, "new": True},
    {"id": 3, "at": "2026-01-03T00:00:00Z", "total": 3, "mixed": None, "who": "nobody"},
]


def test_two_runs_land_each_row_once_with_its_values(vdk: Vdk, httpserver: HTTPServer, tmp_path: Path) -> None:
    """Changed rows replace theirs, new fields become columns, a field of several types and nested ones are JSON."""
    rows = list(FIRST)
    asked: list[str | None] = []

    def orders(request: Asked) -> Reply:
        asked.append(request.args.get("since"))
        assert request.args["key"] == "canary-4711"
        return Reply(json.dumps({"orders": rows, "next": None}), content_type="application/json")

    def lines(request: Asked) -> Reply:
        return Reply(json.dumps([{"line": 1, "path": request.path}]), content_type="application/json")

    httpserver.expect_request("/orders").respond_with_handler(orders)
    httpserver.expect_request(re.compile("/orders/.*")).respond_with_handler(lines)
    write_flow(tmp_path, httpserver.url_for("/"), STREAMS)
    for number in range(2):
        done = vdk("run", "api.toml", API_KEY="canary-4711", LOG_LEVEL="DEBUG", VDK_LOG_LEVEL_VDK="DEBUG")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "canary-4711" not in done.stdout + done.stderr
        rows[:] = SECOND if number == 0 else rows
    landed = lake(tmp_path, 'SELECT id, "at", total, tags, mixed, who, big, new FROM orders ORDER BY id')
    assert [row[:3] for row in landed] == [
        (1, "2026-01-01T00:00:00Z", 1.1),
        (2, "2026-01-03T00:00:00Z", 2.5),
        (3, "2026-01-03T00:00:00Z", 3.0),
    ]
    assert [json.loads(row[3] or "null") for row in landed] == [["a"], [], None]
    assert [json.loads(row[4] or "null") for row in landed] == [1, {"x": 1}, None]
    assert [json.loads(row[5] or "null") for row in landed] == [{"name": "Ann"}, None, "nobody"]
    assert [row[7] for row in landed] == [None, True, None]
    assert "2026-01-01T23:55:00Z" in asked
    assert {row[0] for row in lake(tmp_path, "SELECT path FROM lines")} == {"/orders/2/lines", "/orders/3/lines"}


@pytest.mark.parametrize(("numbers", "type_"), [("exact", "JSON"), ("decimal", "DECIMAL(38,19)")])
def test_numbers_with_many_digits_stay_exact_in_the_lake(
    vdk: Vdk, httpserver: HTTPServer, tmp_path: Path, numbers: str, type_: str
) -> None:
    """A decimal among doubles, and integers of any size, land with all their digits; decimal makes it one type."""
    body = '[{"a": 0.5, "b": 1}, {"a": 0.1234567890123456789, "b": 123456789012345678901}]'
    httpserver.expect_request("/n").respond_with_data(body, content_type="application/json")
    stream = f'[[sources.api.config.streams]]\nname = "n"\nnumbers = "{numbers}"'
    write_flow(tmp_path, httpserver.url_for("/"), stream)
    done = vdk("run", "api.toml", API_KEY="x")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = lake(tmp_path, "SELECT a::VARCHAR, b::VARCHAR FROM n")
    assert lake(tmp_path, "SELECT DISTINCT typeof(a), typeof(b) FROM n") == [(type_, "DECIMAL(38,0)")]
    assert [Decimal(a) for a, _ in rows] == [Decimal("0.5"), Decimal("0.1234567890123456789")]
    assert [Decimal(b) for _, b in rows] == [1, 123456789012345678901]


def test_discover_prints_inferred_columns(vdk: Vdk, httpserver: HTTPServer, tmp_path: Path) -> None:
    """The columns of a sample, keys and cursor among them; parents are read for their children."""
    httpserver.expect_request("/orders").respond_with_json({"orders": FIRST, "next": None})
    httpserver.expect_request(re.compile("/orders/.*")).respond_with_json([{"line": 1, "text": "x"}])
    write_flow(tmp_path, httpserver.url_for("/"), STREAMS)
    done = vdk("discover", "api.toml", "-o", "json", API_KEY="canary-4711")
    assert done.returncode == 0, done.stdout + done.stderr
    loads = {load["stream"]: load for load in json.loads(done.stdout)}
    types = {column["name"]: column["type"] for column in loads["orders"]["columns"]}
    assert types["id"] == "int64"
    assert types["at"] == "string"
    assert types["total"] == "double"
    assert types["mixed"] == types["tags"] == types["who"] == "json"
    assert (loads["orders"]["primary_key"], loads["orders"]["cursor"]) == (["id"], "at")
    assert [column["name"] for column in loads["lines"]["columns"]] == ["line", "text", "orders_id"]
    assert loads["lines"]["partitions"] == 2


def test_check_reports_refused_credentials(vdk: Vdk, httpserver: HTTPServer, tmp_path: Path) -> None:
    """The error about a refused key does not show the key."""
    httpserver.expect_request("/orders").respond_with_data("no", status=401)
    write_flow(tmp_path, httpserver.url_for("/"), STREAMS)
    done = vdk("check", "api.toml", API_KEY="canary-4711")
    assert done.returncode != 0
    assert "refused the credentials" in done.stdout + done.stderr
    assert "canary-4711" not in done.stdout + done.stderr


def test_day_windows_land_each_row_once_and_late_ones_too(vdk: Vdk, httpserver: HTTPServer, tmp_path: Path) -> None:
    """Appended from an API that includes both days it is asked for, whose records appear hours after their time."""
    days = [(dt.datetime.now(dt.UTC) - dt.timedelta(days=back)).strftime("%Y-%m-%d") for back in range(5, -1, -1)]
    rows = [{"day": day, "number": number} for day in days[:4] for number in range(1200)]

    def answer(asked: Asked) -> Reply:
        matching = [row for row in rows if asked.args["from"] <= str(row["day"]) <= asked.args["to"]]
        return Reply(json.dumps(matching), content_type="application/json")

    httpserver.expect_request("/v1/visits").respond_with_handler(answer)
    streams = f"""
        [[sources.api.config.streams]]
        name = "visits"
        [sources.api.config.streams.cursor]
        field = "day"
        type = "date"
        param = "from"
        end_param = "to"
        initial = "{days[0]}"
        step = "1d"
        """
    write_flow(tmp_path, httpserver.url_for("/v1"), streams)
    count = "SELECT count(*), count(DISTINCT (day, number)) FROM visits"
    for late in ([], [{"day": days[3], "number": -1}], [{"day": days[4], "number": -2}]):
        rows += late
        done = vdk("run", "api.toml", API_KEY="k")
        assert done.returncode == 0, done.stderr
        assert lake(tmp_path, count) == [(len(rows), len(rows))]


def test_an_error_with_status_200_leaves_the_table_as_it_is(vdk: Vdk, httpserver: HTTPServer, tmp_path: Path) -> None:
    """The run fails, and the snapshot before stays: an error message is not the new content of a table."""
    body: dict[str, Any] = {"items": [{"id": 1}, {"id": 2}]}
    httpserver.expect_request("/n").respond_with_handler(lambda asked: Reply(json.dumps(body)))
    write_flow(tmp_path, httpserver.url_for("/"), '[[sources.api.config.streams]]\nname = "n"')
    assert vdk("run", "api.toml", API_KEY="x").returncode == 0
    for wrong in ({"error": "quota"}, {"items": [], "message": "try later", "code": 7}, {"message": "x", "code": 7}):
        body.clear()
        body.update(wrong)
        done = vdk("run", "api.toml", API_KEY="x")
        assert done.returncode != 0
        assert "looks like an error" in done.stdout + done.stderr
        assert lake(tmp_path, "SELECT id FROM n ORDER BY id") == [(1,), (2,)]


def test_the_summary_counts_what_was_left_out(vdk: Vdk, httpserver: HTTPServer, tmp_path: Path) -> None:
    """Rows that a path filters, and answers that a rule ignores, a single answer without any row as well."""

    def pages(asked: Asked) -> Reply:
        start = int(asked.args["offset"])
        return Reply(json.dumps([{"id": number, "kind": number // 10} for number in range(start, min(start + 10, 40))]))

    httpserver.expect_request("/n").respond_with_handler(pages)
    httpserver.expect_request("/gone").respond_with_data("gone", status=404)
    streams = """
        [[sources.api.config.streams]]
        name = "n"
        records = "[?kind == `2`]"
        paginator = { type = "offset" }
        [[sources.api.config.streams]]
        name = "gone"
        responses = [{ status = 404, action = "ignore" }]
    """
    write_flow(tmp_path, httpserver.url_for("/"), streams)
    done = vdk("run", "api.toml", API_KEY="x")
    assert done.returncode == 0, done.stdout + done.stderr
    assert lake(tmp_path, "SELECT count(*), min(id) FROM n") == [(10, 20)]
    assert "filtered 30" in done.stdout + done.stderr
    assert "responses ignored 1" in done.stdout + done.stderr
