"""Rows that are committed late, with cursors below what was read, are read by a later run."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from support import reader_url, run, source_of, stream_of
from vdk.plugin.datasource_base.testing.postgresql import Server

WRITERS, ROUNDS = 8, 40


def write(server: Server, writer: int, stop: threading.Event, errors: list[Exception]) -> None:
    """Transactions that take their cursor first and commit some time later."""
    try:
        with psycopg.connect(server.url("shop"), autocommit=True) as connection:
            for number in range(ROUNDS):
                with connection.transaction():
                    connection.execute("SELECT now()")
                    time.sleep(0.001 * ((writer * 7 + number * 3) % 23))
                    connection.execute("INSERT INTO t VALUES (%s, now())", [writer * 1000 + number])
                    time.sleep(0.001 * ((writer + number) % 5))
                if stop.is_set():
                    return
    except Exception as error:
        errors.append(error)


@pytest.mark.heavy
@pytest.mark.parametrize("index", [True, False])
def test_eight_writers_lose_no_row(server: Server, index: bool) -> None:
    """With no lookback of the user, and a reader that may only select."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz NOT NULL)")
    if index:
        server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    stop, errors = threading.Event(), list[Exception]()
    writers = [threading.Thread(target=write, args=(server, number, stop, errors)) for number in range(WRITERS)]
    stream = stream_of(server, lookback="0s")
    for writer in writers:
        writer.start()
    landed = run(stream)
    ids, runs = landed.column("id"), 1
    try:
        while any(writer.is_alive() for writer in writers):
            landed = run(stream, landed.state)
            ids += landed.column("id")
            runs += 1
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not errors
    ids += run(stream, landed.state).column("id")
    existing = [row[0] for row in server.query("shop", "SELECT id FROM t ORDER BY id")]
    assert runs > 3
    assert sorted(set(ids)) == existing
    assert len(ids) == len(existing), "no row is delivered twice"


@pytest.mark.parametrize("cursor", ["timestamptz DEFAULT now()", "timestamp DEFAULT now()", "bigserial"])
def test_a_transaction_that_does_not_end_holds_rows_back(
    server: Server, cursor: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names it; after its end the rows are read."""
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, c {cursor})")
    server.query("shop", "INSERT INTO t VALUES (1)")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="50ms")
    time.sleep(1.1)
    first = run(stream)
    assert first.column("id") == [1]
    with psycopg.connect(server.url("shop"), application_name="importer") as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        server.query("shop", "INSERT INTO t VALUES (3)")
        held = run(stream, first.state)
        assert held.column("id") == []
        assert held.counters["rows_held_back"] == 1
        assert "application 'importer'" in caplog.text
    assert sorted(run(stream, held.state).column("id")) == [2, 3]


def test_a_first_run_holds_all_back_if_nothing_is_safe(server: Server) -> None:
    """The next run has everything."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="0s")
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        server.query("shop", "INSERT INTO t VALUES (2)")
        held = run(stream)
        assert (held.rows, held.counters["rows_held_back"]) == ([], 1)
    assert sorted(run(stream, held.state).column("id")) == [1, 2]


def test_the_rows_before_a_transaction_that_shows_its_start_are_read(server: Server) -> None:
    """Of its own role a user sees when a transaction began, to which nothing before can be added."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz DEFAULT now())")
    server.query("shop", "GRANT INSERT ON t TO reader; INSERT INTO t VALUES (1)")
    time.sleep(1.2)
    stream = stream_of(server, late_commit_wait="0s")
    with psycopg.connect(reader_url(server)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        server.query("shop", "INSERT INTO t VALUES (3)")
        first = run(stream)
        assert (first.column("id"), first.counters["rows_held_back"]) == ([1], 1)
    assert sorted(run(stream, first.state).column("id")) == [2, 3]


def test_a_long_transaction_delays_a_run_once(server: Server) -> None:
    """And not once for each of its tables."""
    for number in range(5):
        server.query("shop", f"CREATE TABLE t{number} (id int PRIMARY KEY, updated_at timestamptz DEFAULT now())")
        server.query("shop", f"INSERT INTO t{number} VALUES (1)")
    source = source_of(server, late_commit_wait="500ms")
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("SELECT 1")
        start = time.monotonic()
        run(source.streams()[0])
        first = time.monotonic() - start
        for stream in source.streams()[1:]:
            run(stream)
        assert time.monotonic() - start - first < first + 1.5
    assert first >= 0.5
