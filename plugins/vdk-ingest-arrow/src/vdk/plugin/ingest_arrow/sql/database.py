"""What is said of files, and of other people's constraints, whichever database it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, DestinationError
from vdk.plugin.datasource_base.parts import quoted

from .incoming import Incoming
from .names import check_name, folded
from .types import Columns, Types


def first_bytes(path: Path, count: int, database: str) -> bytes | None:
    """How a database's file begins; None where there is no file yet.

    :raises ConfigurationError: there is no such folder, or it is a folder itself.
    :raises DestinationError: it may not be read.
    """
    try:
        if not path.parent.is_dir():
            raise ConfigurationError(f"the folder of {path} does not exist: make it, or correct the target")
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder: the target names a file, of {database}")
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DestinationError(f"{path} cannot be read: {error.strerror or error}") from error


def forbidden(path: Path, text: str) -> DestinationError:
    """The error of a file, or a folder, that is read-only or another user's; trying again would not change it."""
    return DestinationError(
        f"{path} may not be written by this user: the database writes the file and, for its journal, the folder. Grant "
        f"both, or name another file: {text}"
    )


def something_else(path: Path, problem: str) -> ConfigurationError:
    """The error of a file that is no database."""
    return ConfigurationError(f"{path} {problem}: name another file, or remove this one; it was left as it is")


def constrained(where: str, text: str) -> DestinationError:
    """The error of a constraint; none is made here but that of the states."""
    return DestinationError(
        f"{where}: a constraint or unique index that is not vdk-ingest-arrow's refuses the rows: {text}. "
        "Drop it, or have the rows fit it"
    )


T = TypeVar("T")


class SerializationConflict(ConnectionFailedError):
    """Another transaction was faster: this one is undone, and tried again from its start."""


class Database(ABC):
    """One connection to one schema of a database, used by one thread at a time.

    :ivar where: what errors call the database; no secret is in it.
    """

    types: ClassVar[Types]
    now: ClassVar[str] = "now()"
    """SQL for the present time as ``types.zoned``."""
    for_update: ClassVar[str] = ""
    """What makes a SELECT hold the rows it found until the transaction ends, where it does not anyway."""
    traces_change: ClassVar[bool] = True
    """Whether a table's trace has to be taken again after each commit: it becomes another one, or a table may be
    dropped between two statements of a transaction."""
    where: str

    # The connection.

    @abstractmethod
    def open(self) -> None:
        """Connect.

        :raises ConfigurationError: there is no such database, or it is something else.
        :raises ConnectionFailedError: it is away, or others have it, after the lock timeout.
        :raises DestinationError: it may not be read and written.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it. Idempotent."""

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows; connects first where that has not happened."""

    @abstractmethod
    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run an INSERT, UPDATE or DELETE and return how many rows it was for."""

    @abstractmethod
    def translated(self) -> AbstractContextManager[None]:
        """Within it, the driver's errors come out as the runtime understands them."""

    @abstractmethod
    def transaction(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one transaction, again from its start where another was faster.

        Everything ``work`` does must be in the database: what it keeps elsewhere is not undone.

        :raises ConnectionFailedError: still in conflict after the lock timeout.
        :raises DestinationError: this is another database than that which was opened.
        """

    @abstractmethod
    def readable(self, tables: Sequence[pa.Table]) -> AbstractContextManager[Callable[[], list[Incoming]]]:
        """Arrow tables to select from. Entered before the transaction; what it gives is called in each attempt."""

    def check_values(self, table: pa.Table) -> None:
        """Raises ``UnfitValueError`` for what the database would take for another value without a word."""
        return

    def numbered(self, count: int, first: int = 1) -> list[str]:
        """Parameters for a statement, in the order they stand in it: ``$1``, ``$2`` …"""
        return [f"${number}" for number in range(first, first + count)]

    # Names.

    def fold(self, name: str) -> str:
        """Equal for names that are one to the database."""
        return folded(name)

    def check_name(self, name: str, what: str) -> None:
        """Raises ``DestinationError`` for a name that the database does not take."""
        check_name(name, what)

    def check_column(self, name: str, table: str) -> None:
        """Raises ``DestinationError`` for a name that no column can have."""
        self.check_name(name, f"table {table!r}: a column named")

    @abstractmethod
    def path(self, name: str) -> str:
        """A table's whole name, quoted, which nothing else is called."""

    # Tables. Everything from here on is meant to be called within a transaction.

    @abstractmethod
    def make_schema(self) -> None:
        """Make the schema where it is missing."""

    def hold(self, table: str) -> None:
        """See that nobody else who writes as we do changes this table, or makes it, until the transaction ends."""
        return

    def check_writable(self) -> None:
        """Try what a commit needs and a transaction that is undone does not show.

        :raises DestinationError: it would not be allowed.
        """
        return

    @abstractmethod
    def columns(self, name: str) -> Columns | None:
        """The table's columns; None where there is no such table.

        :raises DestinationError: where the name is a view's, or one that the database takes for another table's.
        """

    @abstractmethod
    def traces(self, names: Collection[str]) -> Mapping[str, Hashable]:
        """For each table that there is: what tells it from one that is made in its place."""

    def continues(self, before: Hashable, now: Hashable, *, landed: bool = False) -> bool:
        """Whether two traces of one name are those of one table.

        :param landed: whether this transaction has written to the table between the two.
        """
        return before == now

    def rename(self, old: str, new: str) -> None:
        """Rename a table of this schema."""
        self.rows(f"ALTER TABLE {self.path(old)} RENAME TO {quoted(new)}")

    @abstractmethod
    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        """Change a column to a type that all its values survive in."""

    @abstractmethod
    def put_in_place(self, new: str, name: str) -> None:
        """Have ``name`` be what ``new`` is, and ``new`` be gone. Views of it stay, and so do indexes on it."""

    def index(self, table: str, columns: Sequence[str]) -> None:
        """See that rows are found by these columns without reading the whole table."""
        return

    def insert(self, incoming: Incoming, table: str, names: Sequence[str], columns: Columns) -> None:
        """Append the incoming rows' ``names`` to a table whose columns are ``columns``."""
        selected = [
            self.types.converted(incoming.expressions[name], incoming.types[name], columns[name])
            if name in incoming.types
            else "NULL"
            for name in names
        ]
        self.rows(
            f"INSERT INTO {self.path(table)} ({', '.join(map(quoted, names))}) "
            f"SELECT {', '.join(selected)} FROM {incoming.relation(names)}"
        )

    @abstractmethod
    def temporary(self, select: str, columns: Sequence[str]) -> AbstractContextManager[str]:
        """The rows of a query as a table, for a while, to be joined by all of ``columns``."""

    def delete_matching(self, table: str, keys: str, columns: Sequence[str]) -> None:
        """Delete the rows whose ``columns`` are among ``keys``, a table that ``temporary`` made."""
        self.rows(f"DELETE FROM {self.path(table)} AS landed USING {keys} AS gone WHERE {self.same(columns)}")

    def same(self, columns: Sequence[str]) -> str:
        """The condition that a row of ``landed`` has the key of a row of ``gone``."""
        return " AND ".join(f"landed.{quoted(name)} = gone.{quoted(name)}" for name in columns)
