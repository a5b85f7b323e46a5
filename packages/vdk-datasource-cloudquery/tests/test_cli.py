"""CloudQuery's own CLI runs our sources into a destination of these tests."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from client import served
from command import CloudQuery
from destination import Destination, key_of
from sources import made, numbered
from vdk.plugin.datasource_base.testing import kafka, mariadb, postgresql

pytestmark = pytest.mark.heavy


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A database with two tables, one of them with a cursor."""
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)",
        "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob')",
        'CREATE TABLE "Order-Lines" (id INTEGER PRIMARY KEY, price REAL, updated_at TIMESTAMP)',
        """INSERT INTO "Order-Lines" VALUES (1, 1.5, '2026-01-01 00:00:00'), (2, NULL, '2026-01-02 00:00:00')""",
    )
    return path


def test_sync_moves_what_is_new(cloudquery: CloudQuery, destination: Destination, shop: Path) -> None:
    """With a backend for states, the second sync reads what has changed, and deletes no row of such a table."""
    cloudquery.configure("sqlite", {"database": str(shop)}, destination.address, state=True)
    assert cloudquery.run("sync", "--summary-location", "summary.json") == 0, cloudquery.output
    assert destination.rows("customers") == [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]
    assert [row["price"] for row in destination.rows("order_lines")] == [1.5, None]
    assert key_of(destination.schemas["order_lines"]) == ["id"]
    summary = json.loads((cloudquery.folder / "summary.json").read_text())
    assert (summary["resources"], summary["source_errors"]) == (4, 0)

    execute(
        shop,
        "DELETE FROM customers WHERE id = 1",
        """INSERT INTO "Order-Lines" VALUES (3, 3.5, '2026-01-03 00:00:00')""",
    )
    destination.log.clear()
    assert cloudquery.run("sync", "--summary-location", "second.json") == 0, cloudquery.output
    # the cursor's last value is read again, as rows of the same time may have come since
    resources = json.loads((cloudquery.folder / "second.json").read_text().splitlines()[-1])["resources"]
    assert resources < 4
    assert [row["id"] for row in destination.rows("order_lines")] == [1, 2, 3]
    assert destination.rows("customers") == [{"id": 2, "name": "Bob"}]
    assert "delete customers" in destination.log
    assert "delete order_lines" not in destination.log


def test_the_other_commands(cloudquery: CloudQuery, destination: Destination, shop: Path) -> None:
    cloudquery.configure("sqlite", {"database": str(shop)}, destination.address)
    assert cloudquery.run("validate-config") == 0, cloudquery.output
    assert cloudquery.run("test-connection") == 0, cloudquery.output
    assert cloudquery.run("migrate") == 0, cloudquery.output
    assert set(destination.schemas) == {"customers", "order_lines"}
    assert destination.rows("customers") == []
    assert cloudquery.run("tables", "--format", "json") == 0, cloudquery.output
    (listed,) = (cloudquery.folder / "cq-docs").rglob("__tables.json")
    tables = {table["name"]: table for table in json.loads(listed.read_text())}
    assert set(tables) == {"customers", "order_lines"}
    assert tables["order_lines"]["is_incremental"] is True


def test_a_misspelt_option_is_named(cloudquery: CloudQuery, destination: Destination, shop: Path) -> None:
    """With the commands that validate, and with ``sync``, which does not."""
    cloudquery.configure("sqlite", {"database": str(shop), "lock_timout": "5s"}, destination.address)
    for command in ("sync", "test-connection"):
        assert cloudquery.run(command) != 0
        assert "spec: unknown option 'lock_timout'; did you mean 'lock_timeout'?" in cloudquery.output
    assert cloudquery.run("validate-config") != 0
    assert "lock_timout" in cloudquery.output
    assert destination.tables == {}


def test_a_source_that_fails_in_the_middle(cloudquery: CloudQuery, destination: Destination) -> None:
    """The other streams land, the exit code and the text say what failed, and no state is written."""
    streams = numbered("good"), numbered("bad", count=4, fail=ValueError("the disk of the source is full"))
    with served("made", lambda: made(*streams)) as client:
        cloudquery.configure("made", {}, destination.address, address=client.address, state=True)
        assert cloudquery.run("sync") != 0
    assert "the disk of the source is full" in cloudquery.output
    assert "Traceback" not in cloudquery.output
    assert len(destination.rows("good")) == 5
    assert destination.tables["cq_state"] == []


@contextmanager
def api(records: list[dict[str, Any]]) -> Iterator[str]:
    """A JSON API on the loopback: the URL of its records."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parent = self.path.split("/")[2:3]
            body = json.dumps([{"issue": 1, "repo": parent[0]}] if parent else records).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_an_api_with_children(cloudquery: CloudQuery, destination: Destination) -> None:
    """Their columns are known by their records only, and the relation is CloudQuery's."""
    spec = {
        "streams": [
            {"name": "repos", "path": "/repos", "primary_key": "id"},
            {
                "name": "issues",
                "path": "/repos/{repo}/issues",
                "parent": {"stream": "repos", "bind": {"repo": "id"}},
            },
        ]
    }
    with api([{"id": 7, "owner": {"name": "Ann"}}, {"id": 8, "owner": None}]) as url, served("rest") as client:
        cloudquery.configure("rest", {"base_url": url, **spec}, destination.address, address=client.address)
        assert cloudquery.run("sync") == 0, cloudquery.output
        assert sorted(row["id"] for row in destination.rows("repos")) == [7, 8]
        assert sorted(row["repo"] for row in destination.rows("issues")) == ["7", "8"]
        assert destination.schemas["issues"].metadata[b"cq:table_depends_on"] == b"repos"
        assert key_of(destination.schemas["issues"]) == ["_cq_id"]
        cloudquery.configure(
            "rest", {"base_url": url, **spec}, destination.address, address=client.address, skip_tables=["repos"]
        )
        assert cloudquery.run("sync") != 0  # without its parent no table is left
        assert "tables and skip_tables leave no table of repos, issues" in cloudquery.output


def test_a_topic(cloudquery: CloudQuery, destination: Destination, tmp_path: Path) -> None:
    with kafka.running(tmp_path / "broker") as broker:
        broker.produce("orders", [{"id": number} for number in range(100)])
        cloudquery.configure(
            "kafka",
            {"bootstrap_servers": broker.address, "topics": ["orders"]},
            destination.address,
            state=True,
            write_mode="append",
        )
        assert cloudquery.run("sync") == 0, cloudquery.output
        broker.produce("orders", [{"id": number} for number in range(100, 130)])
        assert cloudquery.run("sync") == 0, cloudquery.output
    assert sorted(row["id"] for row in destination.rows("orders")) == list(range(130))


@pytest.fixture(scope="module")
def postgres() -> Iterator[postgresql.Server]:
    with postgresql.running() as server:
        yield server


def test_a_postgresql_database(cloudquery: CloudQuery, destination: Destination, postgres: postgresql.Server) -> None:
    """Its password is in the configuration, and in nothing that is printed."""
    postgres.query("postgres", "CREATE TABLE people (id uuid PRIMARY KEY, tags text[], at timestamptz)")
    postgres.query("postgres", "INSERT INTO people VALUES (gen_random_uuid(), '{a,b}', '2026-01-01Z')")
    cloudquery.configure("postgres", {"url": postgres.url("postgres")}, destination.address)
    assert cloudquery.run("sync") == 0, cloudquery.output
    (row,) = destination.rows("people")
    assert json.loads(row["tags"]) == ["a", "b"]
    assert str(row["at"]) == "2026-01-01 00:00:00+00:00"
    cloudquery.configure("postgres", {"url": postgres.url("nowhere")}, destination.address)
    assert cloudquery.run("sync") != 0
    assert "nowhere" in cloudquery.output
    assert postgresql.PASSWORD not in cloudquery.output
    assert postgresql.QUOTED_PASSWORD not in cloudquery.output


@pytest.fixture(scope="module")
def mysql() -> Iterator[mariadb.Server]:
    try:
        with mariadb.running() as server:
            server.clear("shop")
            server.query("mysql", "CREATE USER reader IDENTIFIED BY 'p@ss/word'")
            server.query("mysql", "GRANT SELECT ON shop.* TO reader")
            yield server
    except LookupError as error:
        pytest.skip(str(error))


def test_a_mysql_database(cloudquery: CloudQuery, destination: Destination, mysql: mariadb.Server) -> None:
    """A table with a cursor is read on from its state; the password is in nothing that is printed."""
    table = "id bigint PRIMARY KEY, total decimal(10,2), tags json, updated_at datetime(6) NOT NULL"
    mysql.query("shop", f"CREATE TABLE orders ({table})")
    mysql.query("shop", "INSERT INTO orders VALUES (1, 1.10, '[1]', '2026-01-01'), (2, NULL, NULL, '2026-01-02')")
    url = f"mysql://reader:p%40ss%2Fword@127.0.0.1:{mysql.port}/shop"
    cloudquery.configure("mysql", {"url": url}, destination.address, state=True)
    assert cloudquery.run("sync") == 0, cloudquery.output
    mysql.query("shop", "INSERT INTO orders VALUES (3, 3, '{}', '2026-01-03')")
    assert cloudquery.run("sync") == 0, cloudquery.output
    rows = sorted(destination.rows("orders"), key=lambda row: int(row["id"]))
    assert [(row["id"], str(row["total"])) for row in rows] == [(1, "1.10"), (2, "None"), (3, "3.00")]
    assert json.loads(rows[0]["tags"]) == [1]
    cloudquery.configure("mysql", {"url": url.replace("p%40ss", "p%40s5")}, destination.address)
    assert cloudquery.run("sync") != 0
    assert "Access denied" in cloudquery.output
    assert not any(text in cloudquery.output for text in ("p%40s", "p@s"))
