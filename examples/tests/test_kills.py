"""kill -9 at every instant there is: after one more run, every row is there exactly once.

The ordinary suite tries each kind of instant once, the environment ``faults`` of tox each time that it is passed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import ALL_FAULTS
from targets import TARGETS, Target
from ticks import all_rows
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.testing.faults import Kill, Passed, assert_exactly_once, injected, run_child

UPTO = 15
FLOWS: dict[str, dict[str, Any]] = {
    "append": {"write_mode": "append", "batch_rows": 4},
    "upsert": {"write_mode": "upsert", "batch_rows": 4},
    "replace": {"write_mode": "replace", "batch_rows": 4},
    # on its own the runtime replaces what is read whole each time, once the first run has shown that
    "undecided": {"batch_rows": 4},
}


MODES = [("append", 3), ("upsert", 1), ("replace", 3), ("undecided", 1)]


def flow(target: Target, folder: Path, mode: str, partitions: int) -> dict[str, Any]:
    """Batches of four rows, pages of three, a state on every other page: commits, and stages in front of them."""
    states = mode in ("append", "upsert")
    return {
        "sources": {"src": {"name": "ticks", "config": {"upto": UPTO, "partitions": partitions, "states": states}}},
        "destinations": {"lake": {"method": "arrow", "target": target.url(folder)}},
        "flows": [{"from": "src", "to": "lake", **FLOWS[mode]}],
    }


def instants(passed: Sequence[Passed], chance: random.Random) -> list[Passed]:
    """All of them, or one of each kind."""
    if ALL_FAULTS:
        return list(passed)
    kinds = sorted({(one.instant, one.when) for one in passed})
    return [chance.choice([one for one in passed if (one.instant, one.when) == kind]) for kind in kinds]


@pytest.mark.parametrize(("mode", "partitions"), MODES)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_process_killed_at_any_instant_neither_loses_nor_doubles_a_row(
    target: Target, mode: str, partitions: int, folders: Callable[[], Path]
) -> None:
    """Before and after each call, and between the statements of a transaction; a second kill may follow the first."""
    expected = all_rows(UPTO, partitions)
    with injected(watch=[target.statement]) as clean:
        run_flows(None, flow(target, folders(), mode, partitions))
    chance = random.Random(f"{target} {mode}")
    killed = 0
    for at in instants(clean.passed, chance):
        folder = folders()
        for _ in range(chance.choice([1, 1, 2])):
            fault = Kill(at.instant, when=at.when, nth=at.nth)
            killed += run_child(run_flows, None, flow(target, folder, mode, partitions), faults=[fault]).killed
        run_flows(None, flow(target, folder, mode, partitions))
        try:
            assert_exactly_once(expected, target.query(folder, "SELECT id, text FROM ticks"))
        except AssertionError as error:
            raise AssertionError(f"killed at {at}: {error}") from None
        assert target.query(folder, "SELECT count(*) FROM _vdk_datasource_staging") == [(0,)], f"killed at {at}"
    assert killed > len({one.instant for one in clean.passed})
