"""Tables of any SQL database as streams: planning, keyset paging, watermarks. Knows no database.

What one database does its own way is behind ``Dialect``; a plugin for another database is a
configuration class, a ``Dialect`` and a ``DataSource`` that puts them together.
"""

from ._dialect import Dialect
from ._facts import CursorFacts, KeyInfo, TableInfo
from ._formats import CursorFormat
from ._kinds import Kind
from ._options import SqlConfig, TableConfig
from ._session import Session
from ._stream import SqlStream, plan_streams

__all__ = [
    "CursorFacts",
    "CursorFormat",
    "Dialect",
    "KeyInfo",
    "Kind",
    "Session",
    "SqlConfig",
    "SqlStream",
    "TableConfig",
    "TableInfo",
    "plan_streams",
]
