"""The target ``duckdb:///file``: rows and states of a run in one DuckDB database, in one transaction."""

from __future__ import annotations

from pathlib import Path

from ..sql.target import SqlTarget
from ..url import TargetUrl, file_identity
from .database import DuckDBDatabase

OPTIONS = ("schema", "lock_timeout", "memory_limit")


class DuckDBTarget(SqlTarget):
    """One DuckDB file.

    Options: ``schema`` (default ``main``; made where missing, and the states live in it), ``lock_timeout``
    (default 30s: how long to wait for a process that has the file open), ``memory_limit`` (as DuckDB writes it; by
    default little, and more when a table needs it).
    """

    def __init__(self, target: str | None, *, folder: Path) -> None:
        url = TargetUrl.parse(target)
        url.option_names_within(OPTIONS)
        self.path = url.file(folder)
        self.schema = url.schema("main")
        database = DuckDBDatabase(
            self.path, self.schema, lock_timeout=url.lock_timeout(), memory_limit=url.options.get("memory_limit")
        )
        super().__init__(target, folder=folder, database=database)

    def identity(self) -> str:
        return f"arrow duckdb:///{file_identity(self.path)}" + (
            f"?schema={self.schema}" if self.schema != "main" else ""
        )
