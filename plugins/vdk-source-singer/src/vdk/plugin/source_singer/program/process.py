# SPDX-License-Identifier: Apache-2.0
"""A tap as a process: its lines, its log, the time in which it must write something, and its end."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from vdk.plugin.datasource_base import ConfigurationError, ConnectionFailedError

from ..errors import TapError
from .guard import Guard

log = logging.getLogger(__name__)

HEARTBEAT = 0.5
"""Seconds without a line after which a reader gets an empty chunk, and may stop."""
_READ = 64 * 1024
_QUEUED = 2
"""Reads that wait; then the tap waits."""
_GRACE = 3.0
"""Seconds that a tap has to end after SIGTERM."""
_LINGER = 2.0
"""Seconds after the end of a tap in which another process may hold its output open."""
_LAST_LINES = 5
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_LEVELS = logging.getLevelNamesMapping()
_TRACE = re.compile(r"\s|Traceback ")
"""What begins a line of a traceback that is not the error itself."""
_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables of this Python, which would lead the tap's Python to the wrong packages."""


class TapProcess:
    """A running tap. Use it as a context manager: its end kills the tap with every process that it has started.

    :param name: names the tap in logs and errors.
    :param timeout: seconds in which the tap must write something, to its output or its log.
    :param max_line: the longest line, in bytes. :param redact: takes secrets out of the tap's log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path | None,
        timeout: float,
        max_line: int,
        redact: Callable[[str], str],
    ) -> None:
        self._name, self._timeout, self._max_line, self._redact = name, timeout, max_line, redact
        self._ended = threading.Event()
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._reads: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        environment = {key: value for key, value in os.environ.items() if key not in _PYTHON}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigurationError(
                f'{name}: the tap cannot be started: {error}; name its program: executable = "/path/to/{name}"'
            ) from None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._guard = Guard(self._process.pid)
        self._active = time.monotonic()
        self._threads = [
            threading.Thread(target=self._pump, args=(self._process.stdout,), name=f"{name} output", daemon=True),
            threading.Thread(target=self._log, args=(self._process.stderr,), name=f"{name} log", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> TapProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield complete lines, several at once, up to the tap's end; ``b""`` while it writes nothing.

        A last line without its end is yielded, too, if the tap ended well.

        :raises ConnectionFailedError: the tap was killed, or has written nothing for too long.
        :raises TapError: the tap ended with an error, or a line is too long.
        """
        rest: list[bytes] = []  # of the line that is not complete
        size = 0
        while (read := self._next()) is not None:
            line_end = read.rfind(b"\n") + 1
            if line_end:
                yield b"".join((*rest, read[:line_end]))
                rest, size = [], 0
            elif not read:
                yield b""
            if line_end < len(read):
                rest.append(read[line_end:])
                size += len(read) - line_end
            if size > self._max_line:
                shown = b"".join(rest)[:80].decode("utf-8", "replace")
                raise TapError(
                    f"{self._name}: a line has more than {self._max_line:,} bytes; write max_line_bytes = "
                    f"{4 * self._max_line}, or leave out the large property with select. It begins: {shown}"
                )
        yield from self._wait_for_end()
        self._check_exit()
        if rest:
            yield b"".join(rest)

    def output(self) -> bytes:
        """All that the tap writes, up to its end. Raises as ``chunks`` does."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Kill the tap and every process of its group. Idempotent."""
        self._ended.set()
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        self._signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        self._guard.end()
        self._process.wait()
        for thread in self._threads:
            thread.join(_GRACE)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        """To the group, which exists as long as a process of it does."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def _next(self) -> bytes | None:
        """What was read; ``b""``: nothing for a while; None: the end of the output."""
        try:
            read = self._reads.get(timeout=HEARTBEAT)
        except queue.Empty:
            self._check_time()
            return b""
        self._active = time.monotonic()
        return read

    def _wait_for_end(self) -> Iterator[bytes]:
        """The output is closed; the tap itself may still run."""
        while self._process.poll() is None:
            self._check_time()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(HEARTBEAT)
                return
            yield b""

    def _check_time(self) -> None:
        idle = time.monotonic() - self._active
        if idle > _LINGER and self._process.poll() is not None:
            self._signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        if idle > self._timeout:
            raise ConnectionFailedError(
                f"{self._name} has written nothing for {self._timeout:g} s; if it needs longer, write "
                f'timeout = "{2 * self._timeout:g}s"{self._shown_log()}'
            )

    def _check_exit(self) -> None:
        self._guard.end()
        code = self._process.returncode
        self._threads[1].join(_LINGER)  # its last lines say why
        if code < 0:
            number = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            raise ConnectionFailedError(f"{self._name} was killed by {number}{self._shown_log()}")
        if code:
            raise TapError(f"{self._name} ended with the exit code {code}{self._shown_log()}")

    def _shown_log(self) -> str:
        lines = [line for line in self._last_lines if not _TRACE.match(line)]
        return f". Its last lines: {' | '.join(lines)}" if lines else ""

    def _pump(self, pipe: IO[bytes]) -> None:
        """Read the output until its end; what the tap has written waits in a short queue."""
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import fcntl

            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 16 * _READ)  # fewer switches between the two processes
        with contextlib.suppress(OSError, ValueError):
            while read := os.read(pipe.fileno(), _READ):
                if not self._put(read):
                    return
        self._put(None)

    def _put(self, read: bytes | None) -> bool:
        while not self._ended.is_set():
            with contextlib.suppress(queue.Full):
                self._reads.put(read, timeout=HEARTBEAT)
                return True
        return False

    def _log(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in iter(lambda: pipe.readline(64 * 1024), b""):
                self._active = time.monotonic()
                if text := self._redact(line.decode("utf-8", "replace").rstrip()):
                    self._last_lines.append(text[:500])
                    level = _LEVEL.search(text[:80])
                    shown = text[level.end() :].lstrip(" |:") if level and level.end() < 40 else text
                    log.log(_LEVELS[level[1]] if level else logging.INFO, "%s: %s", self._name, shown)
