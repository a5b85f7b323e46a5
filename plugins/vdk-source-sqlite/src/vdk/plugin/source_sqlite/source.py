# SPDX-License-Identifier: Apache-2.0
"""The source: a SQLite database, one stream per table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from vdk.plugin.datasource_base.contract import ConfigurationError, data_source
from vdk.plugin.datasource_sql import SqlSource, TableInfo

from .backend import SqliteBackend
from .config import SqliteConfig

__all__ = ["SqliteConfig", "SqliteSource"]
log = logging.getLogger(__name__)


@data_source(name="sqlite", config=SqliteConfig)
class SqliteSource(SqlSource[SqliteConfig]):
    """Tables of one SQLite database; read incrementally where they have a cursor, else whole."""

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
