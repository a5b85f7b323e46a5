"""kill -9 during a delivery to a destination without transactions: nothing is lost, and few rows are repeated.

The ordinary suite tries some instants around each kind of work, the environment ``faults`` of tox each time that any
is passed.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from support import QUICK, SCRIPTS, Script, Split
from vdk.plugin.datasource_base import DataSourcePayload
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.integration.ingestion import IngestionPluginDestination
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.parts.states.local_store import LocalFileStore
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.testing.faults import (
    Kill,
    PassedInstant,
    assert_at_least_once,
    injected,
    run_child,
    run_with_random_kills,
)

ALL = os.environ.get("FAULTS") == "all"
KILLS = 200 if ALL else 5
ENDLESS = 1_000_000
WRITE = f"{__name__}:Lines.write"
RENAME = "vdk.plugin.datasource_base.parts.states.logged_document:sync_folder"


class Lines:
    """An ingestion plugin that writes a line for each row: a kill leaves half of a call's rows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ingest_payload(self, payload: list[dict[str, Any]], **others: Any) -> None:
        with self._path.open("ab", buffering=0) as file:
            for row in payload:
                self.write(file, row)

    def write(self, file: Any, row: dict[str, Any]) -> None:
        file.write(json.dumps(row).encode() + b"\n")


class LineDestination(IngestionPluginDestination):
    """The ingestion plugin as a destination, with its states in a local file."""

    def __init__(self, target: str | None, *, folder: Path) -> None:
        home = Path(target or "")
        super().__init__(
            target,
            folder=folder,
            name="lines",
            method="lines",
            plugin=Lines(home / "lines"),
            preprocessors=(),
            postprocessors=(),
            store=LocalFileStore(home / "state.json", "lines"),
            collection_id="",
            rows=3,
        )


def reading(part: int, upto: int) -> Callable[[State], Iterator[DataSourcePayload]]:
    """Pages of three rows, every second one with a state."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for start in range(int(str(state.get("next", 0))), upto, 3):
            end = min(start + 3, upto)
            rows = [{"part": part, "n": n} for n in range(start, end)]
            yield DataSourcePayload(rows, state={"next": end} if end % 2 == 0 or end == upto else None)

    return read


def run(folder: Path, upto: int = 30) -> None:
    registry = Registry(installed=False)
    registry.add("scripted", "support:ScriptedSource")
    registry.add_destination("lines", f"{__name__}:LineDestination")
    SCRIPTS["kills"] = Script([Split("t", {f"p{part}": reading(part, upto) for part in range(2)})])
    flow = {
        "sources": {"src": {"name": "scripted", "config": {"script": "kills"}}},
        "destinations": {"lake": {"method": "lines", "target": str(folder)}},
        "flows": [{"from": "src", "to": "lake", "write_mode": "append"}],
    }
    execute(flow, Environment(registry=registry, options=replace(QUICK, batch_rows=4)))


def landed(folder: Path) -> list[tuple[int, int]]:
    path = folder / "lines"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    return [(row["part"], row["n"]) for row in rows]


def uncovered(folder: Path) -> int:
    """How many rows have landed after the stored states, and will be delivered again."""
    stored = {
        one.key.partition: one.state["next"] for one in LocalFileStore(folder / "state.json", "lines").load("src")
    }
    return len({(part, n) for part, n in landed(folder) if n >= int(str(stored.get(f"p{part}", 0)))})


def expected(upto: int) -> list[tuple[int, int]]:
    return [(part, n) for part in range(2) for n in range(upto)]


def instants(passed: Sequence[PassedInstant]) -> list[PassedInstant]:
    if ALL:
        return list(passed)
    chance = random.Random(4)
    kinds = sorted(
        {(one.instant, one.when) for one in passed if one.instant in ("read", "commit", "save", WRITE, RENAME)}
    )
    return [chance.choice([one for one in passed if (one.instant, one.when) == kind]) for kind in kinds]


def test_a_process_killed_at_any_instant_repeats_only_what_no_state_covers(tmp_path: Path) -> None:
    """Rows that landed before the last stored state are never repeated, and none is lost."""
    (tmp_path / "clean").mkdir()
    with injected(watch=[WRITE, RENAME]) as clean:
        run(tmp_path / "clean")
    halves = [PassedInstant("commit", "half", 2), PassedInstant("commit", "half", 3)]
    for number, instant in enumerate([*instants(clean.passed), *halves]):
        folder = tmp_path / str(number)
        folder.mkdir()
        ended = run_child(run, folder, faults=[Kill(instant.instant, when=instant.when, nth=instant.nth)])
        assert ended.killed, f"{instant}: {ended.output}"
        repeats = uncovered(folder)
        run(folder)
        assert assert_at_least_once(expected(30), landed(folder), at_most=repeats) == repeats, f"killed at {instant}"


def test_processes_killed_at_random_lose_nothing_and_repeat_only_what_no_state_covers(tmp_path: Path) -> None:
    """Kill after kill, each run resumes from the states of the one before."""
    repeats = Counter[str]()
    run(tmp_path, 6)
    run_with_random_kills(
        run, tmp_path, ENDLESS, kills=KILLS, within=0.5, between=lambda kill: repeats.update(rows=uncovered(tmp_path))
    )
    repeats.update(rows=uncovered(tmp_path))
    upto = max(n for _, n in landed(tmp_path)) + 10
    run(tmp_path, upto)
    assert_at_least_once(expected(upto), landed(tmp_path), at_most=repeats["rows"])
