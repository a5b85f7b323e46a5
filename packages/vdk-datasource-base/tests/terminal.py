"""A process in a terminal: what a person sees of it, and sees when scrolling back."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyte

LIMIT = 90
"""Seconds after which a process hangs."""


@dataclass(frozen=True)
class Seen:
    """What was on the terminal when the process ended.

    :param lines: all lines, those that scrolled away first. A line that was broken at the right edge is several.
    :param raw: what was written to the terminal.
    """

    code: int
    lines: list[str]
    raw: str

    @property
    def text(self) -> str:
        """All of it without spaces and ends of lines: one can stand where the terminal broke a line."""
        return "".join("".join(self.lines).split())


def in_terminal(
    *command: str | Path,
    path: Path,
    folder: Path,
    columns: int = 100,
    rows: int = 24,
    on_text: tuple[str, Callable[[int, int], None]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Seen:
    """Run a Python process with all its streams on a new terminal.

    :param on_text: what to do, with the terminal's descriptor and the process' id, once a text was seen.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    surroundings = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env={**surroundings, "TERM": "xterm-256color", "PYTHONPATH": str(path), **(environment or {})},
        preexec_fn=lambda: _lead(slave),
    )
    os.close(slave)
    try:
        written = _read(master, process, on_text)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    screen = pyte.HistoryScreen(columns, rows, history=100_000, ratio=1)
    stream = pyte.Stream(screen)
    stream.feed(written)
    scrolled = ["".join(line[x].data for x in range(columns)).rstrip() for line in screen.history.top]
    return Seen(process.returncode, [*scrolled, *(line.rstrip() for line in screen.display)], written)


def _lead(slave: int) -> None:
    """Make the terminal the process' own, so that Ctrl-C reaches it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def _read(master: int, process: subprocess.Popen[bytes], on_text: tuple[str, Callable[[int, int], None]] | None) -> str:
    read, end = b"", time.monotonic() + LIMIT
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                read += os.read(master, 65536)
            except OSError:  # the process was the last that had the other side open
                break
        if on_text is not None and on_text[0].encode() in read:
            on_text[1](master, process.pid)
            on_text = None
    written = read.decode("utf-8", "replace")
    try:
        process.wait(max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise AssertionError(f"still running after {LIMIT} s; it wrote {written!r}") from None
    return written
