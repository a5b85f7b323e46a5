# SPDX-License-Identifier: Apache-2.0
"""What MySQL and MariaDB do their own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pymysql
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import pymysql as mysql

from vdk.plugin.datasource_base.contract import DataSourceError
from vdk.plugin.datasource_sql import Backend, BulkReader, Expression, SqlSession, TableInfo, TablePlan, TableQuery
from vdk.plugin.datasource_sql.connections import IdleConnections
from vdk.plugin.datasource_sql.cursors import CursorFormat
from vdk.plugin.datasource_sql.kinds import Kind

from .bulk import bulk_reader
from .column_types import TEXT, is_date, kind_of, selected
from .connecting import Address, Connection, StreamingCursor
from .cursors import cursor_expression, format_of, has_cursor
from .errors import refused, translated
from .reflection import reflect

_DIALECT = mysql.dialect()
_WEEK = 7 * 86_400
_SETTINGS = {
    "time_zone": "'+00:00'",
    "sql_mode": "''",  # modes change how texts are quoted and how zero dates compare
    "sql_select_limit": str(2**64 - 1),  # a limit would leave out rows in silence
    "net_write_timeout": str(_WEEK),  # a destination may be slow; else the server ends the connection after a minute
    "wait_timeout": str(_WEEK),
    "max_sort_length": "8192",  # what is longer than it, 1024 bytes by default, has no order: rows were left out
    "group_concat_max_len": str(2**30),  # see bulk; max_allowed_packet is below it, and no session may set that
}
"""How values are read, whatever the server, database or user is set to."""
_MARIADB_SETTINGS = {"idle_transaction_timeout": "0", "idle_readonly_transaction_timeout": "0"}


@dataclass(frozen=True)
class MysqlBackend(Backend):
    """One database.

    :param schemas: the databases that are read.
    :param is_mariadb: known once a connection was made.
    """

    has_gaps: ClassVar[bool] = True  # such as 2026-00-10
    address: Address
    schemas: tuple[str, ...]
    statement_timeout: float | None = None
    tinyint1_is_bool: bool = False
    is_mariadb: bool = True
    idle: IdleConnections = field(default_factory=IdleConnections, compare=False, repr=False)

    def identity(self) -> str:
        return self.address.identity

    @property
    def dialect(self) -> sa.Dialect:
        return _DIALECT

    def connect(self) -> Connection:
        try:
            connection = Connection(self.address)
        except Exception as error:
            if (meaning := refused(error, self.address)) is None:
                raise
            raise meaning from None  # its traceback has the password
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute(self._settings(connection.is_mariadb))
        except BaseException as error:
            connection.close()
            if isinstance(error, pymysql.Error):
                raise translated(error, self.address) or error from error
            raise
        return connection

    def is_reusable(self, connection: Connection) -> bool:
        return connection.is_idle()

    def _settings(self, is_mariadb: bool) -> str:
        settings = {**_SETTINGS, **(_MARIADB_SETTINGS if is_mariadb else {})}
        if self.statement_timeout is not None:
            name, unit = ("max_statement_time", 1) if is_mariadb else ("max_execution_time", 1000)
            settings[name] = f"{self.statement_timeout * unit:.{0 if unit > 1 else 6}f}"
        return "SET SESSION " + ", ".join(f"{name} = {value}" for name, value in settings.items())

    def begin(self, connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def cursor(self, connection: Connection, *, streaming: bool) -> Any:
        return connection.cursor(StreamingCursor) if streaming else connection.cursor()

    def translate(self, error: Exception) -> DataSourceError | None:
        return translated(error, self.address)

    def tables(self, session: SqlSession) -> Sequence[TableInfo]:
        return reflect(session, self.schemas, is_mariadb=session.connection.is_mariadb)

    def kinds(self, session: SqlSession, query: TableQuery) -> dict[str, Kind]:
        kinds = super().kinds(session, query)
        options = query.plan.options
        policy = getattr(options, "out_of_range_times", None) or "fail"
        for name, kind in kinds.items():
            if is_date(kind) and (policy == "text" or options.dynamic_types == "text"):
                kinds[name] = TEXT
            elif is_date(kind) and policy == "null" and name not in query.plan.primary_key:
                kinds[name] = replace(kind, null_dates=True)  # type: ignore[call-arg]  # a MysqlKind
        return kinds

    def kind(self, declared: str, sample: Sequence[Any]) -> Kind:
        return kind_of(declared, tinyint1_is_bool=self.tinyint1_is_bool)

    def misfit(self, plan: TablePlan, name: str, kind: Kind, value: Any) -> str:
        if is_date(kind):
            return (
                f"the column is declared {plan.table.columns[name]}, and a date whose year, month or day is 0 does not "
                f'exist; land such dates as NULL with {plan.config_path}.out_of_range_times = "null", or the column as '
                'text with "text"'
            )
        return super().misfit(plan, name, kind, value)

    def exact(self, column: Expression) -> Expression:
        return sa.cast(column, sa.BINARY)

    def selected(self, column: Expression, declared: str) -> Expression:
        return selected(column, declared)

    def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
        collation = "utf8mb4_nopad_bin" if self.is_mariadb else "utf8mb4_0900_bin"
        return cursor_expression(column, declared, cursor_format, collation)

    def has_cursor(self, cursor: Expression, declared: str) -> Expression:
        return has_cursor(cursor, declared)

    def cursor_format(self, query: TableQuery) -> CursorFormat:
        return format_of(query)

    def bulk_reader(self, query: TableQuery, kinds: Mapping[str, Kind]) -> BulkReader | None:
        return bulk_reader(query, kinds)
