# SPDX-License-Identifier: Apache-2.0
"""Runs in child processes, which may be killed."""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .injection import injected
from .kinds import Fault

SEED = "VDK_DATASOURCE_FAULTS_SEED"
"""The environment variable that repeats a run of random kills."""


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a child process ended. ``exitcode`` is minus the number of the signal that ended it, if any."""

    exitcode: int
    output: str

    @property
    def killed(self) -> bool:
        return self.exitcode < 0


def run_child(
    function: Callable[..., object],
    *args: Any,
    faults: Sequence[Fault] = (),
    kill_after: float | None = None,
    since: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> ChildResult:
    """Call a function in a child process, and wait until it has ended or was killed.

    The process is forked from one that has imported everything, so that it starts in milliseconds (on Windows:
    seconds). If the function raises, the exit code is 1, and ``output`` has the traceback.

    :param function: a function that can be pickled, such as ``run_flows``, with ``args`` that can be pickled.
    :param faults: the faults in the child; see ``injected``.
    :param kill_after: seconds until SIGKILL, from the call on.
    :param since: count ``kill_after`` from the first passing of this instant instead.
    :raises TimeoutError: the process did not end in time and was killed; the error contains its output.
    """
    context = _context()
    started, starts = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, started:
        log = Path(folder) / "output"
        process = context.Process(
            target=_child, args=(starts, since, str(log), dict(environment or {}), faults, function, args)
        )
        process.start()
        starts.close()
        if kill_after is not None and started.poll(timeout):
            process.join(kill_after)
            process.kill()
        process.join(timeout)
        timed_out = process.is_alive()
        if timed_out:
            process.kill()
            process.join()
        output = log.read_text("utf-8", "replace") if log.exists() else ""
        if timed_out:
            raise TimeoutError(f"{function} did not end within {timeout:g} s: {output}")
        assert process.exitcode is not None
        return ChildResult(process.exitcode, output)


def run_with_random_kills(
    function: Callable[..., object],
    *args: Any,
    kills: int,
    within: float,
    since: str | None = None,
    between: Callable[[int], object] = lambda kill: None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Call a function in child processes that are killed at random times, until this number of them was killed.

    The random seed is printed. ``VDK_DATASOURCE_FAULTS_SEED`` sets it.

    :param within: the seconds that a call takes, or what follows ``since`` an instant; shortened if a call takes less.
    :param between: called before each run, with the number of kills so far, to give the run something to do.
    :raises AssertionError: a run failed instead, or too many ended before they could be killed.
    """
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(10**9))
    print(f"{kills} random kills of {function}: {SEED}={seed}")
    generator, killed = random.Random(seed), 0
    for _ in range(5 * kills):
        between(killed)
        after = generator.uniform(0, within)
        result = run_child(function, *args, kill_after=after, since=since, environment=environment)
        assert result.killed or result.exitcode == 0, f"a run failed instead of being killed: {result.output}"
        killed += result.killed
        within *= 1 if result.killed else 0.7
        if killed == kills:
            return
    raise AssertionError(f"only {killed} of {5 * kills} runs were still running when they were killed: lower `within`")


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Before the first process: a forked process has then imported the modules that this process has imported.
    context.set_forkserver_preload([name for name in sys.modules if name.startswith("vdk.")])
    return context


@dataclass(frozen=True, kw_only=True)
class _NotifyParent(Fault):
    """Sends the parent a message when the instant is passed."""

    starts: Connection

    def strike(self, released: threading.Event) -> None:
        self.starts.send(None)


def _child(
    starts: Connection,
    since: str | None,
    log: str,
    environment: dict[str, str],
    faults: Sequence[Fault],
    function: Callable[..., object],
    args: tuple[Any, ...],
) -> None:
    os.environ.update(environment)
    _redirect(log)
    if since is not None:
        faults = [*faults, _NotifyParent(since, starts=starts)]
    with injected(*faults):
        if since is None:
            starts.send(None)
        function(*args)


def _redirect(log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
        # Line by line, so that the file contains all that was printed before a kill.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    os.close(file)
