"""What every source must do. A check that fails says what is wrong, why the check exists and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tickets import Row, export, ticket
from vdk.plugin.datasource_base import Duration
from vdk.plugin.datasource_base.testing import BadRow, SourceConformance, StreamEditor
from vdk.plugin.source_acme import source as ours


class Tickets(StreamEditor):
    """Lets the suite change the data. A tick is a second."""

    stream = "tickets"
    page_rows = 3
    lookback = 10
    null_cursor = "include"
    far_future = 50 * 365 * 86_400

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: dict[int, Row] = {}

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        self.written |= {number: ticket(str(number), tick) for number in numbers}
        export(self.folder, "zurich", *self.written.values())


class TestAcme(SourceConformance):
    """TODO: what your source can do selects its checks."""

    capabilities = ("missing_data", "other_data", "bad_rows", "incremental", "partitions", "large_data")

    @pytest.fixture
    def rows(self, tmp_path: Path) -> list[Row]:
        """More than a page, not ordered by time, with times that are equal or missing."""
        seconds = [-100, -400, -200, -100, -300, -500]
        berlin = [ticket(str(number), second) for number, second in enumerate(seconds)]
        sofia = [ticket("6", None), ticket("7", -50)]
        export(tmp_path, "berlin", *berlin)
        export(tmp_path, "sofia", *sofia)
        export(tmp_path, "zurich")
        return [*berlin, *sofia]

    @pytest.fixture
    def source(self, tmp_path: Path, rows: list[Row]) -> Callable[[], ours.AcmeSource]:
        config = ours.AcmeConfig(folder=tmp_path, page_rows=3, lookback=Duration(seconds=10))
        return lambda: ours.AcmeSource(config)

    @pytest.fixture
    def expected(self, rows: list[Row]) -> Mapping[str, list[Row]]:
        return {"tickets": rows}

    @pytest.fixture
    def bad_source(self, tmp_path: Path) -> Callable[[], ours.AcmeSource]:
        config = ours.AcmeConfig(folder=tmp_path / "nowhere")
        return lambda: ours.AcmeSource(config)

    @pytest.fixture
    def empty_source(self, tmp_path: Path) -> Callable[[], ours.AcmeSource]:
        folder = tmp_path / "new"
        folder.mkdir()
        config = ours.AcmeConfig(folder=folder)
        return lambda: ours.AcmeSource(config)

    @pytest.fixture
    def other_source(self, tmp_path: Path) -> Callable[[], ours.AcmeSource]:
        config = ours.AcmeConfig(folder=tmp_path / "elsewhere")
        return lambda: ours.AcmeSource(config)

    @pytest.fixture
    def with_bad_row(
        self,
        tmp_path: Path,
        source: Callable[[], ours.AcmeSource],
        rows: list[Row],
    ) -> BadRow:
        with (tmp_path / "berlin.jsonl").open("a", encoding="utf-8") as file:
            key = f"berlin.jsonl, byte {file.tell()}"
            file.write("not a ticket\n")
        return BadRow(source, "tickets", key, others=len(rows))

    @pytest.fixture
    def fingerprint(self, tmp_path: Path) -> Callable[[], dict[str, bytes]]:
        return lambda: {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    @pytest.fixture
    def large_source(self, tmp_path: Path) -> Callable[[], ours.AcmeSource]:
        export(tmp_path, "berlin", *(ticket(str(number), -number) for number in range(6000)))
        config = ours.AcmeConfig(folder=tmp_path, page_rows=100)
        return lambda: ours.AcmeSource(config)

    @pytest.fixture
    def editor(self, tmp_path: Path) -> Tickets:
        return Tickets(tmp_path)
