# SPDX-License-Identifier: Apache-2.0
"""Files that a run writes for people and programs: checked before the first row is read, and replaced atomically."""

from __future__ import annotations

import os
from pathlib import Path

from ...contract import ConfigurationError


def check_writable(path: Path, *, what: str, remedy: str) -> None:
    """Raise ``ConfigurationError`` if a file cannot be written.

    :param what: names the file, as "summary file". :param remedy: how to name another one.
    """
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if existing == path:
        reason = "it is a folder" if path.is_dir() else "" if os.access(path, os.W_OK) else "permission denied"
    elif not existing.is_dir():
        reason = f"{existing} is a file, not a folder"
    else:
        reason = "" if os.access(existing, os.W_OK | os.X_OK) else f"permission denied in {existing}"
    if reason:
        raise ConfigurationError(f"{what} {path} cannot be written: {reason}; {remedy}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it meanwhile finds the old one or the new one, whole. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
