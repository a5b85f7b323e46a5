"""What a run says of a replaced table that is not as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import execute
from test_first_run_empty import land, landed


@pytest.mark.parametrize(
    ("before", "change", "note", "warning"),
    [
        (
            "CREATE TABLE t (a INT, d TEXT)",
            "ALTER TABLE t DROP COLUMN d",
            "column 'd' of table 't' is gone",
            "column 'd' of table 't' is gone: the source does not have it any more",
        ),
        (
            "CREATE TABLE t (a INT, d DATE)",
            "DELETE FROM t",
            "rows before 1",
            "the source has no rows now, so table 't' is empty, which had 1. .*expect = { rows_min = 1 }",
        ),
        (
            "CREATE TABLE t (a INT, d DATE)",
            "UPDATE t SET d = '2026-01-02'",
            "changed its type from VARCHAR to DATE",
            "to DATE, which holds every value that the table has now",
        ),
    ],
)
def test_what_is_not_as_it_was_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, change: str, note: str, warning: str
) -> None:
    shop = tmp_path / "shop.db"
    execute(shop, before, "INSERT INTO t VALUES (1, '2026-02-30')")
    land(shop)
    execute(shop, change)
    assert note in land(shop).table()
    assert re.search(warning, caplog.text)
    assert note not in land(shop).table()
    assert landed(shop, "SELECT count(*) FROM t") == [(0 if change.startswith("DELETE") else 1,)]


@pytest.mark.parametrize(
    ("table", "values", "told"),
    [
        ("id INTEGER PRIMARY KEY, day date", ("'2026-01-01'", "'2026-02-30'"), "dates, such as .2026-02-30. at key 2"),
        ("id INT, day DATE", ("'2026-01-01'", "'01.02.2026'"), r"such as '01.02.2026'\. Correct"),
        ("id INT, day DATETIME", ("'2026-01-01 10:00:00'", "'soon'"), "times of one form, such as .soon."),
        ("id INT, day DATE", ("'2026-01-01'", "NULL"), None),
        ("id INT, day DATE", ("'2026-01-01'", "'2026-01-01 10:00:00'"), None),
        ("id INT, day UUID", ("'a'", "'b'"), None),
    ],
)  # fmt: skip
def test_a_column_of_times_that_lands_as_text_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, table: str, values: tuple[str, str], told: str | None
) -> None:
    shop = tmp_path / "shop.db"
    execute(shop, f"CREATE TABLE t ({table})", f"INSERT INTO t VALUES (1, {values[0]}), (2, {values[1]})")
    land(shop)
    warnings = [record.message for record in caplog.records if "lands as text" in record.message]
    assert len(warnings) == (told is not None)
    assert told is None or re.search(told, warnings[0])
    caplog.clear()
    land(shop, dynamic_types="text")
    assert "lands as text" not in caplog.text
