# SPDX-License-Identifier: Apache-2.0
"""What PostgreSQL does its own way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg as postgresql

from vdk.plugin.datasource_base.contract import DataSourceError, Secret
from vdk.plugin.datasource_base.parts import relation_name
from vdk.plugin.datasource_sql import Backend, Barrier, BulkReader, Expression, SqlSession, TableInfo, TableQuery
from vdk.plugin.datasource_sql.connections import IdleConnections, is_silent
from vdk.plugin.datasource_sql.cursors import CursorFormat
from vdk.plugin.datasource_sql.kinds import Kind

from .barrier import WaitBudget, safe_upper
from .bulk import PostgresBulkReader, bulk_columns
from .column_types import TEXT, kind_of, may_misfit, read_as_text, selected
from .connecting import refused, translated
from .cursors import cursor_expression, format_of, has_cursor
from .reflection import PostgresTable, reflect

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types there
_TIMES = {"TimeZone": "UTC", "DateStyle": "ISO"}
"""Settings of the session. A pooler that gives each transaction another session keeps track of these two alone, and
would let other clients have the rest."""
_SETTINGS = {
    **_TIMES,
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "row_security": "off",  # policies hide rows in silence; off makes that an error
    "idle_in_transaction_session_timeout": "0",
}
"""How values are written as text, whatever the server, database or user is set to."""

_SERVER = """
SELECT pg_is_in_recovery(), (SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()),
    has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
"""
_SYSTEM = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
"""Standbys, backups of the server and clones have the same one; what is restored from a dump has another one."""


@dataclass(frozen=True)
class PostgresBackend(Backend):
    """One database.

    :param conninfo: what libpq connects with.
    :param wait_budget: for transactions that are open when a pass begins.
    :param is_standby: nothing of the primary's transactions shows there.
    :param system: identifies the server's data and the database in it; empty: the user may not know.
    :param bulk_version: the server's version, if large tables are read with ADBC.
    """

    conninfo: Secret
    name: str
    schemas: tuple[str, ...]
    statement_timeout: float | None = None
    wait_budget: WaitBudget = field(default_factory=lambda: WaitBudget(10.0))
    is_standby: bool = False
    bulk_version: int = 0
    system: str = ""
    idle: IdleConnections = field(default_factory=IdleConnections, compare=False, repr=False)

    def identity(self) -> str:
        return self.name

    def database_id(self) -> str:
        return self.system

    def relations(self, table: TableInfo) -> Collection[str]:
        databases = (self.name, *([f"postgresql:{self.system}"] if self.system else []))
        return [relation_name(database, table.schema or "", table.table_name) for database in databases]

    @property
    def dialect(self) -> sa.Dialect:
        return _DIALECT

    def connect(self) -> psycopg.Connection[Any]:
        try:
            connection = psycopg.connect(self.conninfo.reveal(), autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise refused(error, self.name, self.conninfo.reveal()) from None  # its traceback has the connection string
        read_as_text(connection)
        try:
            connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in _TIMES.items()))
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg.Error):
                raise translated(error, self.name) or error from error
            raise
        return connection

    def is_reusable(self, connection: psycopg.Connection[Any]) -> bool:
        is_idle = connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        return is_idle and is_silent(connection.fileno())

    def settings(self, server_version: int) -> dict[str, str]:
        """What each transaction sets."""
        settings = dict(_SETTINGS)
        if server_version >= 170000:
            settings["transaction_timeout"] = "0"
        if self.statement_timeout is not None:
            settings["statement_timeout"] = str(max(1, round(self.statement_timeout * 1000)))
        return settings

    def begin(self, connection: psycopg.Connection[Any]) -> None:
        settings = self.settings(connection.info.server_version)
        statements = (f"SET LOCAL {name} = '{value}'" for name, value in settings.items())
        # One round trip. Unlike a SELECT, none of them takes the snapshot.
        connection.execute("; ".join(["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", *statements]))

    def cursor(self, connection: psycopg.Connection[Any], *, streaming: bool) -> Any:
        return connection.cursor("vdk") if streaming else connection.cursor()

    def translate(self, error: Exception) -> DataSourceError | None:
        return translated(error, self.name, standby=self.is_standby)

    def tables(self, session: SqlSession) -> Sequence[TableInfo]:
        return reflect(session, self.schemas)

    def at(self, session: SqlSession) -> PostgresBackend:
        """The same, with what the server says of itself."""
        with session.translated():
            is_standby, oid, may_know = session.connection.execute(_SERVER).fetchone()
            system = session.connection.execute(_SYSTEM).fetchone()[0] if may_know else ""
        return replace(self, is_standby=is_standby, system=f"{system}/{oid}" if system else "")

    def kinds(self, session: SqlSession, query: TableQuery) -> dict[str, Kind]:
        kinds = super().kinds(session, query)
        if query.plan.options.dynamic_types == "text":
            return {name: TEXT if may_misfit(kind) else kind for name, kind in kinds.items()}
        return kinds

    def kind(self, declared: str, sample: Sequence[Any]) -> Kind:
        return kind_of(declared)

    def selected(self, column: Expression, declared: str) -> Expression:
        return selected(column, declared)

    def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
        return cursor_expression(column, declared, cursor_format)

    def has_cursor(self, cursor: Expression, declared: str) -> Expression:
        return has_cursor(cursor, declared)

    def has_barrier(self, table: TableInfo) -> bool:
        """Whether every row is written by a transaction that is visible here, and so can be waited for."""
        return not self.is_standby and isinstance(table, PostgresTable) and table.is_local

    def safe_upper(
        self, session: SqlSession, query: TableQuery, high: Any, barrier: Barrier | None
    ) -> tuple[Any, Barrier | None]:
        if not self.has_barrier(query.plan.table):
            return None, None
        return safe_upper(session, query, high, barrier, self.wait_budget)

    def cursor_format(self, query: TableQuery) -> CursorFormat:
        return format_of(query)

    def bulk_reader(self, query: TableQuery, kinds: Mapping[str, Kind]) -> BulkReader | None:
        columns = bulk_columns(query, kinds) if self.bulk_version else None
        settings = self.settings(self.bulk_version)
        return None if columns is None else PostgresBulkReader(query, columns, self.conninfo, settings)
