"""Measuring commands as whole processes: wall time, processor time and memory of the process and all it starts."""

from __future__ import annotations

import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

SAMPLE_SECONDS = 0.04
TIMEOUT_SECONDS = 400.0
"""How long one run may take: a peer that waits for something must not stop the others."""
Command = Sequence[str | Path]


class MeasuringError(Exception):
    """A command that was to be measured failed; the message has the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command.

    :param wall: seconds from start to end, start-up of the interpreter included.
    :param cpu: seconds of processor time, user and system, of the process and those it waited for.
    :param peak: bytes of memory at the highest: what the process and all its descendants held at once, pages that they
        share counted once (Linux); elsewhere the largest single process.
    """

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs of one contender, in order; none where it failed, and its figures are then not a number.

    :param rows: rows that each run handled; 0 where that means nothing.
    :param scale: by how much what is beyond the start was multiplied, for a contender too slow for the whole job.
    :param start: seconds and processor seconds of the same command for one row, which are not multiplied.
    :param note: what a reader of the table has to know, such as why it failed.
    """

    name: str
    runs: Sequence[Run]
    rows: int = 0
    scale: float = 1.0
    note: str = ""
    start: tuple[float, float] = (0.0, 0.0)

    @property
    def walls(self) -> list[float]:
        """The seconds of each run, for all the rows."""
        return [_scaled(run.wall, self.start[0], self.scale) for run in self.runs]

    @property
    def wall(self) -> float:
        """The median of seconds."""
        return statistics.median(self.walls or [math.nan])

    @property
    def cpu(self) -> float:
        """The median of processor seconds."""
        cpu = [_scaled(run.cpu, self.start[1], self.scale) for run in self.runs]
        return statistics.median(cpu or [math.nan])

    @property
    def peak(self) -> float:
        """The median of peaks, in bytes. Never scaled."""
        return statistics.median([run.peak for run in self.runs] or [math.nan])


def _scaled(seconds: float, start: float, scale: float) -> float:
    return min(start, seconds) + max(seconds - start, 0.0) * scale


@dataclass(frozen=True, slots=True)
class Contender:
    """A command to measure.

    :param prepare: is called before each run, unmeasured: to remove what the last one left, for instance.
    :param check: is called after each run, unmeasured; raises where the command did not do its work.
    :param runs: how often, where that is fewer than asked for; such a contender has no warm-up.
    :param scale: how many times as many rows ``rows`` are as the command reads. ``start``: the command for one row.
    """

    name: str
    command: Command
    cwd: Path | None = None
    environment: Mapping[str, str] | None = None
    prepare: Callable[[], object] = bool
    check: Callable[[], object] = bool
    runs: int | None = None
    rows: int = 0
    scale: float = 1.0
    start: Command | None = None
    note: str = ""


def measure(contenders: Sequence[Contender], *, runs: int) -> list[Measured]:
    """Run the contenders in turn (A B C, A B C, …), so that a machine which slows down does so for all of them.

    The first round is a warm-up. A contender that fails is left out from there on; its note has the reason.
    """
    taken: list[list[Run]] = [[] for _ in contenders]
    starts = [(0.0, 0.0) for _ in contenders]
    failed: dict[int, str] = {}
    for number in range(-1, runs):
        for index, contender in enumerate(contenders):
            turns = range(-1, runs) if contender.runs is None and runs > 1 else range(min(contender.runs or 1, runs))
            if number not in turns or index in failed:
                continue
            try:
                run = run_once(contender)
                if contender.start is not None and number == 0:
                    first = run_once(replace(contender, command=contender.start, check=bool))
                    starts[index] = first.wall, first.cpu
            except (MeasuringError, OSError, subprocess.SubprocessError) as error:
                print(error, file=sys.stderr, flush=True)
                failed[index] = f"failed: {last_line(str(error))}"
                taken[index].clear()
                continue
            if number >= 0:
                taken[index].append(run)
    return [
        Measured(one.name, taken[index], one.rows, one.scale, failed.get(index, one.note), starts[index])
        for index, one in enumerate(contenders)
    ]


def last_line(text: str) -> str:
    """What fits into a cell of a table: programs print the reason last."""
    return ([line.strip() for line in text.splitlines() if re.search(r"\w", line)] or ["?"])[-1][:160]


def run_once(contender: Contender) -> Run:
    """Prepare, run and check one contender. Raises ``MeasuringError``."""
    contender.prepare()
    command = list(map(str, contender.command))
    environment = {**os.environ, **(contender.environment or {})}
    # into a file: a pipe would have to be read meanwhile, by this very process
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                command,
                cwd=contender.cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise MeasuringError(f"{contender.name}: {command[0]} could not be installed here: {error}") from error
        stop = threading.Timer(TIMEOUT_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        stop.start()
        with _Watch(process.pid) as watch:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
        stop.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if process.returncode:
        raise MeasuringError(f"{contender.name}: {command} ended with {process.returncode}:\n{printed[-3000:]}")
    contender.check()
    return Run(wall, usage.ru_utime + usage.ru_stime, max(watch.peak, usage.ru_maxrss * 1024))


class _Watch:
    """Samples how much memory a process and its descendants hold, while the block lasts."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            family = _family(self._pid)
            # a process alone has all its pages; of several, libraries and the like are in memory once
            one = _resident if len(family) == 1 else _share
            self.peak = max(self.peak, sum(map(one, family)))


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _share(pid: int) -> int:
    """Its own pages, and its share of those that several processes have (PSS, as Linux calls it)."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return _resident(pid)
