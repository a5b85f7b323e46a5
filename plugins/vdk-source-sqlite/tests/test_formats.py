"""Cursors as SQLite columns hold them: text, integers and reals, and mixtures of them."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

from support import NOW, execute, run, stream_of
from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_sql.cursors import CursorFormat, Epoch, IsoText, JulianDay, detect_number, detect_text

BASE = dt.datetime(2026, 10, 1, 10, 0, tzinfo=dt.UTC)


def moment(number: int) -> dt.datetime:
    return BASE + dt.timedelta(hours=number)


def epoch(number: int) -> int:
    return int(moment(number).timestamp())


FORMATS: dict[str, tuple[str, Any]] = {
    "space": ("iso-space", lambda n: moment(n).strftime("%Y-%m-%d %H:%M:%S")),
    "T": ("iso-T", lambda n: moment(n).strftime("%Y-%m-%dT%H:%M:%S")),
    "minutes": ("iso-space", lambda n: moment(n).strftime("%Y-%m-%d %H:%M")),
    "three decimals": ("iso-space", lambda n: moment(n).strftime("%Y-%m-%d %H:%M:%S.000")),
    "six decimals": ("iso-T", lambda n: moment(n).strftime("%Y-%m-%dT%H:%M:%S.000000")),
    "decimals where there are any": (
        "iso-T",
        lambda n: (moment(n) + dt.timedelta(microseconds=n % 3 * 7)).replace(tzinfo=None).isoformat(),
    ),
    "Z": ("iso-T.0Z", lambda n: moment(n).strftime("%Y-%m-%dT%H:%M:%SZ")),
    "milliseconds and Z": ("iso-T.3Z", lambda n: moment(n).strftime("%Y-%m-%dT%H:%M:%S.123Z")),
    "offset": ("iso-space+02:00", lambda n: moment(n + 2).strftime("%Y-%m-%d %H:%M:%S+02:00")),
    "offset and decimals": ("iso-T+00:00", lambda n: (moment(n) + dt.timedelta(microseconds=n % 3)).isoformat()),
    "UTC": ("iso-space UTC", lambda n: moment(n).strftime("%Y-%m-%d %H:%M:%S UTC")),
    "date": ("iso-date", lambda n: (BASE.date() + dt.timedelta(days=n)).isoformat()),
    "epoch seconds": ("epoch_s", epoch),
    "epoch milliseconds": ("epoch_ms", lambda n: epoch(n) * 1000 + 123),
    "epoch microseconds": ("epoch_us", lambda n: epoch(n) * 10**6 + 123456),
    "epoch nanoseconds": ("epoch_ns", lambda n: epoch(n) * 10**9 + 123456789),
    "epoch seconds with decimals": ("epoch_s", lambda n: epoch(n) + 0.25),
    "Julian day": ("julian_day", lambda n: 2440587.5 + epoch(n) / 86400),
    "plain numbers": ("number", lambda n: n * 10),
    "plain reals": ("number", lambda n: n + 0.5),
}


@pytest.mark.parametrize("index", ["CREATE INDEX i ON t (updated_at)", "SELECT 1"])
@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read_incrementally(tmp_path: Path, name: str, index: str) -> None:
    """First run, boundary row, late row, new row: the same for every format."""
    tag, value = FORMATS[name]
    path = tmp_path / "t.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
        index,
        ("INSERT INTO t VALUES (?, ?)", [(n, value(n)) for n in range(1, 20)]),
    )
    first = run(stream_of(path, page_rows=4))
    assert first.column("id") == list(range(1, 20))
    assert first.state["type"] == tag
    assert run(stream_of(path), first.state).rows == []
    execute(path, ("INSERT INTO t VALUES (?, ?)", [(100, value(19)), (101, value(20))]))
    assert run(stream_of(path), first.state).column("id") == [100, 101]


@pytest.mark.parametrize("name", [name for name, (tag, _) in FORMATS.items() if tag != "number"])
def test_times_of_the_future_are_seen_in_each_format(tmp_path: Path, name: str) -> None:
    _, value = FORMATS[name]
    path = tmp_path / "t.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
        ("INSERT INTO t VALUES (?, ?)", [(n, value(n)) for n in range(1, 6)]),
    )
    now = BASE + (dt.timedelta(days=3) if name == "date" else dt.timedelta(hours=3, seconds=1))
    landed = run(stream_of(path, now=now))
    assert landed.column("id") == [1, 2, 3]
    assert landed.counters["rows_held_back"] == 2


@pytest.mark.parametrize("index", ["CREATE INDEX i ON t (updated_at)", "SELECT 1"])
@pytest.mark.parametrize(
    ("values", "shapes"),
    [
        (["2026-10-01 10:00:00", "2026-10-01T10:00:00"], ["1 of text like YYYY-MM-DD HH:MM:SS", "YYYY-MM-DDTHH:MM:SS"]),
        (["10-31-2026", "11-30-2025"], ["format that does not sort like time: 2 of text like '99-99-9999'"]),
        (["2026-10-01", 1790000000], ["1 of text like YYYY-MM-DD", "1 of numbers (seconds since 1970)"]),
        ([1790000000, 1790000000000], ["numbers (seconds since 1970)", "numbers (milliseconds since 1970)"]),
        (["2026-10-01T10:00:00Z", "2026-10-02T10:00:00"], ["HH:MM:SS with Z and 0 decimals", "text like"]),
        (["2026-10-01T10:00:00Z", "2026-10-02T10:00:00.5Z"], ["Z and 0 decimals", "Z and 1 decimals"]),
        (["2026-10-01 10:00:00+02:00", "2026-10-01 10:00:00+01:00"], ["with +02:00", "with +01:00"]),
        (["2026-10-01", "2026-10-01 10:00:00"], ["text like YYYY-MM-DD ", "HH:MM:SS"]),
        (["2026-10-01", b"2026"], ["blobs"]),
        (["2026-10-01 10:00:00", "2026-10-02 10:00:00", "yesterday"], ["1 of text like 'A'"]),
        (["2026-13-45 10:00:00"], ["does not sort"]),
    ],
)
def test_mixed_and_unsortable_formats_are_refused(
    tmp_path: Path, values: list[Any], shapes: list[str], index: str
) -> None:
    """The error says which formats, how many rows of each, a key of each, and what to do; nothing is delivered."""
    path = tmp_path / "t.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
        index,
        ("INSERT INTO t VALUES (?, ?)", [(n + 40, value) for n, value in enumerate(values)]),
    )
    stream = stream_of(path, page_rows=1)
    with pytest.raises(ConfigurationError) as error:
        next(stream.read({}))
    message = str(error.value)
    assert message.startswith("stream 't': the cursor 'updated_at' ")
    offered = re.findall(r'cursor_format = "(\w+)"|or "(text)"', message)
    assert bool(offered) != ("No format reads all of them: correct the 1 that are not" in message)
    for part in [*shapes, "at key 40", "tables.t.cursor = false", "replace"]:
        assert part in message
    for name in (first or second for first, second in offered):
        assert len(list(stream_of(path, cursor_format=name).read({})))


@pytest.mark.parametrize("index", ["CREATE INDEX i ON t (updated_at)", "SELECT 1"])
@pytest.mark.parametrize(
    ("first", "before", "after"),
    [
        ("2026-09-01T10:00:00", "2026-10-01T10:00:00", "2026-10-01 23:00:00"),
        ("2026-09-01 10:00:00", "2026-10-01 10:00:00", "2026-10-01T11:00:00"),
        ("2026-09-01 10:00:00+02:00", "2026-10-01 10:00:00+02:00", "2026-10-01 09:30:00+01:00"),
        ("2026-09-01T10:00:00Z", "2026-10-01T10:00:00Z", "2026-10-01T10:30:00.5Z"),
        ("2026-09-01 10:00:00", "2026-10-01 10:00:00", 1790000000),
        ("2026-09-01 10:00:00", "2026-10-01 10:00:00", "10-31-2026"),
        (1780000000, 1790000000, "2026-10-01 10:00:00"),
    ],
)
def test_an_application_that_changes_its_format_is_noticed(
    tmp_path: Path, first: Any, before: Any, after: Any, index: str
) -> None:
    """Also where the new rows sort below the watermark, so that no run would have read them."""
    path = tmp_path / "t.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
        index,
        ("INSERT INTO t VALUES (0, ?), (1, ?)", (first, before)),
    )
    landed = run(stream_of(path))
    execute(path, ("INSERT INTO t VALUES (2, ?)", (after,)))
    with pytest.raises(ConfigurationError, match="mixes formats"):
        run(stream_of(path), landed.state)


@pytest.mark.parametrize("odd", ["2026-10-05T10:00:00", "2026-10-05 10:00:00,5", "2026-10-05 10:00 at night"])
def test_every_row_that_is_read_is_checked(tmp_path: Path, odd: str) -> None:
    """With an index, a later run looks at its ends and its last day; what lies between is checked as it comes."""
    path = tmp_path / "t.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
        "CREATE INDEX i ON t (updated_at)",
        "INSERT INTO t VALUES (1, '2026-10-01 10:00:00')",
    )
    landed = run(stream_of(path))
    execute(path, ("INSERT INTO t VALUES (?, ?)", [(2, odd), (3, "2026-10-20 10:00:00")]))
    with pytest.raises(ConfigurationError, match=r"1 of text like .* at key 2"):
        run(stream_of(path), landed.state)


class TestCursorFormat:
    def table(self, path: Path, *values: Any) -> Path:
        execute(
            path,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
            ("INSERT INTO t VALUES (?, ?)", [(n, value) for n, value in enumerate(values, 1)]),
        )
        return path

    def test_a_pattern_makes_unsortable_text_sort(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "t.db", "11-30-2025", "10-31-2026", "01-15-2026")
        options = {"cursor_format": "%m-%d-%Y"}
        first = run(stream_of(path, options=options))
        assert first.state["high_watermark"]["cursor"] == "2026-10-31"
        assert first.column("updated_at") == ["11-30-2025", "10-31-2026", "01-15-2026"]
        execute(path, "INSERT INTO t VALUES (4, '11-01-2026')")
        assert run(stream_of(path, options=options), first.state).column("id") == [4]

    def test_a_pattern_with_a_time_of_day(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "t.db", "30.10.2026 23:59", "31.10.2026 00:01")
        first = run(stream_of(path, options={"cursor_format": "%d.%m.%Y %H:%M"}))
        assert first.state["high_watermark"]["cursor"] == "2026-10-31 00:01"

    def test_what_does_not_match_the_pattern_is_refused(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "t.db", "11-30-2025", "2026-01-01 x")
        with pytest.raises(ConfigurationError, match="mixes formats"):
            run(stream_of(path, options={"cursor_format": "%m-%d-%Y"}))

    def test_iso_reads_any_mix_of_iso_texts(self, tmp_path: Path) -> None:
        """Offsets, separators and fractions of any kind, compared in UTC to the millisecond."""
        path = self.table(
            tmp_path / "t.db", "2026-10-01T12:00:00+02:00", "2026-10-01 10:30", "2026-10-01T10:15:00.250Z", "2026-09-30"
        )
        first = run(stream_of(path, options={"cursor_format": "iso"}))
        assert sorted(first.column("id")) == [1, 2, 3, 4]
        assert first.state["high_watermark"]["cursor"] == "2026-10-01 10:30:00.000"
        execute(path, "INSERT INTO t VALUES (5, '2026-10-01T13:00:00+02:00')")
        assert run(stream_of(path, options={"cursor_format": "iso"}), first.state).column("id") == [5]

    def test_iso_refuses_what_is_none(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "t.db", "2026-10-01", "yesterday")
        with pytest.raises(ConfigurationError, match=r"tables\.t\.cursor"):
            run(stream_of(path, options={"cursor_format": "iso"}))

    def test_text_takes_identifiers_that_sort(self, tmp_path: Path) -> None:
        """A ULID, for one. Compared by bytes."""
        path = self.table(tmp_path / "t.db", "01J9Z", "01JA0", "01ja0")
        options = {"cursor_format": "text"}
        first = run(stream_of(path, options=options, page_rows=1))
        assert sorted(first.column("id")) == [1, 2, 3]
        assert first.state["high_watermark"]["cursor"] == "01ja0"

    @pytest.mark.parametrize("index", ["CREATE INDEX i ON t (c)", "SELECT 1"])
    def test_text_is_compared_by_bytes_whatever_the_columns_collation(self, tmp_path: Path, index: str) -> None:
        """Under NOCASE 'a' and 'A' are one value to the database and two to the reader, who would skip one."""
        path = tmp_path / "t.db"
        execute(
            path,
            "CREATE TABLE t (v INTEGER, c TEXT COLLATE NOCASE)",
            ("INSERT INTO t VALUES (?, ?)", [(n, c) for n, c in enumerate("aAbBaAzZ")]),
            index,
        )
        options = {"cursor": "c", "cursor_format": "text"}
        first = run(stream_of(path, options=options, page_rows=1))
        assert sorted(first.column("v")) == list(range(8))
        assert first.state["high_watermark"]["cursor"] == "z"
        assert run(stream_of(path, options=options), first.state).rows == []

    def test_number_takes_large_counters_for_what_they_are(self, tmp_path: Path) -> None:
        """Else a counter above a hundred million reads as seconds since 1970, and may lie in the future."""
        path = self.table(tmp_path / "t.db", 5_000_000_000, 5_000_000_001)
        assert run(stream_of(path)).counters == {"rows_held_back": 2}
        assert run(stream_of(path, options={"cursor_format": "number"})).column("id") == [1, 2]

    def test_a_counter_that_grows_into_the_range_of_times_stays_a_counter(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "t.db", 99_999_999)
        first = run(stream_of(path))
        execute(path, "INSERT INTO t VALUES (2, 100000000)")
        assert run(stream_of(path), first.state).column("id") == [2]

    def test_lookback_and_bounds_apply_to_epoch_numbers(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "t.db", *(epoch(n) * 1000 for n in range(5)))
        options = {"initial_value": moment(2), "end_value": "2026-10-01T14:00:00Z"}
        assert run(stream_of(path, options=options)).column("id") == [3, 4]
        first = run(stream_of(path))
        execute(path, ("INSERT INTO t VALUES (9, ?)", (epoch(4) * 1000 - 299_999,)))
        assert run(stream_of(path), first.state).column("id") == [9]

    def test_a_duration_for_a_cursor_of_plain_numbers_is_refused(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "t.db", 1, 2)
        with pytest.raises(
            ConfigurationError, match=r"tables\.t\.lookback: the cursor is of type 'number', which has no duration"
        ):
            run(stream_of(path, options={"lookback": "5m"}))
        assert run(stream_of(path, lookback="5m")).column("id") == [1, 2]

    @pytest.mark.parametrize(("name", "hint"), [("epoch", "epoch_s"), ("%m/%d", "%Y"), ("%Y-%m-%d-%Y", "once")])
    def test_an_unknown_one_is_refused(self, tmp_path: Path, name: str, hint: str) -> None:
        path = self.table(tmp_path / "t.db", "2026-10-01")
        with pytest.raises(ConfigurationError, match=hint):
            run(stream_of(path, options={"cursor_format": name}))


INSTANTS = [0, 1, 999_999, 1_000_000, 59_999_999, 60_000_000, 3_600_000_000, 86_400_000_000, 86_399_999_999]


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize(
    ("form", "write"),
    [
        (IsoText(" "), lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f")),
        (IsoText("T"), lambda at: at.replace(tzinfo=None).isoformat()),
        (IsoText("T", "+00:00"), lambda at: at.isoformat()),
        (IsoText("T", "Z", 6), lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
        (IsoText("T", "Z", 0), lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ")),
        (IsoText("T", "Z", 3), lambda at: at.isoformat(timespec="milliseconds").replace("+00:00", "Z")),
        (IsoText(""), lambda at: at.strftime("%Y-%m-%d")),
    ],
)
def test_a_bound_separates_as_the_instants_do(form: CursorFormat, write: Any, instant: int) -> None:
    """For every stored text: text >= bound exactly when its instant is at or after the bound's."""
    start = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
    zero = int(start.timestamp()) * 10**6
    bound = form.bound(zero + instant)
    for other in INSTANTS:
        stored = write(start + dt.timedelta(microseconds=other))
        assert (stored >= bound) == (form.instant(stored) >= zero + instant), (stored, bound)


def test_formats_are_told_apart_by_their_values() -> None:
    assert detect_text("2026-10-01T10:00:00.123Z", "UTC") == IsoText("T", "Z", 3)
    assert detect_text("2026-02-30", "UTC") is None
    assert detect_number(1_790_000_000, whole=True) == Epoch("s")
    assert detect_number(2_461_000.5, whole=False) == JulianDay()
    assert detect_number(2_461_000, whole=True).tag == "number"
    assert NOW.year == 2026
