"""A tap as a source does what every source has to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from support import folder_tap, source_of, write_stream
from vdk.plugin.datasource_base.testing import (
    BadRow,
    DataSourceConformance,
    DeletesConformance,
    DeletingEditor,
    IncrementalConformance,
    LargeDataConformance,
)
from vdk.plugin.source_singer.source import SingerSource

Make = Callable[[], SingerSource]
TOKEN = "a-token-that-nobody-guesses"


class Orders(DeletingEditor):
    """Rewrites the file of a stream; what is deleted stays in it, with the time at which it was."""

    stream = "orders"
    page_rows = 3
    null_cursor = "include"

    def __init__(self, folder: Path) -> None:
        self.path, self.tick = folder / "orders.jsonl", 0

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        self.tick = max(self.tick, tick or 0)
        self._add([{"id": number, "changed": None if tick is None else 100 + tick} for number in numbers])

    def delete(self, numbers: Sequence[int]) -> None:
        self.tick += 1
        gone = {"changed": 100 + self.tick, "_sdc_deleted_at": "2026-01-01T00:00:00Z"}
        self._add([{"id": number, **gone} for number in numbers])

    def _add(self, rows: list[dict[str, Any]]) -> None:
        stored = {row["id"]: row for line in self.path.read_text("utf-8").splitlines() for row in [json.loads(line)]}
        stored |= {row["id"]: row for row in rows}
        self.path.write_text("".join(f"{json.dumps(row)}\n" for row in stored.values()), encoding="utf-8")


def rows() -> list[dict[str, Any]]:
    return [
        {"id": number, "changed": changed, "name": f"n'{number}", "total": number / 100, "tags": ["a"], "at": None}
        for number, changed in enumerate([50, 20, 20, 90, None, 20, 7])
    ]


@pytest.mark.heavy
class TestSinger(DataSourceConformance, IncrementalConformance, DeletesConformance, LargeDataConformance):
    """Two streams, one of them empty, each read by a process of its own."""

    xfails: ClassVar[dict[str, str]] = {
        "test_a_damaged_state_is_not_used": "the value is the tap's, and only the tap knows what it looks like"
    }

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        folder = tmp_path / "data"
        executable = folder_tap(folder)
        write_stream(folder, "orders", rows())
        write_stream(folder, "empty", [])
        config = {"folder": str(folder), "page": 3, "api_token": TOKEN}
        return {"tap": "tap-folder", "executable": str(executable), "config": config, "batch_rows": 3, "processes": 4}

    @pytest.fixture
    def source(self, options: dict[str, Any]) -> Make:
        return lambda: source_of(**options)

    @pytest.fixture
    def expected(self) -> Mapping[str, list[dict[str, Any]]]:
        return {
            "orders": [{**row, "total": Decimal(row["id"]) / 100, "tags": '["a"]', "secret": None} for row in rows()],
            "empty": [],
        }

    @pytest.fixture
    def bad_source(self, options: dict[str, Any], tmp_path: Path) -> Make:
        return lambda: source_of(**options | {"config": {"folder": str(tmp_path / "nowhere")}})

    @pytest.fixture
    def other_source(self, options: dict[str, Any], tmp_path: Path) -> Make:
        folder_tap(tmp_path / "other")
        write_stream(tmp_path / "other", "orders", rows()[:1])
        return lambda: source_of(**options | {"config": {"folder": str(tmp_path / "other")}})

    @pytest.fixture
    def with_bad_row(self, options: dict[str, Any], tmp_path: Path) -> BadRow:
        def bad() -> SingerSource:
            write_stream(tmp_path / "data", "orders", [*rows(), {"id": 4711, "changed": 1, "at": "yesterday"}])
            return source_of(**options)

        return BadRow(bad, "orders", "4711", len(rows()))

    @pytest.fixture
    def fingerprint(self, tmp_path: Path) -> Callable[[], dict[str, bytes]]:
        return lambda: {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()}

    @pytest.fixture
    def large_source(self, options: dict[str, Any], tmp_path: Path) -> Make:
        write_stream(tmp_path / "data", "orders", [{"id": number, "changed": number} for number in range(15_000)])
        return lambda: source_of(**options | {"batch_rows": 100, "select": ["orders"]})

    @pytest.fixture
    def editor(self, tmp_path: Path) -> Orders:
        return Orders(tmp_path / "data")
