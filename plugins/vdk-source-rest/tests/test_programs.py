"""Real programs that serve an API of their own: datasette, and json-server where npm is there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from support import read

Make = Callable[..., Any]
JSON_SERVER = "json-server@0.17.4"
"""The last one that writes Link headers."""


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def program(command: Sequence[str], url: str, log: Path) -> Iterator[None]:
    """A program that is running and answers at ``url``."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, log.read_text("utf-8", "replace")
            try:
                requests.get(url, timeout=1).close()
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline, log.read_text("utf-8", "replace")
                time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # npx has the server in a process below its own
        process.wait(30)


@pytest.fixture(scope="module")
def datasette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, over a table of 2,345 rows."""
    folder = tmp_path_factory.mktemp("datasette")
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, price REAL, updated_at TEXT)")
        rows = [(n, f"é {n}", n / 8, f"2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z") for n in range(2345)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
        database.commit()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "datasette", "serve", str(folder / "shop.db"), "--port", str(port)]
    with program(command, f"{url}/-/versions.json", folder / "log"):
        yield url


def test_datasette_is_read_by_its_next_url(source: Make, datasette: str) -> None:
    """Pages of a real API are found by themselves, through next_url, to the last row."""
    stream = {
        "name": "orders",
        "path": "shop/orders.json",
        "records": "rows",
        "params": {"_shape": "objects", "_size": 500},
        "primary_key": "id",
    }
    landed = read(source(datasette, stream), "orders")
    assert [row["id"] for row in landed.rows] == list(range(2345))
    assert landed.rows[7] == {"id": 7, "name": "é 7", "price": 0.875, "updated_at": "2026-01-01T00:00:07Z"}


def test_datasette_is_read_incrementally(source: Make, datasette: str) -> None:
    """The API's own filter gets the state, and rows at the boundary land once."""
    stream = {
        "name": "orders",
        "path": "shop/orders.json",
        "records": "rows",
        "params": {"_shape": "objects", "_size": 1000},
        "cursor": {"field": "updated_at", "param": "updated_at__gte", "lookback": "10s"},
    }
    made = source(datasette, stream)
    first = read(made, "orders")
    assert len(first.rows) == 2345
    second = read(made, "orders", first.states)
    assert second.rows == []
    assert second.counts["rows_unchanged"] == 11


def test_datasette_writes_lines_and_csv(source: Make, datasette: str) -> None:
    """Its newline-delimited JSON and its streamed CSV are the same rows."""
    lines = {"name": "lines", "path": "shop/orders.json", "params": {"_shape": "array", "_nl": "on", "_size": "max"}}
    lines |= {"format": "ndjson", "paginator": {"type": "link_header"}}
    table = {"name": "table", "path": "shop/orders.csv", "params": {"_stream": "on"}, "format": "csv"}
    made = source(datasette, lines, table)
    rows = read(made, "lines").rows
    assert [row["id"] for row in rows] == list(range(2345))
    assert [int(row["id"]) for row in read(made, "table").rows] == list(range(2345))


@pytest.fixture(scope="module")
def json_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, over 55 posts. Wanted by VDK_SOURCE_REST_NPM=1, since npm asks its registry."""
    if os.environ.get("VDK_SOURCE_REST_NPM") != "1":
        pytest.skip("json-server comes from npm's registry: set VDK_SOURCE_REST_NPM=1 to test with it")
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("npx is not installed, so json-server cannot be run")
    folder = tmp_path_factory.mktemp("json-server")
    posts = [{"id": number, "title": f"post {number}", "views": number} for number in range(1, 56)]
    (folder / "db.json").write_text(json.dumps({"posts": posts}), "utf-8")
    port = free_port()
    command = [npx, "--yes", JSON_SERVER, "--port", str(port), "--host", "127.0.0.1", str(folder / "db.json")]
    with program(command, f"http://127.0.0.1:{port}/posts/1", folder / "log"):
        yield f"http://127.0.0.1:{port}"


def test_json_server_is_read_by_its_link_headers(source: Make, json_server: str) -> None:
    """Pages with Link headers, found by themselves; its total is a header that agrees."""
    stream = {"name": "posts", "params": {"_page": 1, "_limit": 10}}
    assert [row["id"] for row in read(source(json_server, stream), "posts").rows] == list(range(1, 56))


def test_json_server_is_read_by_page_numbers(source: Make, json_server: str) -> None:
    """The same pages, counted here."""
    paginator = {"type": "page", "param": "_page", "size_param": "_limit", "size": 20}
    made = source(json_server, {"name": "posts", "paginator": paginator})
    assert [row["id"] for row in read(made, "posts").rows] == list(range(1, 56))
