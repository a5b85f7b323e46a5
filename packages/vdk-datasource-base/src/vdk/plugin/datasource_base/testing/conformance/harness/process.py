# SPDX-License-Identifier: Apache-2.0
"""What a process holds and opens, how long a call takes, and code in a fresh process."""

from __future__ import annotations

import base64
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

GRACE = 2.0
"""Seconds in which threads must end."""


def open_resources() -> Counter[str]:
    """Open files and sockets, and running threads. Sockets and threads are only counted, since a pool may replace one
    by another."""
    names = [*_descriptors(), *(f"thread {thread.name}" for thread in threading.enumerate())]
    return Counter(name if name.startswith("/") else re.sub(r"\d+", "…", name) for name in names)


def opened_since(before: Counter[str]) -> list[str]:
    """What is open now and was not before, once threads had time to end."""
    deadline = time.monotonic() + GRACE
    opened = open_resources() - before
    while any(name.startswith("thread ") for name in opened) and time.monotonic() < deadline:
        time.sleep(0.01)
        opened = open_resources() - before
    return sorted(opened.elements())


def _descriptors() -> Iterator[str]:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            target = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:  # the descriptor that lists the folder
            continue
        except OSError:  # a system that does not show what is open
            target = f"descriptor {name}"
        if target != f"/proc/{os.getpid()}/fd":
            yield target


_IO_EVENTS = ("socket.", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "sqlite3.connect", "open", "os.")
_HARMLESS = ("os.putenv", "os.unsetenv", "socket.gethostname")
_recordings: list[list[str]] = []


@contextmanager
def recorded_io() -> Iterator[list[str]]:
    """The files, databases, sockets and processes that the block opens.

    Python reports them as audit events (PEP 578), which only code outside Python can avoid.
    """
    _install_hook()
    events: list[str] = []
    _recordings.append(events)
    try:
        yield events
    finally:
        _recordings.remove(events)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _recordings and event.startswith(_IO_EVENTS) and event not in _HARMLESS:
        text = f"{event}({', '.join(map(_shown, arguments))})"
        for events in _recordings:
            events.append(text)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (str, bytes, int, tuple)) else type(value).__name__


@cache
def _install_hook() -> None:
    """A hook stays until the process ends, so it is set once."""
    sys.addaudithook(_hook)


def within(seconds: float, work: Callable[[], Any]) -> tuple[bool, BaseException | None]:
    """Whether ``work`` ended in time, and what it raised. Work that did not end continues in its thread."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded, name="conformance", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive(), raised[0] if raised else None


_PREAMBLE = """
import sys, pickle, base64
path, argument = pickle.loads(base64.b64decode(sys.stdin.read()))
sys.path[:] = path  # first, since the argument is imported from it
argument = pickle.loads(argument)
"""
NO_NETWORK = """
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise OSError(f"{event}{arguments!r}: this process has no network")
sys.addaudithook(refuse)
"""


def run_in_fresh_process(code: str, argument: Any) -> tuple[int, str]:
    """Run code that uses the variable ``argument``. Returns its exit code, and the end of its output and errors."""
    pickled = base64.b64encode(pickle.dumps((sys.path, pickle.dumps(argument))))
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + code],
        input=pickled, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(errors="replace")[-3000:]
