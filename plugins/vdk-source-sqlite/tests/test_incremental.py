"""The rules of reading by a cursor, one by one."""

from __future__ import annotations

import datetime as dt
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from support import NOW, execute, interrupted, payloads, rows_of, run, source_of, stream_of
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import BadRecordError, ConfigurationError, StateError
from vdk.plugin.datasource_base.testing import MemoryDestination
from vdk.plugin.datasource_sql.incremental import reader, seen_rows

AT = "2026-10-{:02} 00:00:00"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Ten rows, a day apart, with an index on the cursor."""
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, updated_at TEXT)",
        "CREATE INDEX i ON t (updated_at)",
        ("INSERT INTO t VALUES (?, ?, ?)", [(n, f"v{n}", AT.format(n)) for n in range(1, 11)]),
    )
    return path


def test_a_second_run_without_changes_yields_no_rows(database: Path) -> None:
    """It may count what it recognised, and says nothing new about the state."""
    first = run(stream_of(database))
    second = run(stream_of(database), first.state)
    assert first.column("id") == list(range(1, 11))
    assert (second.rows, second.states, second.counters) == ([], 0, {"rows_unchanged": 1})


def test_a_changed_row_comes_and_no_other(database: Path) -> None:
    first = run(stream_of(database))
    execute(database, "UPDATE t SET v = 'new', updated_at = '2026-10-20 00:00:00' WHERE id = 3")
    assert run(stream_of(database), first.state).rows == [{"id": 3, "v": "new", "updated_at": "2026-10-20 00:00:00"}]


def test_a_row_added_at_exactly_the_stored_maximum_comes(database: Path) -> None:
    """The lower bound is inclusive, and bound as it is stored: ``…00.000000`` would sort above ``…00``."""
    first = run(stream_of(database, lookback="0s"))
    execute(database, "INSERT INTO t VALUES (0, 'late twin', '2026-10-10 00:00:00')")
    assert run(stream_of(database, lookback="0s"), first.state).column("id") == [0]


def test_rows_updated_while_reading_come_with_the_next_run(database: Path) -> None:
    """The upper bound is the maximum in the snapshot of the first page."""
    landed_ids = []
    state: dict[str, Any] = {}
    for payload in payloads(stream_of(database, page_rows=2)):
        if payload.data is not None:
            # type ignored: the payloads are batches
            landed_ids += payload.data["id"].to_pylist()  # type: ignore[index, call-overload]
        if len(landed_ids) == 2:
            execute(database, "UPDATE t SET v = 'moved', updated_at = '2026-10-30 00:00:00' WHERE id = 9")
        state = dict(payload.state or state)
    assert landed_ids == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert state["high_watermark"]["cursor"] == AT.format(10)
    assert run(stream_of(database), state).column("id") == [9]


def test_an_interrupted_run_continues_to_its_stored_upper_bound_and_then_beyond(database: Path) -> None:
    first = interrupted(stream_of(database, page_rows=3), 2)
    assert first.state["resume"] == {"order": "cursor", "cursor": AT.format(6), "key": [6], "upper": AT.format(10)}
    assert first.state["high_watermark"] is None
    execute(database, "INSERT INTO t VALUES (11, 'later', '2026-10-20 00:00:00')")
    second = run(stream_of(database, page_rows=3), first.state)
    assert second.column("id") == [7, 8, 9, 10, 11]
    assert second.state["resume"] is None
    assert second.state["high_watermark"] == {"cursor": "2026-10-20 00:00:00", "key": [11]}


def test_the_high_watermark_never_goes_down(database: Path) -> None:
    """The newest row may be deleted: what is below the watermark was delivered all the same."""
    first = run(stream_of(database))
    execute(database, "DELETE FROM t WHERE id > 5")
    second = run(stream_of(database), first.state)
    assert second.rows == []
    assert second.state["high_watermark"]["cursor"] == AT.format(10)


def test_a_late_commit_within_lookback_comes(database: Path) -> None:
    """A row may become visible after rows with a higher cursor: five minutes are looked back by default."""
    first = run(stream_of(database))
    execute(database, "INSERT INTO t VALUES (11, 'late', '2026-10-09 23:55:30')")
    assert run(stream_of(database), first.state).column("id") == [11]
    assert run(stream_of(database, lookback="1s"), first.state).column("id") == []


@pytest.mark.parametrize("index", ["CREATE INDEX i2 ON t (updated_at, id)", "DROP INDEX i", "SELECT 1"])
@pytest.mark.parametrize("key", ["INTEGER PRIMARY KEY", "TEXT PRIMARY KEY", "TEXT NOT NULL UNIQUE", "TEXT"])
def test_a_tie_group_larger_than_a_page_survives_an_interruption_at_every_checkpoint(
    tmp_path: Path, key: str, index: str
) -> None:
    """Rows of one cursor are told apart by key; without a key the state moves only when the cursor changes."""
    path = tmp_path / "ties.db"
    cursors = ["2026-10-01"] * 2 + ["2026-10-02"] * 17 + ["2026-10-03"] * 3 + ["2026-10-04"] * 6
    execute(
        path,
        f"CREATE TABLE t (id {key}, updated_at TEXT)",
        "CREATE INDEX i ON t (updated_at)",
        ("INSERT INTO t VALUES (?, ?)", [(f"{n:03}", cursor) for n, cursor in enumerate(cursors)]),
        index,
    )
    total = run(stream_of(path, page_rows=4)).payloads
    wanted = sorted(run(stream_of(path)).column("id"))
    assert len(wanted) == len(cursors)
    for stop in range(1, total + 1):
        landed = interrupted(stream_of(path, page_rows=4), stop)
        rest = run(stream_of(path, page_rows=4), landed.state)
        assert sorted(landed.column("id") + rest.column("id")) == wanted, f"stopped behind payload {stop}"


def test_equal_rows_of_a_table_without_a_key_are_counted(tmp_path: Path) -> None:
    """Two equal rows delivered, a third one added: one more comes."""
    path = tmp_path / "twins.db"
    execute(
        path,
        "CREATE TABLE t (v TEXT, updated_at TEXT)",
        "INSERT INTO t VALUES ('twin', '2026-10-01'), ('twin', '2026-10-01')",
    )
    first = run(stream_of(path))
    execute(path, "INSERT INTO t VALUES ('twin', '2026-10-01')")
    assert (len(first.rows), len(run(stream_of(path), first.state).rows)) == (2, 1)


@pytest.mark.parametrize("index", ["CREATE INDEX i ON t (updated_at)", "SELECT 1"])
def test_a_run_that_says_a_state_on_its_way_ends_with_the_final_one(tmp_path: Path, index: str) -> None:
    """Also when nothing moved: the last state said must not be one in the middle of a pass."""
    path = tmp_path / "ties.db"
    execute(
        path,
        "CREATE TABLE t (v, updated_at TEXT)",
        ("INSERT INTO t VALUES (?, '2026-10-01')", [(n,) for n in range(9)]),
        index,
    )
    first = run(stream_of(path, page_rows=2))
    again = run(stream_of(path, page_rows=2), first.state)
    assert (again.rows, again.state) == ([], first.state)


class TestRowsWithoutACursor:
    @pytest.fixture
    def database(self, database: Path) -> Path:
        execute(database, "INSERT INTO t VALUES (20, 'new', NULL), (21, 'new', NULL), (22, 'new', NULL)")
        return database

    def test_they_are_included_by_default_and_counted(self, database: Path) -> None:
        first = run(stream_of(database, page_rows=2))
        assert sorted(first.column("id")) == [*range(1, 11), 20, 21, 22]
        assert first.counters["rows_null_cursor"] == 3

    def test_new_and_changed_ones_come_with_a_later_run_and_others_do_not(self, database: Path) -> None:
        first = run(stream_of(database))
        execute(database, "INSERT INTO t VALUES (23, 'new', NULL)", "UPDATE t SET v = 'other' WHERE id = 21")
        second = run(stream_of(database), first.state)
        assert second.column("id") == [21, 23]
        assert run(stream_of(database), second.state).rows == []

    def test_they_can_be_excluded_and_are_still_counted(self, database: Path) -> None:
        landed = run(stream_of(database, null_cursor="exclude"))
        assert (max(landed.column("id")), landed.counters["rows_null_cursor"]) == (10, 3)

    def test_they_can_be_an_error_that_names_one(self, database: Path) -> None:
        with pytest.raises(
            BadRecordError, match=r"stream 't', column 'updated_at', key \(20,\): 3 rows have no cursor"
        ):
            run(stream_of(database, null_cursor="fail"))

    def test_several_cursor_columns_mean_the_first_that_is_there(self, database: Path) -> None:
        execute(database, "ALTER TABLE t ADD COLUMN created_at TEXT", "UPDATE t SET created_at = '2026-10-02 00:00:00'")
        options = {"cursor": ["updated_at", "created_at"]}
        first = run(stream_of(database, options=options))
        assert first.state["cursor"] == ["updated_at", "created_at"]
        assert len(first.rows) == 13
        assert "rows_null_cursor" not in first.counters
        execute(database, "UPDATE t SET updated_at = '2026-10-11 00:00:00' WHERE id = 20")
        assert run(stream_of(database, options=options), first.state).column("id") == [20]

    def test_a_table_with_no_cursor_but_null_lands_and_stays_quiet(self, tmp_path: Path) -> None:
        path = tmp_path / "null.db"
        execute(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)", "INSERT INTO t (id) VALUES (1), (2)")
        first = run(stream_of(path))
        assert first.column("id") == [1, 2]
        assert run(stream_of(path), first.state).rows == []
        execute(path, "INSERT INTO t VALUES (3, '2026-10-01')")
        assert run(stream_of(path), first.state).column("id") == [3]


class TestTheUpperBound:
    def test_rows_of_the_future_are_held_back_and_counted(
        self, database: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        execute(
            database, "INSERT INTO t VALUES (11, 'typo', '2062-10-11 00:00:00'), (12, 'typo', '2062-10-12 00:00:00')"
        )
        with caplog.at_level(logging.WARNING):
            first = run(stream_of(database))
        assert first.column("id") == list(range(1, 11))
        assert first.counters["rows_held_back"] == 2
        assert "cursor_timezone" in caplog.text
        later = NOW.replace(year=2063)
        assert run(stream_of(database, now=later), first.state).column("id") == [11, 12]

    def test_a_row_of_this_very_second_comes(self, database: Path) -> None:
        """The default safety_lag is 0: change one row, run again, it lands."""
        execute(database, "INSERT INTO t VALUES (11, 'now', '2026-11-01 12:00:00')")
        assert run(stream_of(database)).column("id")[-1] == 11

    def test_safety_lag_leaves_the_youngest_rows(self, database: Path) -> None:
        landed = run(stream_of(database, safety_lag="23d"))  # now is November 1, 12:00
        assert landed.column("id") == list(range(1, 10))
        assert landed.counters["rows_held_back"] == 1
        assert run(stream_of(database), landed.state).column("id") == [10]

    def test_times_without_a_zone_are_in_the_configured_one(self, database: Path) -> None:
        execute(database, "INSERT INTO t VALUES (11, 'now, in Sofia', '2026-11-01 14:00:00')")
        assert run(stream_of(database)).counters["rows_held_back"] == 1
        landed = run(stream_of(database, cursor_timezone="Europe/Sofia"))
        assert landed.column("id")[-1] == 11

    def test_a_state_in_the_future_warns_and_loses_nothing_silently(
        self, database: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        execute(database, "UPDATE t SET updated_at = '2026-10-31 00:00:00' WHERE id = 10")
        first = run(stream_of(database))
        with caplog.at_level(logging.WARNING):
            run(stream_of(database, now=dt.datetime(2026, 10, 15, tzinfo=dt.UTC)), first.state)
        assert "its state lies in the future ('2026-10-31 00:00:00')" in caplog.text
        assert "vdk datasource state reset" in caplog.text


def test_local_time_that_is_set_back_loses_nothing(tmp_path: Path) -> None:
    """On 2026-10-25 Berlin's clocks go from 03:00 back to 02:00; later rows sort below earlier ones."""
    path = tmp_path / "dst.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)",
        "INSERT INTO t VALUES (1, '2026-10-25 02:50:00')",
    )
    first = run(stream_of(path, cursor_timezone="Europe/Berlin"))
    execute(path, "INSERT INTO t VALUES (2, '2026-10-25 02:10:00')")
    assert run(stream_of(path, cursor_timezone="Europe/Berlin"), first.state).column("id") == [2]


class TestTheState:
    def test_it_has_the_documented_form(self, database: Path) -> None:
        state = run(stream_of(database)).state
        names = "v cursor type key primary_key high_watermark resume overlap oldest cursor_options"
        assert set(state) == set(names.split())
        assert state["cursor_options"] == {"cursor_format": "auto", "null_cursor_values": []}
        assert state["oldest"] == [[AT.format(n), [n]] for n in range(1, 9)]
        assert (state["v"], state["cursor"], state["type"], state["key"]) == (1, "updated_at", "iso-space", ["id"])
        assert state["high_watermark"] == {"cursor": AT.format(10), "key": [10]}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"v": 2}, "has version 2, and this release knows 1"),
            ({"v": "x"}, "was not written by this source"),
            ({"cursor": "modified_at"}, "written for the cursor 'modified_at'"),
            ({"type": "epoch_s"}, "of type 'epoch_s', and 'updated_at' holds 'iso-space' now"),
            ({"overlap": {"rows": "%"}}, "its state is damaged"),
            ({"overlap": {"rows": "AAAAAAAAAAA=", "shape": "x"}}, "its state is damaged"),
            ({"oldest": [1]}, "its state is damaged"),
            ({"high_watermark": {}}, "its state is damaged"),
            ({"primary_key": ["other"]}, "landed by the primary key"),
            ({"key": ["other"], "resume": {"order": "key", "key": [1], "upper": "x"}}, "in the order of the key"),
        ],
    )
    def test_one_that_does_not_fit_is_refused_with_what_to_do(
        self, database: Path, change: dict[str, Any], message: str
    ) -> None:
        state = run(stream_of(database)).state | change
        with pytest.raises(StateError, match=message) as error:
            run(stream_of(database), state)
        assert "vdk datasource state reset" in str(error.value) or "reset" in str(error.value).lower()

    def test_of_a_foreign_source_is_refused(self, database: Path) -> None:
        with pytest.raises(StateError, match="was not written by this source"):
            run(stream_of(database), {"bookmark": 7})

    def test_of_a_cursor_that_vanished_is_refused_before_the_table_is_replaced(self, database: Path) -> None:
        """Without the check the stream would quietly turn into one that is read whole."""
        state = run(stream_of(database)).state
        execute(database, "DROP INDEX i", "ALTER TABLE t DROP COLUMN updated_at")
        stream = source_of(database, {"t": {"": state}}).streams()[0]
        for reading in (stream.schema, lambda: run(stream)):
            with pytest.raises(
                StateError, match="written for the cursor 'updated_at', and the table has no cursor now"
            ):
                reading()

    def test_a_cursor_that_was_given_up_on_purpose_is_not_missed(self, database: Path) -> None:
        state = run(stream_of(database)).state
        stream = source_of(database, {"t": {"": state}}, tables={"t": {"cursor": False}}).streams()[0]
        assert len(run(stream).rows) == 10

    def test_a_new_column_does_not_trouble_it(self, database: Path) -> None:
        first = run(stream_of(database))
        execute(
            database,
            "ALTER TABLE t ADD COLUMN extra TEXT",
            "UPDATE t SET extra = 'x', updated_at = '2026-10-12 00:00:00' WHERE id = 1",
        )
        assert run(stream_of(database), first.state).upserted("id")[(1,)]["extra"] == "x"

    def test_a_table_dropped_between_runs_is_no_stream_any_more(self, database: Path) -> None:
        state = run(stream_of(database)).state
        execute(database, "DROP TABLE t")
        assert source_of(database, {"t": {"": state}}).streams() == []


class TestBackfill:
    @pytest.mark.parametrize("index", ["SELECT 1", "DROP INDEX i"])
    def test_it_reads_its_range_and_touches_no_state(self, database: Path, index: str) -> None:
        execute(database, index)
        state = run(stream_of(database)).state
        options = {"initial_value": "2026-10-03", "end_value": "2026-10-06", "page_rows": 2}
        landed = run(stream_of(database, options=options), state)
        assert landed.column("id") == [3, 4, 5]
        assert landed.states == 0

    def test_it_is_added_and_does_not_replace_the_table(self, database: Path) -> None:
        """A flow that would leave nothing but the range is refused before it is read."""

        def flow(table: dict[str, Any], **entry: Any) -> dict[str, Any]:
            config = {"database": str(database), "tables": {"t": table}}
            return {
                "sources": {"shop": {"name": "sqlite", "config": config}},
                "destinations": {"here": {"method": "scratch", "target": str(database)}},
                "flows": [{"from": "shop", "to": "here", **entry}],
            }

        run_flows(None, flow({}))
        execute(database, "UPDATE t SET v = 'corrected' WHERE id = 4")
        backfill = {"initial_value": "2026-10-03", "end_value": "2026-10-06"}
        with pytest.raises(ConfigurationError, match=r'write_mode = "replace" would delete all rows'):
            run_flows(None, flow(backfill, write_mode="replace"))
        run_flows(None, flow(backfill))
        landed = {row["id"]: row["v"] for row in MemoryDestination.tables(str(database))["t"]}
        assert landed == {n: "corrected" if n == 4 else f"v{n}" for n in range(1, 11)}

    def test_initial_value_bounds_the_first_run_only(self, database: Path) -> None:
        first = run(stream_of(database, options={"initial_value": dt.date(2026, 10, 4)}))
        assert first.column("id") == list(range(4, 11))
        execute(database, "INSERT INTO t VALUES (11, 'new', '2026-10-11 00:00:00')")
        assert run(stream_of(database, options={"initial_value": "2026-10-30"}), first.state).column("id") == [11]

    def test_a_bound_between_the_first_and_its_lookback_is_kept(self, database: Path) -> None:
        """Lookback does not reach below initial_value."""
        execute(database, "INSERT INTO t VALUES (11, 'x', '2026-10-10 00:02:00')")
        first = run(stream_of(database, options={"initial_value": "2026-10-10 00:01:00"}))
        assert first.column("id") == [11]
        assert run(stream_of(database, options={"initial_value": "2026-10-10 00:01:00"}), first.state).rows == []

    def test_a_bound_of_another_type_is_refused(self, database: Path) -> None:
        with pytest.raises(
            ConfigurationError, match=r"tables\.t\.initial_value: 7 does not fit a cursor of type 'iso-space'"
        ):
            run(stream_of(database, options={"initial_value": 7}))


def test_pages_with_limit_use_the_index_from_the_middle(database: Path) -> None:
    """A keyset condition that made SQLite sort or scan would cost the whole rest of the table for each page."""
    from vdk.plugin.datasource_sql import TableQuery, compile_statement
    from vdk.plugin.datasource_sql.statements import CursorRange

    stream = stream_of(database)
    query = TableQuery(stream.plan, stream._backend)
    behind = query.rows(*query.between(CursorRange("a", "z")), query.after("b", (5,)))
    sql = compile_statement(behind.order_by(*query.order).limit(3), stream._backend.dialect).sql
    plan = rows_of(database, "EXPLAIN QUERY PLAN " + re.sub(r"\?", "1", sql))
    assert [row[3] for row in plan] == ["SEARCH t USING INDEX i (updated_at>? AND updated_at<?)"]


class TestMoreRowsAtTheBoundaryThanAreRememberedOneByOne:
    """A table that was filled at once, say: every row has the highest cursor."""

    @pytest.fixture
    def database(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(reader, "CAP", 3)
        monkeypatch.setattr(seen_rows, "GROUPS", 4)
        execute(
            database,
            "UPDATE t SET updated_at = '2026-10-10 00:00:00'",
            ("INSERT INTO t VALUES (?, 'x', '2026-10-10 00:00:00')", [(n,) for n in range(11, 41)]),
        )
        return database

    @pytest.mark.parametrize("index", ["SELECT 1", "DROP INDEX i"])
    def test_they_do_not_come_again_while_nothing_changes(
        self, database: Path, index: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        execute(database, index)
        with caplog.at_level(logging.WARNING):
            first = run(stream_of(database, page_rows=7))
        assert "more than 3 rows lie within lookback" in caplog.text
        assert len(first.rows) == 40
        second = run(stream_of(database, page_rows=7), first.state)
        assert (second.rows, second.states, second.counters) == ([], 0, {"rows_unchanged": 40})

    def test_a_change_comes_with_some_neighbours_and_is_never_dropped(self, database: Path) -> None:
        first = run(stream_of(database))
        execute(
            database, "UPDATE t SET v = 'changed' WHERE id = 17", "INSERT INTO t VALUES (0, 'y', '2026-10-10 00:00:00')"
        )
        second = run(stream_of(database), first.state)
        assert {0, 17} <= set(second.column("id"))
        assert len(second.rows) < 41
        assert run(stream_of(database), second.state).rows == []

    def test_interrupted_anywhere_nothing_is_lost(self, database: Path) -> None:
        first = run(stream_of(database))
        execute(database, "UPDATE t SET v = 'changed' WHERE id IN (1, 17, 40)")
        for stop in range(1, 12):
            landed = interrupted(stream_of(database, page_rows=4), stop, first.state)
            rest = run(stream_of(database, page_rows=4), landed.state)
            ids = [row["id"] for row in landed.rows + rest.rows if row["v"] == "changed"]
            assert sorted(ids) == [1, 17, 40], f"stopped behind payload {stop}"
            assert run(stream_of(database), rest.state).rows == []

    def test_a_row_that_changes_while_they_are_looked_at_comes_with_the_next_run(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its group was the same when it was surveyed, and was passed over for that."""
        first = run(stream_of(database))
        survey = seen_rows.SeenRows.verify

        def surveyed(overlap: Any, now: Any) -> None:
            survey(overlap, now)
            execute(database, "UPDATE t SET v = 'meanwhile' WHERE id = 23")

        with monkeypatch.context() as patch:
            patch.setattr(seen_rows.SeenRows, "verify", surveyed)
            second = run(stream_of(database), first.state)
        third = run(stream_of(database), second.state)
        assert "meanwhile" in second.column("v") + third.column("v")

    def test_a_damaged_memory_is_refused(self, database: Path) -> None:
        state = run(stream_of(database)).state
        state["overlap"]["rows"]["sums"] = "AAAA"
        with pytest.raises(StateError, match="its state is damaged"):
            run(stream_of(database), state)
