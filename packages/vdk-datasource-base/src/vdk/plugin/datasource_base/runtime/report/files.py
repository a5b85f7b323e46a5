# SPDX-License-Identifier: Apache-2.0
"""Files that a run writes for people and programs: checked before the first row is read, and replaced atomically."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...contract import ConfigurationError


def check_writable(path: Path, *, what: str, remedy: str, begins: bytes = b"") -> None:
    """Raise ``ConfigurationError`` if a file cannot be written, or if it is somebody's file of another kind.

    :param what: names the file, as "summary file". :param remedy: how to name another one.
    :param begins: how such files begin; a file that begins otherwise, such as the flow file or the target, is not
        replaced.
    """
    parent = path.absolute().parent
    if path.exists():
        reason = "it is a folder" if path.is_dir() else "" if os.access(path, os.W_OK) else "permission denied"
        if not reason and _is_of_another_kind(path, begins):
            reason = "it exists, and is a file of another kind, which would be lost"
    elif not parent.exists():
        reason = f"the folder {parent} does not exist; create it first"
    elif not parent.is_dir():
        reason = f"{parent} is a file, not a folder"
    else:
        reason = "" if os.access(parent, os.W_OK | os.X_OK) else f"permission denied in {parent}"
    if reason:
        separator = ", or " if reason.endswith("first") else "; "
        raise ConfigurationError(f"{what} {path} cannot be written: {reason}{separator}{remedy}")


def _is_of_another_kind(path: Path, begins: bytes) -> bool:
    """Whether a regular file has content that does not begin as it should. One that cannot be read does not count."""
    try:
        if not path.is_file():  # a pipe or a device
            return False
        with path.open("rb") as file:
            start = file.read(200).lstrip()
    except OSError:
        return False
    return bool(start) and not start.startswith(begins)


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that a run writes: how errors name it, how it begins, and how to name another one."""

    what: str
    remedy: str
    begins: bytes

    def check(self, path: Path) -> None:
        """Raise ``ConfigurationError`` if such a file cannot be written here."""
        check_writable(path, what=self.what, remedy=self.remedy, begins=self.begins)


SUMMARY = FileKind("summary file", 'write summary = "run.json" or pass --summary run.json', b"{")
REPORT = FileKind("report file", "pass --report run.html", b"<!doctype html")
LINEAGE = FileKind("OpenLineage file", "pass --openlineage events.ndjson", b"{")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it meanwhile finds the old one or the new one, whole. Raises ``OSError``."""
    if path.exists() and not path.is_file():  # a pipe or a device
        path.write_bytes(content)
        return
    path = path.resolve()  # a link stays one
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
