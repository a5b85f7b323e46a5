# SPDX-License-Identifier: Apache-2.0
"""A JSON document in a file, replaced atomically; changes of a large document are appended to a log beside it.

Writing a whole document costs more the larger it is. So a change of a large document is a line in its log, and the log
is merged into the document when it is as long as the document: the cost of a change depends on the change alone.

The document names its log. A line counts if it is complete: the next writer truncates what a kill or a full disk has
cut short.
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

SMALL = 32 * 2**10
"""Bytes up to which a document is written as a whole: it is then one file, which a user can read."""
_LOG = "log"


class LoggedDocument:
    """A document and its log. A writer holds a lock of its own; a reader needs none.

    :param path: the document's file; its folder must exist when it is written.
    :param aside: the path, on the same file system, of a new document before it replaces the old one.
    """

    def __init__(self, path: Path, aside: Callable[[], Path]) -> None:
        self.path = path
        self._aside = aside
        self._identity: tuple[int, int, int] | None = None
        self._log: Path | None = None
        self._size = self._end = 0  # bytes of the document, and of the log that was read
        self._is_current = False

    def invalidate(self) -> None:
        """Let the next ``refresh`` read everything again."""
        self._is_current = False

    def refresh(self) -> tuple[bool, Any, list[Any]]:
        """Read what is new since the last call.

        :returns: whether the document was replaced; the new document (None: the file does not exist, or the document
            was not replaced); and the changes that the log has gained, in order.
        :raises OSError: a file cannot be read. :raises ValueError: its content is not JSON in UTF-8.
        """
        while True:
            identity = self._file_identity()
            unchanged = self._is_current and identity == self._identity and self._log is not None and self._log.exists()
            self._is_current = False
            document = None if unchanged else self._read_document()
            changes = self._read_changes()
            if self._file_identity() != identity:
                continue  # another process has replaced the document meanwhile
            if changes is None:
                raise ValueError(f"its log {self._log} is missing")
            self._identity, self._is_current = identity, True
            return not unchanged, document, changes

    def write(self, change: Any, document: Callable[[], dict[str, Any]]) -> None:
        """Write a change. It is durable when this returns; if this raises, the file is unchanged.

        ``refresh`` must have been called under the same lock. :param document: returns the whole document, with the
        change. :raises OSError: the file cannot be written. :raises ValueError: JSON cannot represent a value.
        """
        line = encoded(change) + b"\n"
        total = self._size + self._end + len(line)
        if total <= SMALL or self._log is None or self._end + len(line) > max(self._size, SMALL):
            self._replace(document(), logged=total > SMALL)
        else:
            self._append(self._log, line)

    def sync(self) -> None:
        """Make durable what was read: a killed process may have left it in the memory of the system."""
        for path in (self.path, self._log):
            if path is not None and path.exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())

    def _append(self, log: Path, line: bytes) -> None:
        with log.open("r+b", buffering=0) as file:
            file.truncate(self._end)  # removes a line that was cut short
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
        if self._log is not None:  # the new document does not name it
            with suppress(OSError):
                self._log.unlink(missing_ok=True)
        self._identity, self._log = self._file_identity(), log
        self._size, self._end, self._is_current = len(content), 0, True

    def _read_document(self) -> Any:
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

    def _read_changes(self) -> list[Any] | None:
        """The complete lines of the log that have not been read; None: the log does not exist."""
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

    def _file_identity(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


def encoded(content: Any, *, indent: int | None = None) -> bytes:
    """Content as JSON in ASCII: a state may have half of a surrogate pair, which JSON can escape, unlike UTF-8."""
    return json.dumps(content, allow_nan=False, indent=indent).encode("ascii")


def write_synced(path: Path, content: bytes) -> None:
    """Write a whole file, durable when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder durable; systems that cannot sync a folder do not need it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
