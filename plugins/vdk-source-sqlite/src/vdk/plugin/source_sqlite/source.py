# SPDX-License-Identifier: Apache-2.0
"""The source: a SQLite database, one stream per table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSource, DataSourceState, Duration, data_source
from vdk.plugin.datasource_sql import SqlConfig, SqlSession, SqlStream, TableInfo, plan_streams

from .backend import SqliteBackend

log = logging.getLogger(__name__)


class SqliteConfig(SqlConfig):
    """A SQLite database and how its tables are read."""

    database: Annotated[Path, Meta(description="the database file; it is opened read-only and never created")]
    lock_timeout: Annotated[
        Duration, Meta(description="how long to wait for a process that writes to the database")
    ] = Duration(seconds=5)


@data_source(name="sqlite", config=SqliteConfig)
class SqliteSource(DataSource[SqliteConfig]):
    """Tables of one SQLite database; read incrementally where they have a cursor, else whole."""

    def __init__(self, config: SqliteConfig) -> None:
        super().__init__(config)
        self._backend = SqliteBackend(_absolute(config.database), config.lock_timeout.total_seconds())
        self._streams: list[SqlStream] | None = None

    def identity(self) -> str:
        """``sqlite:///`` and the file's absolute path, links resolved."""
        return self._backend.identity()

    def connect(self, state: DataSourceState) -> None:
        """Looks at the database once; each stream opens its own connection when it is read."""
        if self._backend.is_blank():
            tables: Sequence[TableInfo] = ()
            log.warning(
                "the SQLite database %r has 0 bytes, and so no table: no stream is read. Check that database names the "
                "right file, and that what writes it has written it",
                str(self._backend.path),
            )
        else:
            with SqlSession(self._backend) as session:
                session.begin()
                tables = self._backend.tables(session)
            if not tables:
                log.warning("the SQLite database %r has no table to read, so no stream", str(self._backend.path))
        self._streams = plan_streams(tables, self.config, self._backend, state)

    def streams(self) -> Sequence[SqlStream]:
        if self._streams is None:
            self.connect(DataSourceState())
        return list(self._streams or ())

    def check(self) -> None:
        self.connect(DataSourceState())


def _absolute(database: Path) -> Path:
    """With links resolved. Raises ``ConfigurationError`` for what cannot be the name of a file."""
    try:
        path = database.expanduser().resolve()
        path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL character, or links in a circle
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"database: {str(database)!r} is not the path of a file: {reason}") from None
    return path
