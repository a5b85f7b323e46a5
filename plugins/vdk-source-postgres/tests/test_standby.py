"""A hot standby is read like a primary, with a lookback instead of waiting for transactions that it does not see."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support import make_source, run, source_of
from vdk.plugin.datasource_base.testing import Landing
from vdk.plugin.datasource_base.testing.postgresql import NOBODY, PASSWORD, Server, server_user
from vdk.plugin.source_postgres.connecting import translated

pytestmark = pytest.mark.heavy


@pytest.fixture
def standby(server: Server) -> Iterator[Server]:
    """A server that follows ``server``."""
    with tempfile.TemporaryDirectory(prefix="vdk-standby-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        folder = scratch / "data"
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        programs = server.programs
        backup = [str(programs / "pg_basebackup"), "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
        backup += ["-D", str(folder), "-R", "--checkpoint=fast", "--no-sync"]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        subprocess.run(backup, check=True, capture_output=True, cwd=scratch, env=environment, **server_user())
        with (folder / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("hot_standby_feedback = off\nmax_standby_streaming_delay = 20ms\n")
        standby = Server(folder, programs)
        standby.start()
        try:
            yield standby
        finally:
            standby.end()


def test_a_standby_is_read_with_a_lookback(server: Server, standby: Server) -> None:
    """Five minutes by default, within which late rows are found."""
    now = dt.datetime.now(dt.UTC)
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "INSERT INTO t VALUES (1, %s)", [now - dt.timedelta(minutes=10)])
    server.query("shop", "INSERT INTO t VALUES (2, %s)", [now - dt.timedelta(minutes=1)])
    follow(server, standby)
    (stream,) = source_of(standby).streams()
    first = run(stream)
    assert first.column("id") == [1, 2]
    server.query("shop", "INSERT INTO t VALUES (3, %s)", [now - dt.timedelta(minutes=4)])
    follow(server, standby)
    assert run(stream, first.state).column("id") == [3]


def follow(server: Server, standby: Server) -> None:
    """Wait until the standby has what the server has."""
    ((position,),) = server.query("shop", "SELECT pg_current_wal_lsn()::text")
    deadline = time.monotonic() + 30
    while not standby.query("shop", "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position])[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_reason_that_is_lost_is_guessed() -> None:
    """The server's last words are lost where the client sends meanwhile, which happens once in a while."""
    error = psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")
    assert "hot_standby_feedback" in str(translated(error, "postgresql://standby/shop", standby=True))
    assert "hot_standby_feedback" not in str(translated(error, "postgresql://primary/shop"))


def test_a_standby_that_cancels_says_what_helps(server: Server, standby: Server) -> None:
    """The primary vacuums what is being read, again and again; the run fails, and names the setting."""
    server.query("shop", "CREATE SCHEMA own")
    server.query("shop", "CREATE TABLE own.t (id int, filler text)")
    server.query("shop", "INSERT INTO own.t SELECT n, repeat('x', 500) FROM generate_series(1, 3000) n")
    # Read so slowly that no attempt ends before rows that it may still see are removed.
    server.query("shop", "CREATE VIEW t AS SELECT id, filler, pg_sleep(0.005) IS NULL AS slow FROM own.t")
    follow(server, standby)
    ended = threading.Event()

    def vacuum() -> None:
        number = 0
        while not ended.wait(0.05):
            number += 1
            server.query("shop", "DELETE FROM own.t WHERE id = %s", [number])
            server.query("shop", "VACUUM own.t")

    thread = threading.Thread(target=vacuum)
    thread.start()
    try:
        with Landing.fresh() as landing:
            error = landing.attempt(
                lambda: make_source(standby.port, page_rows=5, views=["t"]), retry_attempts=3, retry_delay=0.01
            )
    finally:
        ended.set()
        thread.join()
    assert "cancelled the query" in str(error)
    assert "set hot_standby_feedback = on at the standby" in str(error)
    assert not landing.tables.get("t")
