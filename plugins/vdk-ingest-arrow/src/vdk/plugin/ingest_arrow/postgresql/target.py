"""The target ``postgresql://…``: rows and states of a run in one schema of a database, in one transaction."""

from __future__ import annotations

from pathlib import Path

from ..sql.target import SqlTarget
from .database import PostgresqlDatabase
from .url import PostgresqlUrl


class PostgresqlTarget(SqlTarget):
    """One schema of a PostgreSQL database.

    Options: ``schema`` (default ``public``; made where missing, and the states live in it), ``lock_timeout`` (default
    30s: how long to wait for others that use the same tables). Every other is handed to libpq: ``sslmode``, …
    """

    def __init__(self, target: str | None, *, folder: Path) -> None:
        self._url = PostgresqlUrl.parse(target)
        super().__init__(None, folder=folder, database=PostgresqlDatabase(self._url))

    def identity(self) -> str:
        schema = self._url.schema
        return f"arrow {self._url.place}" + (f"?schema={schema}" if schema != "public" else "")
