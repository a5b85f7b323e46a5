"""All that is SQLite's own: opening, reflecting, declared types, and cursors in dynamically typed columns."""

from ._dialect import SqliteDialect

__all__ = ["SqliteDialect"]
