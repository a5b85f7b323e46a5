# SPDX-License-Identifier: Apache-2.0
"""The source: a SQLite database, one stream per table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from vdk.plugin.datasource_base.contract import ConfigurationError, data_source
from vdk.plugin.datasource_sql import SqlSource, TableInfo

from .backend import SqliteBackend
from .config import SqliteConfig

__all__ = ["SqliteConfig", "SqliteSource"]
log = logging.getLogger(__name__)
_HEADER = b"SQLite format 3\0"


@data_source(name="sqlite", config=SqliteConfig)
class SqliteSource(SqlSource[SqliteConfig]):
    """Tables of one SQLite database; read incrementally where they have a cursor, else whole."""

    url_schemes = ("sqlite",)

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        """``sqlite:///shop.db`` is a file in the working folder, ``sqlite:////data/shop.db`` an absolute path."""
        rest, _, query = url.partition("://")[2].partition("?")
        path = unquote(rest.removeprefix("/"))
        if not rest.startswith("/") or not path or path == ":memory:":
            raise ConfigurationError(
                f"{url!r} names no file: write three slashes before it (sqlite:///shop.db), or four before an absolute "
                "path (sqlite:////data/shop.db)"
            )
        if query:
            raise ConfigurationError(f"{url!r}: what follows the '?' is not supported; write sqlite:///{path}")
        return {"database": path, **cls.cursor_options(cursor)}

    @classmethod
    def url_of(cls, text: str) -> str | None:
        """That of an existing SQLite file."""
        try:
            with Path(text).open("rb") as file:
                is_database = file.read(len(_HEADER)) == _HEADER
        except (OSError, ValueError):
            return None
        return f"sqlite:///{quote(text)}" if is_database else None

    def __init__(self, config: SqliteConfig) -> None:
        super().__init__(config)
        self._backend = SqliteBackend(_absolute(config.database), config.lock_timeout.total_seconds())

    @property
    def backend(self) -> SqliteBackend:
        return self._backend

    def tables(self) -> Sequence[TableInfo]:
        """An empty file has none, and is not opened: see ``SqliteBackend.is_blank``."""
        if not self._backend.is_blank():
            return super().tables()
        log.warning(
            "the SQLite database %r has 0 bytes, and so no table: no stream is read. Check that database names the "
            "right file, and that what writes it has written it",
            str(self._backend.path),
        )
        return ()


def _absolute(database: Path) -> Path:
    """With links resolved. Raises ``ConfigurationError`` for what cannot be the name of a file."""
    try:
        path = database.expanduser().resolve()
        path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL character, or links in a circle
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"database: {str(database)!r} is not the path of a file: {reason}") from None
    return path
