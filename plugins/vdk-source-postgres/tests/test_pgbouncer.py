"""A pooler that gives each transaction another session: rows come through it, and none of our settings stays behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support import make_source, run
from vdk.plugin.datasource_base.contract import DataSourceState
from vdk.plugin.datasource_base.testing.postgresql import NOBODY, Server, server_user

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer: apt-get install pgbouncer"),
]
SETTINGS = ("row_security", "bytea_output", "IntervalStyle", "idle_in_transaction_session_timeout", "statement_timeout")


@pytest.fixture
def pooler(server: Server) -> Iterator[int]:
    """The port of PgBouncer in transaction mode, with two sessions for ``reader``."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(prefix="vdk-pgbouncer-") as name, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(name), int(free.getsockname()[1])
        free.close()
        (folder / "users").write_text('"reader" "reader"\n', "utf-8")
        (folder / "ini").write_text(
            f"[databases]\nshop = host=127.0.0.1 port={server.port} dbname=shop\n[pgbouncer]\npool_mode = transaction\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
            f"auth_file = {folder / 'users'}\ndefault_pool_size = 2\n",
            "utf-8",
        )
        for path in (folder, folder / "users", folder / "ini"):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        process = subprocess.Popen([PROGRAM, folder / "ini"], stderr=subprocess.DEVNULL, cwd=folder, **server_user())
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def tables(server: Server) -> Server:
    """One that is read whole, and one by a cursor."""
    server.query("shop", "CREATE TABLE a (id int, x interval, y bytea)")
    server.query("shop", "INSERT INTO a SELECT n, '1 day', 'x' FROM generate_series(1, 20000) n")
    server.query("shop", "CREATE TABLE b (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "CREATE INDEX ON b (updated_at, id)")
    server.query(
        "shop", "INSERT INTO b SELECT n, timestamptz '2026-01-01' + n * interval '1 s' FROM generate_series(1, 20000) n"
    )
    return server


@pytest.mark.parametrize("bulk", [True, False])
def test_rows_come_through_a_pooler_and_no_setting_stays(tables: Server, pooler: int, bulk: bool) -> None:
    """Other clients of it have the sessions next, whose rows a policy would hide, or whose statements would be cut."""
    url = f"postgresql://reader:reader@127.0.0.1:{pooler}/shop"
    before = _settings(url)
    source = make_source(pooler, bulk=bulk, page_rows=1000, statement_timeout="20s")
    source.connect(DataSourceState())
    try:
        whole, by_cursor = source.streams()
        landed = [row for part in whole.partitions({}) for payload in part.read({}) for row in payload.data.to_pylist()]
        assert sorted(row["id"] for row in landed) == list(range(1, 20001))
        assert landed[0]["x"] == "P1D"
        first = run(by_cursor)
        assert first.column("id") == list(range(1, 20001))
        tables.query("shop", "INSERT INTO b VALUES (20001, now() - interval '2 s')")
        assert run(by_cursor, first.state).column("id") == [20001]
    finally:
        source.disconnect()
    assert _settings(url) == before


def _settings(url: str) -> list[list[tuple[str, ...]]]:
    """Of both sessions."""
    with psycopg.connect(url) as one, psycopg.connect(url) as two:
        return [
            [(name, *value) for name in SETTINGS for value in connection.execute(f"SHOW {name}".encode())]
            for connection in (one, two)
        ]
