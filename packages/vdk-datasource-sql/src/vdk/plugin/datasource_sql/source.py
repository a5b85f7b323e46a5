# SPDX-License-Identifier: Apache-2.0
"""What the source of every database has in common."""

from __future__ import annotations

import logging
import re
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSource, DataSourceState

from .backend import Backend
from .config import SqlConfig
from .incremental.state import describe
from .plans.table_info import TableInfo
from .plans.unused_options import unused_options
from .session import SqlSession
from .stream import SqlStream, plan_streams

log = logging.getLogger(__name__)
ConfigT = TypeVar("ConfigT", bound=SqlConfig)
_MAY_BE_KEY = re.compile(r"(?:\A|_)(?:id|uuid|guid|key|code|number|no)\Z|Id\Z", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.$ -]+")
_CURSOR_NAME = re.compile(
    r"update|modif|chang|edited|(^|_)(ts|time|timestamp|version|rowversion|seq|lsn)$|(^|_)last_", re.IGNORECASE
)
"""Names that columns have which grow with every change. One that is set once, as created_at, misses changes."""


def _may_be_cursor(name: str, type_: str) -> bool:
    is_ordered = type_.startswith(("timestamp", "date", "int", "uint", "string", "decimal", "null"))
    return is_ordered and _PLAIN.fullmatch(name) is not None and _CURSOR_NAME.search(name) is not None


class SqlSource(DataSource[ConfigT]):
    """Tables of one database; read incrementally where they have a cursor, else whole.

    A plugin derives from it, and provides the backend that its configuration describes.
    """

    scheme: ClassVar[str | None] = None
    """What the identity begins with; None: the name of the source."""

    @classmethod
    def describe_state(cls, state: Mapping[str, Any]) -> str:
        """The highest cursor with its row's key, and where a pass that was interrupted goes on."""
        return describe(state)

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        """The option ``url``. A plugin that has no such option overrides this."""
        return {"url": url, **cls.cursor_options(cursor)}

    @staticmethod
    def cursor_options(cursor: str | None) -> Mapping[str, Any]:
        """The options that make a column the cursor of every table that has it."""
        return {} if cursor is None else {"cursor_columns": [cursor]}

    @classmethod
    def option_hints(
        cls, stream: str, columns: Mapping[str, str], *, keyed: bool, cursor: str | None, unique: Collection[str] = ()
    ) -> Sequence[str]:
        """Which column may be the cursor of a table without one, and the key of a table without one."""
        if not _PLAIN.fullmatch(stream):
            return ()
        candidates = [name for name, type_ in columns.items() if _may_be_cursor(name, type_)]
        lines = [] if cursor is not None else [f'tables."{stream}".cursor = "{name}"' for name in candidates[:3]]
        key = next((name for name in columns if _PLAIN.fullmatch(name) and _MAY_BE_KEY.search(name)), None)
        if not keyed and key is not None:
            lines.append(f'tables."{stream}".primary_key = "{key}"  # only if no two rows have the same')
        return lines

    def __init__(self, config: ConfigT) -> None:
        super().__init__(config)
        self._streams: list[SqlStream] | None = None

    @property
    @abstractmethod
    def backend(self) -> Backend:
        """The database. Raises ``ConfigurationError`` for a configuration that describes none; no I/O."""

    def identity(self) -> str:
        """The database as a URL, without user, password or options."""
        try:
            return self.backend.identity()
        except ConfigurationError:  # connect reports it
            return f"{self.scheme or self.source_name}://"

    def connect(self, state: DataSourceState) -> None:
        """Looks at the database once; each stream has a connection of its own while it is read."""
        if self.backend.idle is not None:
            self.backend.idle.open()
        tables = self.tables()
        self._streams = plan_streams(tables, self.config, self.backend, state)
        for message in unused_options(self.config, [stream.plan for stream in self._streams]):
            log.warning("%s", message)

    def disconnect(self) -> None:
        with suppress(ConfigurationError):  # then there is no database, and no connection
            if self.backend.idle is not None:
                self.backend.idle.close()

    def tables(self) -> Sequence[TableInfo]:
        """Every table and view, as the database describes it now."""
        with SqlSession(self.backend) as session:
            self.inspect_server(session)
            session.begin()
            with session.translated():
                tables = self.backend.tables(session)
        if not tables:
            log.warning("%s has no table to read, so no stream", self.identity())
        return tables

    def inspect_server(self, session: SqlSession) -> None:
        """Note what the server is, before the tables are described, by the same connection. No transaction is open."""

    def streams(self) -> Sequence[SqlStream]:
        if self._streams is None:  # nobody has connected, so that nobody disconnects
            self._look()
        return list(self._streams or ())

    def check(self) -> None:
        self._look()

    def _look(self) -> None:
        """Connect, and leave nothing open."""
        try:
            self.connect(DataSourceState())
        finally:
            self.disconnect()
