"""A hot standby is read like a primary, with a lookback instead of waiting for transactions that it does not see."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import run, source_of
from vdk.plugin.datasource_base.testing.postgresql import NOBODY, PASSWORD, Server, server_user

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
