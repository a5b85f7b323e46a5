"""Pages that are read as one value have the rows that the driver's cursor reads."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from support import run, stream_of
from types_of_mysql import TYPES
from vdk.plugin.datasource_base.testing.mariadb import Server
from vdk.plugin.source_mysql import backend, bulk


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is large enough."""
    monkeypatch.setattr(bulk, "MIN_BULK_ROWS", 0)
    monkeypatch.setattr(bulk, "MIN_PAGE_ROWS", 1)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pages that were read in bulk."""
    sizes: list[int] = []
    original = bulk.ArrowPage.__init__

    def counted(self: Any, received: Any, *arguments: Any) -> None:
        sizes.append(received.num_rows)
        original(self, received, *arguments)

    monkeypatch.setattr(bulk.ArrowPage, "__init__", counted)
    return sizes


def every_type(server: Server) -> None:
    """A table of 30 rows, with a value of each type in every other row."""
    types = [(case.declared, case.literal) for case in TYPES if "zerofill" not in case.declared]
    columns = ", ".join(f"c{number} {type_}" for number, (type_, _) in enumerate(types))
    server.query(
        "shop", f"CREATE TABLE t (id int PRIMARY KEY, updated_at datetime(3), {columns}, KEY (updated_at, id))"
    )
    for first in range(0, 30, 2):
        at = f"'2026-01-01' + INTERVAL {first} MILLISECOND".replace("MILLISECOND", "SECOND")
        server.query("shop", f"INSERT INTO t VALUES ({first}, {at}, {', '.join(value for _, value in types)})")
        server.query("shop", f"INSERT INTO t (id, updated_at) VALUES ({first + 1}, {at})")


@pytest.mark.parametrize("order", ["cursor", "key"])
def test_all_types_are_those_of_the_cursor(
    server: Server, monkeypatch: pytest.MonkeyPatch, pages: list[int], order: str
) -> None:
    """Values and hashes: the next run takes each row for known, whichever way it reads it."""
    every_type(server)
    rows = run(stream_of(server, page_rows=4, order=order))
    assert not pages
    monkeypatch.setattr(bulk, "MIN_BULK_ROWS", 0)
    monkeypatch.setattr(bulk, "MIN_PAGE_ROWS", 1)
    landed = run(stream_of(server, page_rows=4, order=order))
    assert sum(pages) == 26  # all but the first page
    assert landed.rows == rows.rows
    assert landed.state == rows.state
    monkeypatch.setattr(bulk, "MIN_BULK_ROWS", 10**9)
    assert run(stream_of(server, page_rows=4, order=order), landed.state).rows == []


@pytest.mark.usefixtures("always")
def test_texts_and_numbers_are_exact(server: Server, pages: list[int]) -> None:
    """Whatever characters a text has, and all digits of a double."""
    server.query(
        "shop",
        "CREATE TABLE t (id int PRIMARY KEY, a text, b varchar(99) COLLATE utf8mb4_bin, "
        "c varchar(99) CHARACTER SET latin1, x double, y float, updated_at datetime, KEY (updated_at, id))",
    )
    texts = ['"', '""', ",", "\n", "\r\n", "", " ", "\\N", "NULL", "'", "\0", "\\", "ö\U0001f600", '",\n"', "a,b"]
    for number, text in enumerate(texts * 4):
        latin = "ö" if "\U0001f600" in text else text
        values = [number, text, text, latin, 1.1 * 3.3**number, 0.1 * number, number]
        server.query("shop", "INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, '2026-01-01' + INTERVAL %s SECOND)", values)
    landed = run(stream_of(server, page_rows=7))
    assert sum(pages) == 53
    assert landed.column("a") == texts * 4
    assert landed.column("b") == texts * 4
    assert landed.column("x") == [1.1 * 3.3**number for number in range(60)]
    assert landed.column("y") == [row[0] for row in server.query("shop", "SELECT y * 1e0 FROM t ORDER BY id")]


@pytest.mark.usefixtures("always")
def test_a_bad_record_is_rejected_alone(server: Server, pages: list[int]) -> None:
    """The other rows of its page land, and the next page is read in bulk again."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, d date, updated_at datetime, KEY (updated_at, id))")
    server.query(
        "shop",
        "SET STATEMENT sql_mode = '' FOR INSERT INTO t SELECT seq, IF(seq = 20, '2026-00-00', NULL), "
        "'2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_32",
    )
    landed = run(stream_of(server, page_rows=4))
    assert [row["id"] for row, _ in landed.rejected] == [20]
    assert landed.column("id") == [number for number in range(1, 33) if number != 20]
    assert sum(pages) == 28


@pytest.mark.usefixtures("always")
def test_a_page_that_is_too_long_for_the_server_is_made_smaller(
    server: Server, pages: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A value of a result ends at max_allowed_packet, which only a warning of the server reports."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, a mediumtext, updated_at datetime, KEY (updated_at, id))")
    server.query(
        "shop", "INSERT INTO t SELECT seq, REPEAT('x', 1000000), '2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_60"
    )
    with caplog.at_level(logging.DEBUG):
        landed = run(stream_of(server, page_rows=20))
    assert landed.column("id") == list(range(1, 61))
    assert {len(text) for text in landed.column("a")} == {1_000_000}
    assert pages[0] == 5


@pytest.mark.usefixtures("always")
def test_a_run_that_ends_in_bulk_is_continued(server: Server, pages: list[int]) -> None:
    """From the state of any page."""
    server.query("shop", "CREATE TABLE t (id bigint unsigned PRIMARY KEY, updated_at date, KEY (updated_at, id))")
    server.query("shop", "INSERT INTO t SELECT seq, '2026-01-01' + INTERVAL seq DIV 40 DAY FROM seq_1_to_100")
    stream = stream_of(server, page_rows=7)
    for count in (1, 2, 5, 14):
        state: dict[str, Any] = {}
        ids: list[int] = []
        for _, payload in zip(range(count), stream.read({}), strict=False):
            ids += payload.data.column("id").to_pylist()  # type: ignore[union-attr]  # the payloads are batches
            state = dict(payload.state or state)
        assert sorted({*ids, *run(stream, state).column("id")}) == list(range(1, 101))
    assert pages


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("index", [", KEY (updated_at, id)", ", KEY (updated_at)"])
@pytest.mark.parametrize("ties", [5, 16, 20, 23])
def test_rows_with_one_cursor_are_read_by_themselves(
    server: Server, pages: list[int], monkeypatch: pytest.MonkeyPatch, ties: int, index: str
) -> None:
    """Else each page of them would begin with the first. InnoDB's indexes all end with the primary key."""
    groups: list[Any] = []
    original = bulk.MysqlBulkReader._ties

    def noted(self: bulk.MysqlBulkReader, page: bulk.ArrowPage) -> Any:
        groups.append(page.only_cursor)
        return original(self, page)

    monkeypatch.setattr(bulk.MysqlBulkReader, "_ties", noted)
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, updated_at datetime{index})")
    server.query(
        "shop",
        f"INSERT INTO t SELECT seq, '2026-01-01' + INTERVAL IF(seq <= 6, 0, IF(seq <= 6 + {ties}, 1, seq)) SECOND "
        "FROM seq_1_to_40",
    )
    landed = run(stream_of(server, page_rows=4))
    assert landed.column("id") == list(range(1, 41))
    assert sum(pages) == 36
    assert set(groups) == (set() if ties == 5 else {"2026-01-01 00:00:01"})


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("cut", [249, 248, 247, 240, 231, 226])
def test_a_page_that_is_cut_between_its_rows_is_noticed(
    server: Server, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Or in a number: nothing in the text itself shows that more should follow."""
    monkeypatch.setitem(backend._SETTINGS, "group_concat_max_len", str(cut))
    server.query("shop", "CREATE TABLE t (updated_at datetime, id int PRIMARY KEY, KEY (updated_at))")
    server.query("shop", "INSERT INTO t SELECT '2026-01-01' + INTERVAL seq SECOND, seq FROM seq_10_to_44")
    assert len("2026-01-01 00:00:10,10,.\n") == 25
    assert run(stream_of(server, page_rows=20)).column("id") == list(range(10, 45))


@pytest.mark.parametrize(
    ("type_", "window", "expected"),
    [(pa.int64(), 1.25, [2, 3]), (pa.int64(), 2.0, [2, 3]), (pa.uint64(), -0.5, [1, 2, 3]), (pa.float64(), 2.5, [3])],
)
def test_a_window_may_begin_between_two_integers(type_: pa.DataType, window: float, expected: list[int]) -> None:
    """As one of Julian days does, which a column of integers holds."""
    query: Any = SimpleNamespace(cursor_index=0, plan=SimpleNamespace(columns=()))
    page = bulk.ArrowPage(pa.table({"c": pa.array([1, 2, 3], type_)}), (), query)
    assert [cursor for (cursor,) in page.rows_from(window)] == expected
