"""What every source must do. A check that fails says what is wrong, why the check exists and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from server import TOKEN, HelpDesk, Row, serving, ticket
from vdk.plugin.datasource_base import Duration, Secret
from vdk.plugin.datasource_base.testing import BadRow, SourceConformance, StreamEditor
from vdk.plugin.source_acme import source as ours

MakeSource = Callable[[], ours.AcmeSource]


def make_source(url: str, token: str = TOKEN, **options: Any) -> ours.AcmeSource:
    defaults: dict[str, Any] = {"page_rows": 3, "lookback": Duration(seconds=10), "timeout": Duration(seconds=1)}
    config = ours.AcmeConfig(url=url, token=Secret(token), **(defaults | options))
    return ours.AcmeSource(config)


class Tickets(StreamEditor):
    """Lets the suite change the data. A tick is a second."""

    stream = "tickets"
    page_rows = 3
    lookback = 10
    far_future = 50 * 365 * 86_400

    def __init__(self, server: HelpDesk) -> None:
        self.server = server

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        self.server.add(*(ticket(str(number), tick or 0) for number in numbers))


class TestAcme(SourceConformance):
    """TODO: what your source can do selects its checks."""

    capabilities = ("missing_data", "other_data", "bad_rows", "incremental", "large_data", "network", "login")

    @pytest.fixture
    def rows(self, help_desk: HelpDesk) -> list[Row]:
        """More than a page, not ordered by time, some of one time."""
        rows = [ticket(str(number), second) for number, second in enumerate([-100, -400, -200, -100, -300])]
        help_desk.add(*rows)
        return rows

    @pytest.fixture
    def source(self, help_desk: HelpDesk, rows: list[Row]) -> MakeSource:
        return lambda: make_source(help_desk.url)

    @pytest.fixture
    def expected(self, rows: list[Row]) -> Mapping[str, list[Row]]:
        return {"tickets": rows}

    @pytest.fixture
    def bad_source(self, help_desk: HelpDesk) -> MakeSource:
        return lambda: make_source(f"{help_desk.url}/nowhere")

    @pytest.fixture
    def empty_source(self) -> Iterator[MakeSource]:
        with serving() as server:
            yield lambda: make_source(server.url)

    @pytest.fixture
    def other_source(self) -> MakeSource:
        return lambda: make_source("https://other.example.org")

    @pytest.fixture
    def with_bad_row(self, help_desk: HelpDesk, rows: list[Row]) -> BadRow:
        help_desk.add({"id": "bad-1", "title": "A ticket without a time", "status": "open"})
        return BadRow(lambda: make_source(help_desk.url), "tickets", "bad-1", others=len(rows))

    @pytest.fixture
    def fingerprint(self, help_desk: HelpDesk) -> Callable[[], Any]:
        return lambda: dict(help_desk.tickets)

    @pytest.fixture
    def editor(self, help_desk: HelpDesk) -> Tickets:
        return Tickets(help_desk)

    @pytest.fixture
    def large_source(self, help_desk: HelpDesk) -> MakeSource:
        help_desk.add(*(ticket(str(number), -number) for number in range(5000)))
        return lambda: make_source(help_desk.url, page_rows=250)

    @pytest.fixture
    def source_at(self) -> Callable[[str, int], ours.AcmeSource]:
        return lambda host, port: make_source(f"http://{host}:{port}")

    @pytest.fixture
    def good_server(self, help_desk: HelpDesk, rows: list[Row]) -> int:
        return help_desk.server_port

    @pytest.fixture
    def refused_source(self, help_desk: HelpDesk) -> tuple[MakeSource, Callable[[], int]]:
        return lambda: make_source(help_desk.url, "wrong-token"), lambda: help_desk.refused
