"""The REST source does what every source has to do."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.datasource_base.testing import (
    BadRow,
    DataSourceConformance,
    IncrementalConformance,
    LargeDataConformance,
    PartitionConformance,
    RemoteConformance,
    StreamEditor,
)
from vdk.plugin.source_rest import RestConfig, RestSource

TOKEN = "a-token-of-the-shop"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MakeSource = Callable[[], RestSource]


def time_of(tick: int | None) -> str | None:
    return None if tick is None else f"{START + dt.timedelta(seconds=tick):%Y-%m-%dT%H:%M:%SZ}"


class Shop(ThreadingHTTPServer):
    """An API with orders, which can be asked for since a time, and the lines of each region."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refused = 0
        self.orders: dict[int, dict[str, Any]] = {}
        self.lines = {region: [{"id": f"{region}{n}", "n": n} for n in range(7)] for region in ("eu", "us")}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that hangs up is not an error here."""


class Handler(BaseHTTPRequestHandler):
    server: Shop
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: in two, the second waits for an acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest's output is for the tests."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.server.refused += 1
            self.send_error(401)
            return
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name, _, region = parts.path.strip("/").partition("/")
        if name not in ("orders", "lines", "nothing"):
            self.send_error(404)
            return
        rows: list[dict[str, Any]] = list(self.server.orders.values()) if name == "orders" else []
        rows += self.server.lines.get(region, [])
        since = query.get("since", "")
        matching = [row for row in rows if row.get("at") is None or row["at"] >= since]
        offset, size = int(query.get("offset", 0)), int(query.get("limit", 3))
        content = json.dumps({"items": matching[offset : offset + size], "total": len(matching)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Orders(StreamEditor):
    """The orders, updated by the till."""

    stream = "orders"
    page_rows = 3
    lookback = 300
    null_cursor = "include"
    far_future = 40 * 365 * 86400

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        for number in numbers:
            self._shop.orders[number] = {"id": number, "price": number / 4, "at": time_of(tick)}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for number in range(10):
            Orders(server).write([number], -100 + number // 3)
        yield server
        server.shutdown()
        thread.join()


def source_at(url: str, size: int = 3, **config: Any) -> RestSource:
    paginator = {"type": "offset", "limit": size, "total_path": "total"}
    streams = [
        {"name": "orders", "primary_key": "id", "paginator": paginator, "cursor": {"field": "at", "param": "since"}},
        {
            "name": "lines",
            "path": "lines/{region}",
            "primary_key": "id",
            "cursor": {"field": "n", "type": "integer"},
            "paginator": paginator,
            "slices": [{"region": "eu"}, {"region": "us"}],
        },
        {"name": "nothing", "columns": {"id": "integer", "name": "text"}},
    ]
    auth = {"type": "bearer", "token": TOKEN}
    given = {"base_url": url, "streams": streams, "auth": auth, **config}
    return RestSource(decode_config(given, RestConfig, location="config"))


class TestRest(
    DataSourceConformance, IncrementalConformance, PartitionConformance, LargeDataConformance, RemoteConformance
):
    @pytest.fixture
    def source(self, shop: Shop) -> MakeSource:
        return lambda: source_at(shop.url)

    @pytest.fixture
    def expected(self, shop: Shop) -> dict[str, list[dict[str, Any]]]:
        lines = [row for rows in shop.lines.values() for row in rows]
        return {"orders": list(shop.orders.values()), "lines": lines, "nothing": []}

    @pytest.fixture
    def bad_source(self, shop: Shop) -> MakeSource:
        return lambda: source_at(f"{shop.url}/away")

    @pytest.fixture
    def other_source(self, shop: Shop) -> MakeSource:
        return lambda: source_at(f"{shop.url}/another")

    @pytest.fixture
    def with_bad_row(self, shop: Shop) -> BadRow:
        others = len(shop.orders)
        shop.orders[4711] = {"id": 4711, "price": 1.5, "at": "soon"}
        return BadRow(lambda: source_at(shop.url), "orders", "4711", others)

    @pytest.fixture
    def editor(self, shop: Shop) -> Orders:
        return Orders(shop)

    @pytest.fixture
    def large_source(self, shop: Shop) -> MakeSource:
        Orders(shop).write(range(10_000), 1)
        return lambda: source_at(shop.url, 200)

    @pytest.fixture
    def source_at(self) -> Callable[[str, int], RestSource]:
        quick: dict[str, Any] = {
            "timeout": {"connect": "500ms", "read": "500ms", "total": "1s"},
            "retry": {"attempts": 1},
        }
        return lambda host, port: source_at(f"http://{host}:{port}", **quick)

    @pytest.fixture
    def good_server(self, shop: Shop) -> int:
        return shop.server_port

    @pytest.fixture
    def refused_source(self, shop: Shop) -> tuple[MakeSource, Callable[[], int]]:
        auth = {"type": "bearer", "token": "a-token-of-another-shop"}
        return lambda: source_at(shop.url, auth=auth), lambda: shop.refused
