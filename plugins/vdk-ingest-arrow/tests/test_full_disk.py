"""A disk that gets full while a run is at work: told, nothing torn, and completed by the next run with room."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from test_kills import KINDS, Kind, flow, kind, new
from ticks import all_rows
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.testing.faults import assert_exactly_once, file_size_limit, run_child, small_disk

pytestmark = pytest.mark.heavy

__all__ = ["kind", "new"]  # fixtures
MIB = 2**20
UPTO = 12_000
TOLD = re.compile(r"FlowFailedError: 1 of 1 streams failed: src\.ticks: DestinationError: .*(full|No space|too large)")


def fill(flow: dict[str, Any], size: int) -> None:
    with file_size_limit(size):
        run_flows(None, flow)


def big(kind: Kind, folder: Path, mode: str) -> dict[str, Any]:
    whole = flow(kind, folder, mode, 2, UPTO)
    whole["flows"][0]["batch_rows"] = 2_000
    return whole


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("kind", ["duckdb", "sqlite"], indirect=True)
def test_a_file_that_may_not_grow_fails_the_stream_and_is_completed_later(
    kind: Kind, mode: str, new: Callable[[], Path]
) -> None:
    """RLIMIT_FSIZE stands for the disk: it needs no rights. (A Parquet target has many small files.)"""
    folder = new()
    ended = run_child(fill, big(kind, folder, mode), MIB // 4)
    assert ended.exitcode == 1
    assert TOLD.search(ended.output), ended.output[-2000:]
    run_flows(None, big(kind, folder, mode))
    assert_exactly_once(all_rows(UPTO, 2), kind.landed(folder))


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("kind", list(KINDS), indirect=True)
def test_a_real_disk_without_space_fails_the_stream_and_is_completed_later(
    kind: Kind, mode: str, new: Callable[[], Path]
) -> None:
    """The file system is freed by deleting what else is on it, as people do it."""
    folder = new()
    try:
        with small_disk(folder, 24 * MIB):
            ballast = folder / "ballast"
            ballast.write_bytes(bytes(24 * MIB - 64 * 1024))
            ended = run_child(run_flows, None, big(kind, folder, mode))
            assert ended.exitcode == 1
            assert TOLD.search(ended.output), ended.output[-2000:]
            ballast.unlink()
            run_flows(None, big(kind, folder, mode))
            assert_exactly_once(all_rows(UPTO, 2), kind.landed(folder))
    except OSError as error:
        if "cannot be mounted" not in str(error):
            raise
        pytest.skip(str(error))
