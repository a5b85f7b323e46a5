"""A table that lies behind its state: a backup that was restored, or another database under the same name."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from support import execute, run, stream_of
from vdk.plugin.datasource_base.contract import StateError

PUT_BACK = "the highest cursor is {}, and the last run had come to {}"


@pytest.fixture(params=["INTEGER PRIMARY KEY", "INTEGER"], ids=["key", "no key"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Ten rows, with a backup ``shop.old`` of the first five."""
    path = tmp_path / "shop.db"
    execute(path, f"CREATE TABLE t (k {request.param}, v TEXT, n INTEGER)", "CREATE INDEX i ON t (n)")
    insert(path, range(1, 6))
    shutil.copy(path, tmp_path / "shop.old")
    insert(path, range(6, 11))
    return path


def insert(path: Path, numbers: range) -> None:
    execute(path, ("INSERT INTO t VALUES (?, 'v', ?)", [(n, n) for n in numbers]))


def restore(path: Path) -> None:
    shutil.copy(path.with_suffix(".old"), path)


def test_a_restored_backup_is_warned_of_in_each_run(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = run(stream_of(shop, options={"cursor": "n"})).state
    restore(shop)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            landed = run(stream_of(shop, options={"cursor": "n"}), state)
        assert landed.rows == []
        assert PUT_BACK.format(5, 10) in caplog.text
        assert 'tables.t.on_source_behind = "fail"' in caplog.text
        state = landed.state
    assert state["high_watermark"]["cursor"] == 10
    caplog.clear()
    insert(shop, range(6, 13))  # as if the right database were put back
    with caplog.at_level(logging.WARNING):
        assert run(stream_of(shop, options={"cursor": "n"}), state).column("k") == [11, 12]
    assert caplog.text == ""


def test_on_source_behind_fail_makes_it_an_error(shop: Path) -> None:
    stream = stream_of(shop, options={"cursor": "n", "on_source_behind": "fail"})
    state = run(stream).state
    restore(shop)
    with pytest.raises(StateError, match=r"'t': the highest cursor is 5, .* 10\. .*state reset.*\"warn\""):
        run(stream, state)


@pytest.mark.parametrize("allowed", [False, True])
def test_another_database_is_an_error_unless_it_is_allowed(
    shop: Path, caplog: pytest.LogCaptureFixture, allowed: bool
) -> None:
    """None of the rows that had the lowest cursors is there."""
    state = run(stream_of(shop, options={"cursor": "n"})).state
    execute(shop, "DELETE FROM t", "INSERT INTO t VALUES (1, 'of another shop', 0), (2, 'too', 9)")
    if allowed:
        assert run(stream_of(shop, options={"cursor": "n", "on_source_behind": "warn"}), state).rows == []
        assert PUT_BACK.format(9, 10) in caplog.text
        return
    if "PRIMARY" not in repr(stream_of(shop).plan.table) and not stream_of(shop).plan.primary_key:
        execute(shop, "UPDATE t SET n = 0.5 WHERE n = 9")  # without a key, rows are told apart by their cursors alone
    with pytest.raises(StateError, match=r"'t': the highest cursor is .* another database\. Reset the state"):
        run(stream_of(shop, options={"cursor": "n"}), state)


def test_rows_that_changed_since_do_not_show_another_database(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All old rows change, so that a backup has none of the rows that were remembered at first."""
    state = run(stream_of(shop, options={"cursor": "n"})).state
    execute(shop, "UPDATE t SET n = n + 100 WHERE k < 9")
    state = run(stream_of(shop, options={"cursor": "n"}), state).state
    shutil.copy(shop, shop.with_suffix(".old"))
    execute(shop, "UPDATE t SET n = n + 1000 WHERE k < 7")
    state = run(stream_of(shop, options={"cursor": "n"}), state).state
    restore(shop)
    assert run(stream_of(shop, options={"cursor": "n"}), state).rows == []
    assert "had come to 1106" in caplog.text


def test_a_state_without_remembered_rows_warns(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As those of the first release."""
    state = run(stream_of(shop, options={"cursor": "n"})).state
    del state["oldest"]
    restore(shop)
    assert run(stream_of(shop, options={"cursor": "n"}), state).rows == []
    assert PUT_BACK.format(5, 10) in caplog.text


def test_an_emptied_table_is_not_behind(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = run(stream_of(shop, options={"cursor": "n"})).state
    execute(shop, "DELETE FROM t")
    assert run(stream_of(shop, options={"cursor": "n"}), state).rows == []
    assert caplog.text == ""
