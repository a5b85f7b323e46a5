# SPDX-License-Identifier: Apache-2.0
"""Tables of any SQL database as streams: planning, paging, incremental reading.

What one database does its own way is in its ``Backend``. A plugin for a database is a configuration class, a
``Backend`` and a ``DataSource`` that connects the two. ``kinds`` defines how values land, ``cursors`` what cursors
mean.
"""

from .backend import Backend
from .bulk import MIN_BULK_ROWS, BulkPass, BulkReader
from .config import SqlConfig, TableConfig
from .expressions import ONE, Expression, bound, compile_statement, last_row_values
from .repairs import repaired
from .session import Row, SqlSession
from .statements import TableQuery
from .stream import SqlStream, plan_streams
from .table_info import CursorInfo, KeyInfo, TableInfo

__all__ = [
    "MIN_BULK_ROWS",
    "ONE",
    "Backend",
    "BulkPass",
    "BulkReader",
    "CursorInfo",
    "Expression",
    "KeyInfo",
    "Row",
    "SqlConfig",
    "SqlSession",
    "SqlStream",
    "TableConfig",
    "TableInfo",
    "TableQuery",
    "bound",
    "compile_statement",
    "last_row_values",
    "plan_streams",
    "repaired",
]
