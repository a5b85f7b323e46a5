"""Values that are not what their column says: the error's remedy works, for each of them."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import execute, in_bulk, interrupted, run, source_of, stream_of
from vdk.plugin.datasource_base.contract import ConfigurationError

TEXTS = ["plain", b"caf\xe9".decode("utf-8", "surrogateescape")]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


class TestTextThatIsNotUtf8:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        path = tmp_path / "t.db"
        execute(
            path,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w)",
            "INSERT INTO t VALUES (1, 'plain', 5), (2, 'ünïcode', 'x')",
            "INSERT INTO t VALUES (3, CAST(x'636166e9' AS TEXT), CAST(x'80' AS TEXT)), (4, NULL, NULL)",
        )
        return path

    @pytest.mark.parametrize(
        ("how", "type_", "values"),
        [
            ("binary", pa.binary(), [b"plain", "ünïcode".encode(), b"caf\xe9", None]),
            ("latin-1", pa.string(), ["plain", "ünïcode", "café", None]),
            ("cp1252", pa.string(), ["plain", "ünïcode", "café", None]),
        ],
    )
    @pytest.mark.parametrize("bulk", [False, True])
    def test_lands_as_the_option_says(
        self,
        database: Path,
        monkeypatch: pytest.MonkeyPatch,
        how: str,
        type_: pa.DataType,
        values: list[Any],
        bulk: bool,
    ) -> None:
        if bulk:
            in_bulk(monkeypatch)
        stream = stream_of(database, options={"columns": {"v": how, "exclude": ["w"]}, "cursor": "id", "page_rows": 1})
        assert stream.schema().fields.field("v").type == type_
        landed = run(stream)
        assert (landed.rejected, landed.column("v")) == ([], values)

    def test_a_column_without_a_type_and_an_encoding_of_windows(self, database: Path) -> None:
        landed = run(stream_of(database, columns={"W": "cp1252", "v": "binary"}))
        assert landed.column("w") == ["5", "x", "€", None]

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"x": "binary"}, r"tables\.t\.columns: 'x' is not a column"),
            ({"v": "utf-16"}, r"columns.*v.*utf-16|Invalid enum value 'utf-16'"),
            ({"v": ["a"]}, r"tables\.t\.columns\.v: a list of columns is called include or exclude"),
            ({"include": ["v"], "exclude": ["w"]}, "include or exclude, not both"),
        ],
    )
    def test_options_that_are_wrong(self, database: Path, columns: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            stream_of(database, options={"columns": columns})


@pytest.mark.parametrize("order", ["key", "cursor"])
def test_keys_that_are_not_utf8_are_paged_by(database: Path, order: str) -> None:
    """They are bound as the bytes they are, and kept in the state."""
    execute(
        database,
        "CREATE TABLE t (k TEXT PRIMARY KEY, updated_at TEXT)",
        "CREATE INDEX i ON t (updated_at)",
        *(f"INSERT INTO t VALUES (CAST(x'{one}' AS TEXT), '2026-10-01')" for one in ("61", "fe", "ff", "7a")),
    )
    stream = stream_of(database, options={"columns": {"k": "binary"}, "order": order, "page_rows": 1})
    half = interrupted(stream, 3)
    rest = run(stream, half.state)
    assert half.column("k") + rest.column("k") == [b"a", b"z", b"\xfe", b"\xff"]
    json.dumps(rest.state, ensure_ascii=False).encode()
    assert run(stream, rest.state).rows == []


class TestDecimals:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        path = tmp_path / "t.db"
        execute(
            path,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC(12,4), w DECIMAL(5,1))",
            ("INSERT INTO t VALUES (?, ?, 1.5)", [(1, 1 / 7), (2, 1.5), (3, 0.00005), (4, 2.00015), (5, 7), (6, None)]),
        )
        return path

    def test_a_number_with_too_many_decimals_is_a_bad_record_that_says_what_to_do(self, database: Path) -> None:
        landed = run(stream_of(database))
        assert landed.column("id") == [2, 5, 6]
        assert 'tables.t.decimals = { v = "round" }' in str(landed.rejected[0][1])

    @pytest.mark.parametrize("decimals", ["round", {"v": "round"}, {"V": "round", "w": "exact"}])
    def test_they_are_rounded_half_to_even(self, database: Path, decimals: Any) -> None:
        landed = run(stream_of(database, options={"decimals": decimals}))
        assert landed.rejected == []
        assert landed.column("v") == [Decimal(one) for one in ("0.1429", "1.5", "0.0000", "2.0002", "7")] + [None]

    @pytest.mark.parametrize("decimals", ["double", {"v": "double"}])
    def test_or_land_as_doubles(self, database: Path, decimals: Any) -> None:
        execute(database, "INSERT INTO t (id, v) VALUES (7, 9007199254740993)")
        landed = run(stream_of(database, decimals=decimals))
        assert landed.column("v") == [1 / 7, 1.5, 0.00005, 2.00015, 7.0, None]
        assert [error.value for _, error in landed.rejected] == [2**53 + 1]
        assert stream_of(database, decimals=decimals).schema().fields.field("w").type == (
            pa.float64() if decimals == "double" else pa.decimal128(5, 1)
        )

    def test_what_is_too_large_stays_a_bad_record(self, database: Path) -> None:
        execute(database, "INSERT INTO t (id, v) VALUES (7, 1e12), (8, 'x'), (9, 9e999)")
        landed = run(stream_of(database, decimals="round"))
        assert [error.value for _, error in landed.rejected] == [1e12, "x", float("inf")]

    def test_a_column_that_is_no_decimal_is_refused(self, database: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"tables\.t\.decimals\.id: the column is declared INTEGER"):
            run(stream_of(database, options={"decimals": {"id": "round"}}))


class TestCursorsThatStandForNone:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        path = tmp_path / "t.db"
        execute(
            path,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)",
            "CREATE INDEX i ON t (updated_at)",
            "INSERT INTO t VALUES (1, '2026-10-01'), (2, ''), (3, '0000-00-00'), (4, '2026-10-02'), (5, NULL)",
        )
        return path

    NULLS = ("", "0000-00-00")

    def test_without_the_option_they_are_refused_and_the_error_names_it(self, database: Path) -> None:
        with pytest.raises(ConfigurationError, match=r'tables\.t\.null_cursor_values = \["", "0000-00-00"\]'):
            run(stream_of(database))

    def test_they_land_as_they_are_and_are_counted_as_rows_without_a_cursor(self, database: Path) -> None:
        stream = stream_of(database, null_cursor_values=self.NULLS, page_rows=1)
        first = run(stream)
        assert sorted(first.column("id")) == [1, 2, 3, 4, 5]
        assert {row["id"]: row["updated_at"] for row in first.rows}[3] == "0000-00-00"
        assert first.counters["rows_null_cursor"] == 3
        assert first.state["high_watermark"]["cursor"] == "2026-10-02"
        assert run(stream, first.state).rows == []
        execute(database, "UPDATE t SET updated_at = '' WHERE id = 5", "INSERT INTO t VALUES (6, '2026-10-03')")
        assert sorted(run(stream, first.state).column("id")) == [5, 6]

    def test_the_policy_for_rows_without_a_cursor_holds_for_them(self, database: Path) -> None:
        options: dict[str, Any] = {"null_cursor_values": self.NULLS, "null_cursor": "exclude"}
        assert sorted(run(stream_of(database, **options)).column("id")) == [1, 4]

    def test_the_next_cursor_column_is_taken(self, database: Path) -> None:
        execute(database, "ALTER TABLE t ADD COLUMN created TEXT", "UPDATE t SET created = '2026-09-01'")
        options = {"cursor": ["updated_at", "created"], "null_cursor_values": self.NULLS}
        landed = run(stream_of(database, options=options))
        assert (sorted(landed.column("id")), landed.counters) == ([1, 2, 3, 4, 5], {})

    def test_numbers(self, database: Path) -> None:
        execute(
            database,
            "CREATE TABLE u (id INTEGER PRIMARY KEY, n INTEGER)",
            "INSERT INTO u VALUES (1, 0), (2, 1790000000)",
        )
        landed = run(stream_of(database, "u", options={"cursor": "n", "null_cursor_values": [0]}))
        assert (sorted(landed.column("id")), landed.counters) == ([1, 2], {"rows_null_cursor": 1})


@pytest.mark.parametrize("option", ["initial_value", "end_value"])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30, float("inf"), float("nan")])
def test_a_bound_that_no_integer_of_a_database_reaches_is_refused(database: Path, option: str, value: Any) -> None:
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with pytest.raises(ConfigurationError, match=rf"tables\.t\.{option}: "):
        run(stream_of(database, options={"cursor": "id", option: value}))


def test_a_date_beyond_nanoseconds_of_64_bits_is_refused(database: Path) -> None:
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO t VALUES (1, 1)")
    options = {"cursor": "n", "cursor_format": "epoch_ns", "initial_value": "9999-01-01"}
    with pytest.raises(ConfigurationError, match=r"initial_value: 9999-01-01 is beyond"):
        run(stream_of(database, options=options))


def test_a_lookback_beyond_64_bits_reads_from_the_start(database: Path) -> None:
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    stream = stream_of(database, options={"cursor": "n", "cursor_format": "epoch_ns", "lookback": "200000d"})
    first = run(stream)
    assert (first.column("id"), run(stream, first.state).rows) == ([1, 2], [])


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"where": {"sql": "id < :n", "params": {"n": 2**63}}}, r"tables\.t\.where\.params\.n"),
        ({"cursor": "id", "null_cursor_values": [2**70]}, r"tables\.t\.null_cursor_values"),
    ],
)
def test_other_values_beyond_64_bits_are_refused_by_name(database: Path, options: dict[str, Any], place: str) -> None:
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with pytest.raises(ConfigurationError, match=place):
        run(stream_of(database, options=options))


def test_options_for_all_tables_that_name_no_column_are_warned_of(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    with caplog.at_level(logging.WARNING):
        source_of(database, columns={"nam": "binary"}, decimals={"amount": "round"})
    assert "columns: no table has a column 'nam'" in caplog.text
    assert "decimals: no table has a column 'amount'" in caplog.text
