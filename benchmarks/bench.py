"""What a job of the benchmark is given: the folders, the environments, and how much to do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from environments import Environments
from measure import Contender, Measured, MeasuringError, Run, measure
from report import Comparison


@dataclass(frozen=True)
class Bench:
    """One invocation.

    :param folder: where environments, data and results are; kept between invocations.
    :param rows: how many rows the large job has.
    :param runs: how many runs count.
    """

    folder: Path
    rows: int
    runs: int

    @property
    def peers(self) -> Path:
        """The scripts that other interpreters run."""
        return Path(__file__).parent / "peers"

    @cached_property
    def environments(self) -> Environments:
        return Environments(self.folder / "environments")

    @cached_property
    def ours(self) -> Path:
        """The bin folder of an environment with all of this repository's plugins."""
        return self.environments.ours("ours")

    @cached_property
    def core(self) -> Path:
        """The bin folder of an environment with vdk-core alone."""
        return self.environments.peer("core", "vdk-core", "setuptools<81")

    def space(self, name: str) -> Path:
        """A folder for what a contender writes."""
        found = self.folder / "work" / name
        found.mkdir(parents=True, exist_ok=True)
        return found

    def measure(self, *contenders: Contender) -> list[Measured]:
        return measure(contenders, runs=self.runs)

    def measured_in(
        self, command: Sequence[str], rows: int, scales: Mapping[str, float] = MappingProxyType({})
    ) -> dict[str, Measured]:
        """What a command has measured itself, in turns: it prints name, wall and processor seconds of each run as JSON.

        :param scales: how many times as many rows ``rows`` are, of the contenders that were given fewer.
        """
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise MeasuringError(f"{command} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        taken: dict[str, list[Run]] = {}
        for line in done.stdout.splitlines():
            name, wall, cpu = json.loads(line)
            taken.setdefault(name, []).append(Run(wall, cpu, 0))
        return {name: Measured(name, runs, rows, scales.get(name, 1.0)) for name, runs in taken.items()}


Job = Callable[[Bench], list[Comparison]]


def removing(*paths: Path) -> Callable[[], None]:
    """Something for ``Contender.prepare``: removes files and what databases put beside them."""

    def remove() -> None:
        for path in paths:
            for one in path.parent.glob(f"{path.name}*"):
                one.unlink()

    return remove


def lands(bench: Bench, lake: Path, condition: str, table: str = "orders") -> Callable[[], None]:
    """Something for ``Contender.check``: raises unless an SQL condition holds in a file of DuckDB (or ``.sqlite``)."""

    def look() -> None:
        sql = f"SELECT {condition} FROM {table}"
        module = "sqlite3" if lake.suffix == ".sqlite" else "duckdb"
        code = f"import {module}; print(bool({module}.connect({str(lake)!r}).execute({sql!r}).fetchone()[0]))"
        done = subprocess.run([bench.ours / "python", "-c", code], check=False, capture_output=True, text=True)
        if done.stdout.strip() != "True":
            raise MeasuringError(f"{lake}: {condition} is {done.stdout.strip() or done.stderr}")

    return look


def flow(folder: Path, database: Path, *, target: str, more: str = "", config: str = "") -> Path:
    """Write a flow file that reads ``database`` into ``target``."""
    path = folder / "shop.toml"
    path.write_text(
        f"""
[sources.shop]
name = "sqlite"
config = {{ database = "{database}"{config} }}
[destinations.lake]
method = "arrow"
target = "{target}"
[[flows]]
from = "shop"
to = "lake"
{more}
""",
        "utf-8",
    )
    return path
