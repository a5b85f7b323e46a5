"""The classes of the suite with fixtures for the reference sources; pytest does not collect this module."""

from __future__ import annotations

import hashlib
import socketserver
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from reference_journal import JournalSource, SweptSource
from reference_lines import END, REFUSED, LinesConfig, LinesSource
from reference_shop import LOOKBACK, PRICES, START, ShopConfig, ShopSource, expected_rows, make_shop
from reference_split import SplitConfig, SplitSource
from vdk.plugin.datasource_base import Secret
from vdk.plugin.datasource_base.testing import (
    BadRow,
    DataSourceConformance,
    DeletesConformance,
    DeletingEditor,
    IncrementalConformance,
    LargeDataConformance,
    LogConformance,
    LogEditor,
    OtherPartitionsConformance,
    PartitionConformance,
    RemoteConformance,
    Split,
    StreamEditor,
)

MakeShop = Callable[[], ShopSource]


class OrderEditor(StreamEditor):
    stream = "orders"
    page_rows = 3
    lookback = LOOKBACK
    null_cursor = "include"
    far_future = 50 * 365 * 86400

    def __init__(self, database: Path) -> None:
        self._database = database

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        changed = START + tick if tick is not None else None
        with closing(sqlite3.connect(self._database)) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO orders VALUES (?, ?, '1.50', 1, 'new')",
                [(number, changed) for number in numbers],
            )
            connection.commit()


class ShopCase(DataSourceConformance, IncrementalConformance, PartitionConformance, LargeDataConformance):
    """Everything except the network, for a source over the shop's database."""

    shop: ClassVar[type[ShopSource]] = ShopSource
    time_limit = 0.3

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        path = tmp_path / "shop.db"
        make_shop(path)
        return path

    @pytest.fixture
    def source(self, database: Path) -> MakeShop:
        # type ignored: the options of the class are not known here
        return lambda: self.shop(self.shop.config_type(database=database))  # type: ignore[arg-type]

    @pytest.fixture
    def expected(self) -> dict[str, list[dict[str, Any]]]:
        return expected_rows()

    @pytest.fixture
    def bad_source(self, tmp_path: Path) -> MakeShop:
        return lambda: self.shop(ShopConfig(database=tmp_path / "nothing.db"))

    @pytest.fixture
    def other_source(self, tmp_path: Path) -> MakeShop:
        return lambda: self.shop(ShopConfig(database=tmp_path / "another.db"))

    @pytest.fixture
    def with_bad_row(self, tmp_path: Path) -> BadRow:
        path = tmp_path / "bad.db"
        make_shop(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("INSERT INTO prices VALUES ('the bad one', 'many')")
            connection.commit()
        return BadRow(lambda: self.shop(ShopConfig(database=path)), "prices", "the bad one", len(PRICES))

    @pytest.fixture
    def fingerprint(self, database: Path) -> Callable[[], str]:
        return lambda: hashlib.sha256(database.read_bytes()).hexdigest()

    @pytest.fixture
    def editor(self, database: Path) -> OrderEditor:
        return OrderEditor(database)

    @pytest.fixture
    def large_source(self, database: Path) -> MakeShop:
        OrderEditor(database).write(range(2000), 1)
        return lambda: self.shop(ShopConfig(database=database, page_rows=100))


class LinesCase(RemoteConformance):
    """Everything for a remote source."""

    lines: ClassVar[type[LinesSource]] = LinesSource
    time_limit = 2.0

    @pytest.fixture
    def source_at(self) -> Callable[[str, int], LinesSource]:
        return lambda host, port: self.lines(LinesConfig(host=host, port=port))

    @pytest.fixture
    def server(self) -> Iterator[LineServer]:
        with LineServer() as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield server
            server.shutdown()
            thread.join()

    @pytest.fixture
    def good_server(self, server: LineServer) -> int:
        return server.port

    @pytest.fixture
    def refused_source(self, server: LineServer) -> tuple[Callable[[], LinesSource], Callable[[], int]]:
        config = LinesConfig(port=server.port, password=Secret("wrong"))
        return lambda: self.lines(config), lambda: server.refused


class LineServer(socketserver.ThreadingTCPServer):
    """Serves the numbers from 1 to 20 to clients with the password."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), LineHandler)
        self.refused = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class LineHandler(socketserver.StreamRequestHandler):
    server: LineServer

    def handle(self) -> None:
        password, question, *after = self.rfile.readline().decode().split()
        if password != "open":
            self.server.refused += 1
            self.wfile.write(REFUSED)
            return
        numbers = range(int(after[0]) + 1, 21) if question == "after" else ()
        self.wfile.write(b"".join(b"%d\n" % number for number in numbers) + END)


class JournalEditor(LogEditor):
    stream = "journal"

    def __init__(self, database: Path) -> None:
        self._database = database

    def append(self, numbers: Sequence[int]) -> None:
        _change(self._database, "INSERT INTO events VALUES ('north', ?, 'new')", numbers)


class SweptEditor(OrderEditor, DeletingEditor):
    def delete(self, numbers: Sequence[int]) -> None:
        _change(self._database, "DELETE FROM orders WHERE id = ?", numbers)


def _change(database: Path, sql: str, numbers: Sequence[int]) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.executemany(sql, [(number,) for number in numbers])
        connection.commit()


class JournalCase(LogConformance):
    """An append-only log."""

    shop: ClassVar[type[ShopSource]] = JournalSource
    database, source = ShopCase.database, ShopCase.source

    @pytest.fixture
    def log(self, database: Path) -> JournalEditor:
        return JournalEditor(database)


class SweptCase(DeletesConformance):
    """Orders whose deletes are followed."""

    shop: ClassVar[type[ShopSource]] = SweptSource
    database, source = ShopCase.database, ShopCase.source

    @pytest.fixture
    def editor(self, database: Path) -> SweptEditor:
        return SweptEditor(database)


class Readers(Split):
    """Sets the number of readers."""

    stream = "events"

    def __init__(self, database: Path, shop: type[ShopSource]) -> None:
        self._database, self._shop = database, shop

    def into(self, count: int) -> MakeShop:
        return lambda: self._shop(SplitConfig(database=self._database, readers=count))


class SplitCase(OtherPartitionsConformance):
    """A source whose number of partitions is an option."""

    shop: ClassVar[type[ShopSource]] = SplitSource

    @pytest.fixture
    def split(self, tmp_path: Path) -> Readers:
        path = tmp_path / "shop.db"
        make_shop(path)
        _change(path, "INSERT INTO events VALUES ('north', ?, 'new')", range(6, 26))
        _change(path, "DELETE FROM events WHERE region <> 'north' AND number <> ?", [0])
        return Readers(path, self.shop)
