# SPDX-License-Identifier: Apache-2.0
"""Tables of any SQL database as streams: planning, paging, incremental reading.

What one database does its own way is in its ``Backend``. A plugin for a database is a configuration class, a
``Backend`` and a ``SqlSource`` that connects the two. ``kinds`` defines how values land, ``cursors`` what cursors
mean. Names are imported when they are used: VDK imports this package for every command, and SQLAlchemy takes
a quarter of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import Backend
    from .config import SqlConfig, TableConfig
    from .expressions import ONE, Expression, bound, compile_statement, last_row_values
    from .pages.bulk import MIN_BULK_ROWS, BulkPass, BulkReader
    from .pages.payload_builder import PayloadBuilder
    from .plans.planning import TablePlan
    from .plans.table_info import Barrier, CursorInfo, KeyInfo, TableInfo
    from .ranges.table_range import TableRange
    from .session import Row, SqlSession
    from .source import SqlSource
    from .statements import TableQuery, rows_after
    from .stream import SqlStream

__all__ = [
    "MIN_BULK_ROWS",
    "ONE",
    "Backend",
    "Barrier",
    "BulkPass",
    "BulkReader",
    "CursorInfo",
    "Expression",
    "KeyInfo",
    "PayloadBuilder",
    "Row",
    "SqlConfig",
    "SqlSession",
    "SqlSource",
    "SqlStream",
    "TableConfig",
    "TableInfo",
    "TablePlan",
    "TableQuery",
    "TableRange",
    "bound",
    "compile_statement",
    "last_row_values",
    "rows_after",
]

_MODULES = {
    "backend": ("Backend",),
    "pages.bulk": ("MIN_BULK_ROWS", "BulkPass", "BulkReader"),
    "config": ("SqlConfig", "TableConfig"),
    "expressions": ("ONE", "Expression", "bound", "compile_statement", "last_row_values"),
    "pages.payload_builder": ("PayloadBuilder",),
    "plans.planning": ("TablePlan",),
    "ranges.table_range": ("TableRange",),
    "session": ("Row", "SqlSession"),
    "source": ("SqlSource",),
    "statements": ("TableQuery", "rows_after"),
    "stream": ("SqlStream",),
    "plans.table_info": ("Barrier", "CursorInfo", "KeyInfo", "TableInfo"),
}


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)
