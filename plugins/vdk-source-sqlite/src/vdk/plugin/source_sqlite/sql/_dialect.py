"""What one database does its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from vdk.plugin.datasource_base.contract import DataSourceError

if TYPE_CHECKING:
    from ._bulk import Bulk
    from ._expression import Expression
    from ._facts import CursorFacts, TableInfo
    from ._kinds import Kind
    from ._query import Query
    from ._session import Session


class Dialect(Protocol):
    """Picklable; it holds how to connect, never a connection."""

    def identity(self) -> str:
        """The database as a URL without secrets; stable."""

    def connect(self) -> Any:
        """A new connection (PEP 249, ``qmark``) that cannot write and opens transactions only when told to.

        Raises ``ConfigurationError`` or ``ConnectionFailedError``.
        """

    def tables(self, session: Session) -> Sequence[TableInfo]:
        """Every table and view that holds a user's data, in a stable order."""

    def translate(self, error: Exception) -> DataSourceError | None:
        """A driver's error as one of ours; None: it is no driver's error."""

    def tolerate(self, session: Session, error: Exception) -> bool:
        """Whether a read that failed with ``error`` may be repeated, now that the connection was told to
        take what it could not. The rows that were unreadable then come with values that do not convert."""

    def kind(self, declared: str, sample: Sequence[Any]) -> Kind:
        """How the values of a column land, by its declared type, and by some of its values where that decides.

        A kind that waits where the values decide and ``sample`` is empty.
        """

    def cursor_expression(self, column: Expression, cursor_format: str) -> Expression:
        """The cursor so that the database orders it by its bytes or number. ``column`` itself where an index may serve.

        Raises ``ConfigurationError`` for a ``cursor_format`` that is not known.
        """

    def collated(self, column: Expression, collation: str | None) -> Expression:
        """``column``, ordered under ``collation``."""

    def bulk(self, query: Query, kinds: Mapping[str, Kind]) -> Bulk | None:
        """How large spans of the query's table are read faster; None: there is no other way."""

    def cursor_facts(self, session: Session, query: Query, known: str | None) -> CursorFacts:
        """Format, maximum and NULLs of the query's cursor, in the session's snapshot.

        :param known: the tag of the stored state's format. With it and an index, no more than the index is
            read; without, one pass over the table.
        :raises ConfigurationError: for formats that are mixed or do not sort, with how many of each.
        """
