"""The target ``sqlite:///file``: rows and states of a run in one SQLite database, in one transaction."""

from __future__ import annotations

from pathlib import Path

from ..sql.target import SqlTarget
from ..url import TargetUrl, file_identity
from .database import SqliteDatabase

OPTIONS = ("lock_timeout",)


class SqliteTarget(SqlTarget):
    """One SQLite file.

    Option: ``lock_timeout`` (default 30s: how long to wait for others that read or write the file).
    """

    def __init__(self, target: str | None, *, folder: Path) -> None:
        url = TargetUrl.parse(target)
        url.option_names_within(OPTIONS)
        self.path = url.file(folder)
        super().__init__(target, folder=folder, database=SqliteDatabase(self.path, lock_timeout=url.lock_timeout()))

    def identity(self) -> str:
        return f"arrow sqlite:///{file_identity(self.path)}"
