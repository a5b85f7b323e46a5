"""Runs in processes of their own, which may be killed."""

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
class Ended:
    """How a child ended. ``exitcode`` is minus the signal's number where a signal ended it."""

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
) -> Ended:
    """Call a function in a process of its own, and wait until it ended or was killed.

    The process is forked from one that has imported everything, so that it takes milliseconds to begin (on
    Windows: seconds). An exception of the function makes the exit code 1, with the traceback in ``output``.

    :param function: one that can be pickled, such as ``run_flows``, with ``args`` that can.
    :param faults: what strikes there; see ``injected``.
    :param kill_after: seconds from the call to SIGKILL. :param since: seconds from the first time that this instant
        is passed, instead.
    :raises TimeoutError: it did not end; it is killed, and the error has its output.
    """
    context = _context()
    begun, begins = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, begun:
        log = Path(folder) / "output"
        process = context.Process(
            target=_child, args=(begins, since, str(log), dict(environment or {}), faults, function, args)
        )
        process.start()
        begins.close()
        if kill_after is not None and begun.poll(timeout):
            process.join(kill_after)
            process.kill()
        process.join(timeout)
        late = process.is_alive()
        if late:
            process.kill()
            process.join()
        output = log.read_text("utf-8", "replace") if log.exists() else ""
        if late:
            raise TimeoutError(f"{function} did not end within {timeout:g} s: {output}")
        assert process.exitcode is not None
        return Ended(process.exitcode, output)


def run_killed(
    function: Callable[..., object],
    *args: Any,
    kills: int,
    within: float,
    since: str | None = None,
    between: Callable[[int], object] = lambda kill: None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Call a function in processes that are killed at random instants, until so many were.

    The seed of the chance is printed, and is taken from ``VDK_DATASOURCE_FAULTS_SEED`` where that is set.

    :param within: seconds that a call takes, or what it does ``since`` an instant; shortened where it turns out to
        take less.
    :param between: called with the number of kills so far before each run, to give it something to do.
    :raises AssertionError: a run failed instead, or too many ended before they could be killed.
    """
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(10**9))
    print(f"{kills} random kills of {function}: {SEED}={seed}")
    chance, killed = random.Random(seed), 0
    for _ in range(5 * kills):
        between(killed)
        after = chance.uniform(0, within)
        ended = run_child(function, *args, kill_after=after, since=since, environment=environment)
        assert ended.killed or ended.exitcode == 0, f"a run failed instead of being killed: {ended.output}"
        killed += ended.killed
        within *= 1 if ended.killed else 0.7
        if killed == kills:
            return
    raise AssertionError(f"only {killed} of {5 * kills} runs were at work when they should be killed")


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # before its first process: what is forked has imported what this process has of ours
    context.set_forkserver_preload([name for name in sys.modules if name.startswith("vdk.")])
    return context


@dataclass(frozen=True, kw_only=True)
class _Begun(Fault):
    """Tells the parent."""

    begins: Connection

    def strike(self, released: threading.Event) -> None:
        self.begins.send(None)


def _child(
    begins: Connection,
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
        faults = [*faults, _Begun(since, begins=begins)]
    with injected(*faults):
        if since is None:
            begins.send(None)
        function(*args)


def _redirect(log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
        # Line by line, so that what was printed before a kill is there.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    os.close(file)
