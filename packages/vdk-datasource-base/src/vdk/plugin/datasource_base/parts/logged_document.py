"""A JSON document in a file, replaced at once; once it is large, what changes is appended to a log beside it.

A document that is written whole each time costs more the more is in it. So a change of a large one is a line in its
log, and the two are put together when the log has become as long as the document: a change costs what it brings.

The document names its log. A line counts when it is complete: what a kill or a full disk has cut short is cut off by
the next one to write.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .files import sync_folder, write_synced

SMALL = 32 * 2**10
"""Bytes up to which a document is written whole: it is then one file, which a person can read."""
_LOG = "log"


class LoggedDocument:
    """A document and its log. Whoever writes holds a lock of theirs; whoever only reads needs none.

    :param path: the document's file; its folder exists when it is written.
    :param aside: where a new one is written, on the same file system, before it takes the place of the old one.
    """

    def __init__(self, path: Path, aside: Callable[[], Path]) -> None:
        self.path = path
        self._aside = aside
        self._identity: tuple[int, int, int] | None = None
        self._log: Path | None = None
        self._size = self._end = 0  # bytes of the document, and of the log as far as it was read
        self._known = False

    def forget(self) -> None:
        """Read everything again the next time."""
        self._known = False

    def refresh(self) -> tuple[bool, Any, list[Any]]:
        """What is new since the last call.

        :returns: whether the document is another one; then the document (None: there is none); and the changes of its
            log that have come since, in their order.
        :raises OSError: a file cannot be read. :raises ValueError: what is in it is not JSON in UTF-8.
        """
        while True:
            identity = self._looked()
            again = not (self._known and identity == self._identity and self._log is not None and self._log.exists())
            self._known = False
            document = self._document() if again else None
            changes = self._changes()
            if self._looked() != identity:
                continue  # another one has put document and log together meanwhile
            if changes is None:
                raise ValueError(f"its log {self._log} is missing")
            self._identity, self._known = identity, True
            return again, document, changes

    def write(self, change: Any, document: Callable[[], dict[str, Any]]) -> None:
        """Make a change: durable when this returns; when it raises, the file is as before.

        ``refresh`` was called under the same lock. :param document: makes the whole of it, with the change.
        :raises OSError: it cannot be written. :raises ValueError: it has a value that JSON has not.
        """
        line = encoded(change) + b"\n"
        whole = self._size + self._end + len(line)
        if whole <= SMALL or self._log is None or self._end + len(line) > max(self._size, SMALL):
            self._replace(document(), logged=whole > SMALL)
        else:
            self._append(self._log, line)

    def synced(self) -> None:
        """Make durable what was read: a process that was killed may have left it to the system to write."""
        for path in (self.path, self._log):
            if path is not None and path.exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())

    def _append(self, log: Path, line: bytes) -> None:
        with log.open("r+b", buffering=0) as file:
            file.truncate(self._end)  # a line that was cut short
            file.seek(self._end)
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log))
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    file.truncate(self._end)
                raise
        self._end += len(line)

    def _replace(self, document: Mapping[str, Any], *, logged: bool) -> None:
        log = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:12]}.log") if logged else None
        content = encoded({**document, _LOG: log.name} if log else document, indent=1)
        aside = self._aside()
        try:
            if log is not None:
                write_synced(log, b"")
            write_synced(aside, content)
            os.replace(aside, self.path)
        except BaseException:
            for path in (aside, log):
                if path is not None:
                    with suppress(OSError):
                        path.unlink(missing_ok=True)
            raise
        sync_folder(self.path.parent)
        if self._log is not None:  # nothing names it any more
            with suppress(OSError):
                self._log.unlink(missing_ok=True)
        self._identity, self._log, self._size, self._end, self._known = self._looked(), log, len(content), 0, True

    def _document(self) -> Any:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
            document = None
        else:
            document = json.loads(content.decode("utf-8"))
        name = document.get(_LOG) if isinstance(document, dict) else None
        self._log = self.path.with_name(name) if isinstance(name, str) and Path(name).name == name else None
        self._size, self._end = len(content), 0
        return document

    def _changes(self) -> list[Any] | None:
        """The complete lines of the log that have not been read; None: it is not there."""
        if self._log is None:
            return []
        try:
            with self._log.open("rb") as file:
                file.seek(self._end)
                content = file.read()
        except FileNotFoundError:
            return None
        complete = content[: content.rfind(b"\n") + 1]
        changes = [json.loads(line.decode("utf-8")) for line in complete.splitlines()]
        self._end += len(complete)
        return changes

    def _looked(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def encoded(content: Any, *, indent: int | None = None) -> bytes:
    """In ASCII: a state may hold half a surrogate pair, for which JSON has an escape and UTF-8 has nothing."""
    return json.dumps(content, allow_nan=False, indent=indent).encode("ascii")
