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
"""Seconds that threads have to come to their end."""


def held() -> Counter[str]:
    """Open files and sockets, and the threads that run. Sockets and threads are counted, whichever they are: a pool
    may replace one by another."""
    names = [*_descriptors(), *(f"thread {one.name}" for one in threading.enumerate())]
    return Counter(name if name.startswith("/") else re.sub(r"\d+", "…", name) for name in names)


def new_since(before: Counter[str]) -> list[str]:
    """What is held now and was not before, once threads had time to end."""
    deadline = time.monotonic() + GRACE
    found = held() - before
    while any(one.startswith("thread ") for one in found) and time.monotonic() < deadline:
        time.sleep(0.01)
        found = held() - before
    return sorted(found.elements())


def _descriptors() -> Iterator[str]:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            target = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:  # the one that lists the folder
            continue
        except OSError:  # a system that does not say what is open
            target = f"descriptor {name}"
        if target != f"/proc/{os.getpid()}/fd":
            yield target


_REACHING = ("socket.", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "sqlite3.connect", "open", "os.")
_HARMLESS = ("os.putenv", "os.unsetenv", "socket.gethostname")
_watching: list[list[str]] = []


@contextmanager
def reached_for() -> Iterator[list[str]]:
    """Files, databases, sockets and processes that are reached for inside the block.

    Python tells of them by audit events (PEP 578), which no library can keep quiet but one that leaves Python.
    """
    _install()
    found: list[str] = []
    _watching.append(found)
    try:
        yield found
    finally:
        _watching.remove(found)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(_REACHING) and event not in _HARMLESS:
        text = f"{event}({', '.join(map(_shown, arguments))})"
        for found in _watching:
            found.append(text)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (str, bytes, int, tuple)) else type(value).__name__


@cache
def _install() -> None:
    """A hook stays for the life of the process, so it is set once."""
    sys.addaudithook(_hook)


def within(seconds: float, work: Callable[[], Any]) -> tuple[bool, BaseException | None]:
    """Whether ``work`` came to its end in time, and what it raised. Work that did not goes on in its thread."""
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
path, given = pickle.loads(base64.b64decode(sys.stdin.read()))
sys.path[:] = path  # before what is given, which is imported from there
given = pickle.loads(given)
"""
NO_NETWORK = """
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise OSError(f"{event}{arguments!r}: there is no network here")
sys.addaudithook(refuse)
"""


def in_child(code: str, given: Any) -> tuple[int, str]:
    """Run code that finds ``given``; its exit code, and the end of what it wrote, errors included."""
    sent = base64.b64encode(pickle.dumps((sys.path, pickle.dumps(given))))
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + code],
        input=sent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(errors="replace")[-3000:]
