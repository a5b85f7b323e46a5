# SPDX-License-Identifier: Apache-2.0
"""What the SQL targets need of a database: one connection, its SQL dialect, and rows to select from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConnectionFailedError, DataSourceError, DestinationError
from vdk.plugin.datasource_base.parts import quoted

from ..names import PART_COLUMN, check_name, fold_ascii
from .types import Columns, Types

T = TypeVar("T")


class SerializationConflict(ConnectionFailedError):
    """Another transaction was faster: this one is rolled back, and tried again from its start."""


def constraint_error(location: str, text: str) -> DestinationError:
    """The error of a constraint of somebody else's; the only one of ours is on the state table."""
    return DestinationError(
        f"{location}: a constraint or unique index that vdk-ingest-arrow did not create refuses the rows: {text}. "
        "Drop it, or make the rows fit with a transform"
    )


class Incoming:
    """Rows to land: for each column its type, and the SQL that selects it from a relation.

    :ivar types: of the columns that have a type.
    :ivar expressions: SQL for each column, as its type.
    :ivar untyped: columns without any value yet, which become columns when one comes.
    """

    arrow: pa.Table | None = None
    """The rows themselves, where they are not in the database yet and may be loaded as they are."""

    def __init__(
        self, relation: str, types: Columns, expressions: Mapping[str, str], untyped: Sequence[str] = ()
    ) -> None:
        self._relation = relation
        self.types = types
        self.expressions = expressions
        self.untyped = untyped

    @classmethod
    def of_arrow(
        cls,
        relation: str,
        schema: pa.Schema,
        types: Types,
        expression: Callable[[str, pa.DataType], str] = lambda name, type_: name,
    ) -> Incoming:
        """Rows of an Arrow table, which the database can select from ``relation``.

        :param expression: SQL for a quoted name of that relation as the type that the column becomes.
        """
        landing = {field.name: types.from_arrow(field.type) for field in schema}
        return cls(
            relation,
            {name: type_ for name, type_ in landing.items() if type_ is not None},
            {field.name: expression(quoted(field.name), field.type) for field in schema},
            [name for name, type_ in landing.items() if type_ is None],
        )

    @classmethod
    def of_table(cls, relation: str, columns: Columns) -> Incoming:
        """Rows of a table of the same database."""
        return cls(relation, columns, {name: quoted(name) for name in columns})

    def with_constant(self, column: str, value: int, type_: str) -> Incoming:
        """The same rows with one more column, whose value is the same in all of them."""
        return Incoming(
            self._relation, {**self.types, column: type_}, {**self.expressions, column: str(value)}, self.untyped
        )

    def relation(self, names: Sequence[str]) -> str:
        """A relation that has (at least) these columns. Called within the transaction."""
        return self._relation

    def restart(self) -> None:
        """A transaction begins, perhaps because the one before was rolled back."""
        return


class LoadedRows(Incoming):
    """Rows of an Arrow table, of which columns are loaded when they are selected from, each set of them once.

    :param load: makes a relation of a table, given the types that its columns become; a table may have no column.
    """

    def __init__(self, table: pa.Table, types: Types, load: Callable[[pa.Table, Columns], str]) -> None:
        landing = Incoming.of_arrow("", table.schema, types)
        super().__init__("", landing.types, landing.expressions, landing.untyped)
        self.arrow: pa.Table = table
        self._load = load
        self._relations: dict[tuple[str, ...], str] = {}

    def relation(self, names: Sequence[str]) -> str:
        typed = tuple(name for name in names if name in self.types)
        if typed not in self._relations:
            self._relations[typed] = self._load(self.arrow.select(typed), {name: self.types[name] for name in typed})
        return self._relations[typed]

    def restart(self) -> None:
        self._relations.clear()


class Database(ABC):
    """One connection to one schema of a database, used by one thread at a time.

    A ``…Connection`` implements the first half, a ``…Database`` derives from it and adds the SQL dialect.
    """

    types: ClassVar[Types]
    driver_error: ClassVar[type[Exception]]
    """The base class of the driver's errors."""
    now: ClassVar[str] = "now()"
    """SQL for the present time as ``types.timestamp_tz``."""
    row_lock: ClassVar[str] = ""
    """Makes a SELECT lock its rows until the transaction ends, where it does not anyway."""
    writes_alone: ClassVar[bool] = False
    """Whether no other transaction writes meanwhile, so that a row that is missing stays missing."""
    drops_columns: ClassVar[bool] = False
    """Whether columns are added and dropped without a look at the rows."""
    table_ids_change: ClassVar[bool] = True
    """Whether a table's id has to be looked up again after each commit: it may change, or a table may be dropped
    between two statements of a transaction."""
    location: str
    """What errors call the database; it contains no secret."""

    # The connection.

    def exists(self) -> bool:
        """Whether there is a database; False: ``open`` creates its file."""
        return True

    @abstractmethod
    def open(self) -> None:
        """Connect.

        :raises ConfigurationError: the database does not exist, or the file is something else.
        :raises ConnectionFailedError: it is unreachable, or locked by others for longer than the lock timeout.
        :raises DestinationError: it cannot be read and written.
        """

    @abstractmethod
    def close(self) -> None:
        """Disconnect. Idempotent."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows; connects first where that has not happened."""

    @abstractmethod
    def rows_affected(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run an INSERT, UPDATE or DELETE and return how many rows it affected."""

    @abstractmethod
    def transaction(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one transaction, again from its start where another was faster.

        Everything ``work`` does must be in the database: what it keeps elsewhere is not rolled back.

        :raises ConnectionFailedError: still in conflict after the lock timeout.
        :raises DestinationError: this is another database than the one that was opened.
        """

    @abstractmethod
    def translated(self, error: Any) -> DataSourceError:
        """A driver's error as the runtime understands it: try again, or not."""

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Within it, the driver's errors are raised as the runtime understands them."""
        try:
            yield
        except self.driver_error as error:
            raise self.translated(error) from error

    @abstractmethod
    def incoming(self, tables: Sequence[pa.Table]) -> AbstractContextManager[Sequence[Incoming]]:
        """Arrow tables to select from. Entered before the transaction; within it ``restart`` is called first."""

    def check_values(self, table: pa.Table) -> None:
        """Raises ``RefusedValueError`` for a value that the database would silently treat as another one."""
        return

    # Names and parameters.

    def placeholders(self, count: int, first: int = 1) -> list[str]:
        """Parameters for a statement, in the order of their values: ``$1``, ``$2`` …"""
        return [f"${number}" for number in range(first, first + count)]

    def instant(self, parameter: str) -> str:
        """SQL for a parameter with a UTC time in ISO 8601 as ``types.timestamp_tz``."""
        return f"CAST({parameter} AS {self.types.timestamp_tz})"

    def epoch(self, column: str) -> str:
        """SQL for the seconds between 1970 and a column of ``types.timestamp_tz``."""
        return f"EXTRACT(EPOCH FROM {column})"

    def fold(self, name: str) -> str:
        """Equal for names that the database treats as one."""
        return fold_ascii(name)

    def check_name(self, name: str, what: str) -> None:
        """Raises ``DestinationError`` for a name that the database does not accept."""
        check_name(name, what)

    def check_column(self, name: str, table: str) -> None:
        """Raises ``DestinationError`` for a name that no column can have."""
        self.check_name(name, f"table {table!r}: a column named")
        if self.fold(name) == PART_COLUMN:
            raise DestinationError(
                f"table {table!r}: a column named {name!r} is not possible, since staged rows have one of this name: "
                "remove it from metadata_columns"
            )

    @abstractmethod
    def qualified(self, name: str) -> str:
        """A table's whole name, quoted, which nothing else is called."""

    # Tables. Everything from here on is called within a transaction.

    @abstractmethod
    def create_schema(self) -> None:
        """Create the schema where it is missing."""

    def lock_table(self, table: str) -> None:
        """Keep other runs from changing this table, or creating it, until the transaction ends."""
        return

    def check_writable(self) -> None:
        """Try what a commit needs and a transaction that is rolled back does not show.

        :raises DestinationError: it is not allowed.
        """
        return

    @abstractmethod
    def columns(self, name: str) -> Columns | None:
        """The table's columns; None where it does not exist.

        :raises DestinationError: where the name is a view's, or one that the database treats as another table's.
        """

    @abstractmethod
    def table_ids(self, names: Collection[str]) -> Mapping[str, Hashable]:
        """For each of the tables that exists: what tells it from a later table of the same name."""

    def is_same_table(self, before: Hashable, now: Hashable, *, landed: bool = False) -> bool:
        """Whether two ids of one name are those of one table.

        :param landed: whether this transaction has written to the table between the two.
        """
        return before == now

    def rename(self, old: str, new: str) -> None:
        """Rename a table of this schema."""
        self.execute(f"ALTER TABLE {self.qualified(old)} RENAME TO {quoted(new)}")

    def create_table(self, name: str, columns: str) -> None:
        """Create a table of this schema. ``columns``: their names and types in SQL."""
        self.execute(f"CREATE TABLE {self.qualified(name)} ({columns})")

    def add_columns(self, table: str, columns: Columns) -> None:
        """Add columns to a table."""
        for name, type_ in columns.items():
            self.execute(f"ALTER TABLE {self.qualified(table)} ADD COLUMN {quoted(name)} {type_}")

    @abstractmethod
    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        """Change a column to a type that all its values survive in."""

    @abstractmethod
    def swap_table(self, new: str, name: str) -> None:
        """Put the table ``new`` in the place of ``name``. Views of ``name`` stay, and so do its indexes."""

    def create_index(self, table: str, columns: Sequence[str]) -> None:
        """Make sure that rows are found by these columns without reading the whole table."""
        return

    def insert(self, incoming: Incoming, table: str, names: Sequence[str], columns: Columns) -> None:
        """Append the incoming rows' ``names`` to a table whose columns are ``columns``."""
        selected = [
            self.types.cast_sql(incoming.expressions[name], incoming.types[name], columns[name])
            if name in incoming.types
            else "NULL"
            for name in names
        ]
        self.execute(
            f"INSERT INTO {self.qualified(table)} ({', '.join(map(quoted, names))}) "
            f"SELECT {', '.join(selected)} FROM {incoming.relation(names)}"
        )

    @abstractmethod
    def key_table(self, select: str, columns: Sequence[str]) -> AbstractContextManager[str]:
        """The rows of a query as a temporary table, to be joined by all of ``columns``."""

    def delete_matching(self, table: str, keys: str, columns: Sequence[str]) -> None:
        """Delete the rows whose ``columns`` are among ``keys``, a relation that ``key_table`` made."""
        self.execute(
            f"DELETE FROM {self.qualified(table)} AS landed USING {keys} AS incoming WHERE {self.same_key(columns)}"
        )

    def same_key(self, columns: Sequence[str]) -> str:
        """The condition that a row of ``landed`` has the key of a row of ``incoming``."""
        return " AND ".join(f"landed.{quoted(name)} = incoming.{quoted(name)}" for name in columns)
