"""Rows that are committed late, with cursors below what was read, are read by a later run."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from support import reader_url, run, source_of, stream_of
from vdk.plugin.datasource_base.contract import StateError
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.source_postgres import barrier


@pytest.mark.heavy
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


@pytest.mark.heavy
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


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_rows_that_cannot_be_waited_for_have_five_minutes(server: Server, kind: str) -> None:
    """The transaction that writes them is none of this table's, or of this database's."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "INSERT INTO t VALUES (1, now() - interval '10 minutes'), (2, now() - interval '1 minute')")
    server.query("shop", f"CREATE {kind} v AS SELECT * FROM t")
    stream = stream_of(server, "v", views=["v"])
    first = run(stream)
    assert sorted(first.column("id")) == [1, 2]
    server.query("shop", "INSERT INTO t VALUES (3, now() - interval '4 minutes')")
    if kind != "VIEW":
        server.query("shop", f"REFRESH {kind} v")
    assert run(stream, first.state).column("id") == [3]


def test_which_tables_have_a_barrier(server: Server) -> None:
    """Those that this database writes alone: no foreign table, no target of a subscription, nor what has them as
    partitions."""
    for statement in (
        "CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other",
        "CREATE TABLE own (id int, updated_at timestamptz)",
        "CREATE TABLE parts (id int, updated_at timestamptz) PARTITION BY LIST (id)",
        "CREATE TABLE part PARTITION OF parts FOR VALUES IN (1)",
        "CREATE FOREIGN TABLE far (id int, updated_at timestamptz) SERVER other",
        "CREATE TABLE mixed (id int, updated_at timestamptz) PARTITION BY LIST (id)",
        "CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER other",
        "CREATE TABLE subscribed (id int, updated_at timestamptz)",
        "INSERT INTO pg_subscription_rel VALUES (1, 'subscribed'::regclass, 'r', NULL)",
    ):
        server.query("shop", statement)
    try:
        lookbacks = {stream.name: stream.plan.options.lookback for stream in source_of(server).streams()}
    finally:
        server.query("shop", "DELETE FROM pg_subscription_rel; DROP FOREIGN DATA WRAPPER other CASCADE")
    one = dt.timedelta(seconds=1)
    assert lookbacks == {"far": None, "mixed": None, "own": one, "parts": one, "subscribed": None}


@pytest.mark.parametrize(
    ("cursor", "values"),
    [
        ("text", ["a", "b"]),
        ("uuid", ["00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"]),
        ("double precision", ["-1e300", "1"]),
        ("date", ["2026-01-01", "2026-01-02"]),
    ],
)
def test_a_first_run_that_is_held_back_reads_nothing(server: Server, cursor: str, values: list[str]) -> None:
    """Whatever the type of its cursor; the next run has everything once."""
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, c {cursor})")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="0s")
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("INSERT INTO t VALUES (1, %s)", [values[0]])
        server.query("shop", "INSERT INTO t VALUES (2, %s)", [values[1]])
        held = run(stream)
        assert (held.rows, held.counters["rows_held_back"]) == ([], 1)
    assert sorted(run(stream, held.state).column("id")) == [1, 2]


class Steps:
    """What happens at each pause of the waiting, instead of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)
        monkeypatch.setattr(barrier, "time", self)

    def sleep(self, seconds: float) -> None:
        if self._steps:
            self._steps.pop(0)()
        else:
            time.sleep(seconds)

    monotonic = staticmethod(time.monotonic)

    @property
    def are_done(self) -> bool:
        return not self._steps


def test_a_row_that_is_committed_first_is_not_read_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table without rows has no highest cursor, and a row with a lower one may come after the first one."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    stream = stream_of(server, options={"cursor": "c"})
    noted = barrier._noted
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("INSERT INTO t VALUES (1)")

        def and_then(*arguments: Any) -> Any:
            highest = noted(*arguments)
            server.query("shop", "INSERT INTO t VALUES (2)")
            return highest

        monkeypatch.setattr(barrier, "_noted", and_then)
        first = run(stream)
        monkeypatch.undo()
    assert sorted(first.column("id") + run(stream, first.state).column("id")) == [1, 2]


@pytest.fixture
def prepared(server: Server) -> Iterator[Callable[[str, int], None]]:
    """Inserts a row in a transaction that is prepared under a name."""

    def prepare(name: str, number: int) -> None:
        with psycopg.connect(server.url("shop"), autocommit=True) as connection:
            connection.execute("BEGIN")
            connection.execute("INSERT INTO t VALUES (%s)", [number])
            connection.execute(f"PREPARE TRANSACTION '{name}'")

    yield prepare
    for (name,) in server.query("shop", "SELECT gid FROM pg_prepared_xacts"):
        server.query("shop", f"ROLLBACK PREPARED '{name}'")


def test_a_transaction_that_is_prepared_meanwhile_is_waited_for(
    server: Server, prepared: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in the list of open ones, and is none of them any more."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    stream = stream_of(server, options={"cursor": "c"})
    with psycopg.connect(server.url("shop"), autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        server.query("shop", "INSERT INTO t VALUES (2)")
        steps = Steps(
            monkeypatch,
            lambda: connection.execute("PREPARE TRANSACTION 'one'"),
            lambda: connection.execute("COMMIT PREPARED 'one'"),
        )
        assert sorted(run(stream).column("id")) == [1, 2]
        assert steps.are_done


def test_a_transaction_that_is_prepared_later_is_not_waited_for(
    server: Server, prepared: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began after the end of the pass was noted."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    prepared("one", 1)
    server.query("shop", "INSERT INTO t VALUES (2)")

    def next_one() -> None:
        server.query("shop", "COMMIT PREPARED 'one'")
        prepared("two", 3)

    Steps(monkeypatch, next_one)
    landed = run(stream_of(server, options={"cursor": "c"}, late_commit_wait="2s"))
    assert sorted(landed.column("id")) == [1, 2]


def test_each_prepared_transaction_is_waited_for_by_itself(
    server: Server,
    prepared: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that was waited for in vain does not take the time of the next one."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    server.query("shop", "INSERT INTO t VALUES (0)")
    prepared("one", 1)
    server.query("shop", "INSERT INTO t VALUES (2)")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="300ms")
    held = run(stream)
    assert (held.rows, held.counters["rows_held_back"]) == ([], 2)
    assert "see pg_prepared_xacts" in caplog.text
    server.query("shop", "COMMIT PREPARED 'one'")
    prepared("two", 3)
    server.query("shop", "INSERT INTO t VALUES (4)")
    Steps(monkeypatch, lambda: server.query("shop", "COMMIT PREPARED 'two'"))
    assert sorted(run(stream, held.state).column("id")) == [0, 1, 2, 3, 4]


def test_our_own_readers_are_not_waited_for(server: Server) -> None:
    """A name of the user's own is added to ours, which they are known by."""
    server.query("shop", "CREATE TABLE a (id int PRIMARY KEY, filler text)")
    server.query("shop", "INSERT INTO a SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) n")
    server.query("shop", "CREATE TABLE b (id int PRIMARY KEY, c bigserial); INSERT INTO b VALUES (1)")
    url = f"{reader_url(server)}?application_name=reports"
    source = source_of(server, url=url, tables={"b": {"cursor": "c"}}, late_commit_wait="0s", page_rows=10)
    whole, by_cursor = source.streams()
    reading = whole.read({})
    next(reading)
    assert run(by_cursor).column("id") == [1]
    reading.close()


def test_a_database_in_which_a_transaction_is_always_open_is_read(server: Server) -> None:
    """Up to the end that an earlier run noted, once what was open then has ended."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    server.query("shop", "INSERT INTO t VALUES (1)")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="0s")
    ids, state = list[int](), dict[str, Any]()
    first, second = (psycopg.connect(server.url("shop")) for _ in range(2))
    with first, second:
        for number in range(2, 12, 2):
            first.execute("INSERT INTO t VALUES (%s)", [number])
            server.query("shop", "INSERT INTO t VALUES (%s)", [number + 1])
            landed = run(stream, state)  # the other one is open too, from the second round on
            ids, state = ids + landed.column("id"), landed.state
            first, second = second, first
            first.commit()
        assert sorted(ids) == [1, 2, 3, 4, 5, 6, 7, 8, 9][: len(ids)]
        assert len(ids) >= 5
        assert run(stream, state).counters["rows_held_back"] > 0
    assert sorted(ids + run(stream, state).column("id")) == list(range(1, 12))


def test_a_stored_end_outlives_a_restart(server: Server, prepared: Callable[[str, int], None]) -> None:
    """After which transactions have the names of others, and prepared ones exist still."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    server.query("shop", "INSERT INTO t VALUES (1)")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="0s")
    with psycopg.connect(server.url("shop"), autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (2)")
        server.query("shop", "INSERT INTO t VALUES (3)")
        held = run(stream)
        assert held.rows == []
        held.state["barrier"]["server"] = "before a restart"
        assert sorted(run(stream, held.state).column("id")) == [1, 3]
        connection.execute("PREPARE TRANSACTION 'one'")
    again = run(stream, held.state)
    assert again.rows == []
    server.query("shop", "COMMIT PREPARED 'one'")
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("INSERT INTO t VALUES (4)")
        last = run(stream, again.state)
        assert sorted(last.column("id")) == [1, 2, 3]


@pytest.mark.heavy
def test_a_transaction_that_is_open_too_long_is_given_up(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """If the user says so, and with a warning; whether its start is visible or not."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial)")
    server.query("shop", "GRANT INSERT ON t TO reader; GRANT USAGE ON SEQUENCE t_c_seq TO reader")
    server.query("shop", "INSERT INTO t VALUES (1)")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="0s", longest_transaction="1s")
    for url in (server.url("shop"), reader_url(server)):
        caplog.clear()
        with psycopg.connect(url) as connection:
            connection.execute("SELECT 1")
            held = run(stream)
            assert held.rows == []
            if "reader" in url:
                time.sleep(1.1)
            else:
                held.state["barrier"]["since"] = "2026-01-01T00:00:00+00:00"
            assert run(stream, held.state).column("id") == [1]
            assert "longest_transaction" in caplog.text


@pytest.mark.parametrize("change", [{"open": "3/4"}, {"open": [1]}, {"since": 5}, {"upper": [1]}, {"server": None}])
def test_a_damaged_barrier_is_refused(server: Server, change: dict[str, Any]) -> None:
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c bigserial); INSERT INTO t VALUES (1)")
    stream = stream_of(server, options={"cursor": "c"}, late_commit_wait="0s")
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("SELECT 1")
        state = run(stream).state
    state["barrier"].update(change)
    with pytest.raises(StateError, match="damaged"):
        run(stream, state)
