# SPDX-License-Identifier: Apache-2.0
"""What PostgreSQL does its own way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg as postgresql

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError, Secret
from vdk.plugin.datasource_sql import BulkReader, CursorInfo, Expression, SqlSession, TableInfo, TableQuery, bound
from vdk.plugin.datasource_sql.kinds import Kind

from .barrier import WaitBudget, safe_upper
from .bulk import PostgresBulkReader, bulk_columns
from .column_types import TEXT, kind_of, may_misfit, read_as_text, selected
from .connecting import refused, translated
from .cursors import cursor_expression, cursor_info, has_cursor
from .reflection import reflect

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types there
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "row_security": "off",  # policies hide rows in silence; off makes that an error
    "idle_in_transaction_session_timeout": "0",
}
"""How values are written as text, whatever the server, database or user is set to."""


@dataclass(frozen=True)
class PostgresBackend:
    """One database.

    :param conninfo: what libpq connects with.
    :param wait_budget: for transactions that are open when a pass begins.
    :param is_standby: nothing of the primary's transactions shows there.
    :param reads_in_bulk: whether large tables are read with ADBC.
    """

    conninfo: Secret
    name: str
    schemas: tuple[str, ...]
    statement_timeout: float | None = None
    wait_budget: WaitBudget = field(default_factory=lambda: WaitBudget(10.0))
    is_standby: bool = False
    reads_in_bulk: bool = False

    def identity(self) -> str:
        return self.name

    @property
    def dialect(self) -> sa.Dialect:
        return _DIALECT

    def connect(self) -> psycopg.Connection[Any]:
        try:
            connection = psycopg.connect(self.conninfo.reveal(), autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise refused(error, self.name) from None  # its traceback has the connection string
        read_as_text(connection)
        try:
            with self._translated():
                connection.execute(self._settings(is_local=False))
        except BaseException:
            connection.close()
            raise
        return connection

    def settings(self) -> dict[str, str]:
        """What each transaction sets."""
        settings = dict(_SETTINGS)
        if self.statement_timeout is not None:
            settings["statement_timeout"] = str(max(1, round(self.statement_timeout * 1000)))
        return settings

    def _settings(self, *, is_local: bool) -> str:
        scope = str(is_local).lower()
        return "SELECT " + ", ".join(
            f"set_config('{name}', '{value}', {scope})" for name, value in self.settings().items()
        )

    def begin(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(self._settings(is_local=True))

    def cursor(self, connection: psycopg.Connection[Any], *, streaming: bool) -> Any:
        return connection.cursor("vdk") if streaming else connection.cursor()

    def translate(self, error: Exception) -> DataSourceError | None:
        return translated(error, self.name)

    def tolerate(self, connection: psycopg.Connection[Any], error: Exception) -> bool:
        return False

    def tables(self, session: SqlSession) -> Sequence[TableInfo]:
        with self._translated():
            return reflect(session, self.schemas)

    def is_in_recovery(self, session: SqlSession) -> bool:
        """Whether the server is a standby."""
        with self._translated():
            return bool(session.connection.execute("SELECT pg_is_in_recovery()").fetchone()[0])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise translated(error, self.name) or error from error

    def kinds(self, session: SqlSession, query: TableQuery) -> dict[str, Kind]:
        plan, columns = query.plan, query.plan.table.columns
        if plan.column_types or plan.options.decimals is not None:
            option = "columns" if plan.column_types else "decimals"
            raise ConfigurationError(
                f"{plan.config_path}.{option}: PostgreSQL enforces the encoding of text and the digits of numbers, so "
                "how a column lands cannot be set; leave it out"
            )
        kinds = {name: kind_of(columns[name]) for name in plan.columns}
        if plan.options.dynamic_types == "text":
            return {name: TEXT if may_misfit(kind) else kind for name, kind in kinds.items()}
        return kinds

    def kind(self, declared: str, sample: Sequence[Any]) -> Kind:
        return kind_of(declared)

    def check_keys(self, session: SqlSession, query: TableQuery, kinds: Mapping[str, Kind]) -> None:
        """Keys of one type are equal only if they are equal in the database."""

    def bound(self, value: Any) -> Expression:
        return bound(value)

    def collated(self, column: Expression, collation: str | None) -> Expression:
        return column  # the collation of the column is that of its unique index

    def exact(self, column: Expression) -> Expression:
        return column

    def selected(self, column: Expression, declared: str) -> Expression:
        return selected(column, declared)

    def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
        return cursor_expression(column, declared, cursor_format)

    def has_cursor(self, cursor: Expression, declared: str) -> Expression:
        return has_cursor(cursor, declared)

    def safe_upper(self, session: SqlSession, query: TableQuery, high: Any) -> Any:
        if self.is_standby or query.plan.table.kind == "view":
            return None
        with self._translated():
            return safe_upper(session, query, high, self.wait_budget)

    def cursor_info(self, session: SqlSession, query: TableQuery, known: str | None) -> CursorInfo:
        return cursor_info(session, query)

    def cursor_error(self, session: SqlSession, query: TableQuery) -> ConfigurationError:
        return ConfigurationError(
            f"stream {query.plan.name!r}: the cursor {'/'.join(query.plan.cursor)!r} has values of another type than "
            f"it declares; name another column with {query.plan.config_path}.cursor"
        )

    def bulk_reader(self, query: TableQuery, kinds: Mapping[str, Kind]) -> BulkReader | None:
        columns = bulk_columns(query, kinds) if self.reads_in_bulk else None
        return None if columns is None else PostgresBulkReader(query, columns, self.conninfo, self.settings())
