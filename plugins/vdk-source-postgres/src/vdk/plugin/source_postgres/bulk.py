# SPDX-License-Identifier: Apache-2.0
"""Cursor passes over large tables, read with ADBC."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import Secret
from vdk.plugin.datasource_sql import MIN_BULK_ROWS, ONE, BulkPass, Row, SqlSession, TableQuery, last_row_values
from vdk.plugin.datasource_sql.kinds import MISFIT_ERRORS, Kind

from . import adbc
from .adbc import AdbcConnection, SpanTooLargeError
from .bulk_columns import BulkColumn, BulkColumns, BulkRows
from .literals import with_literals

log = logging.getLogger(__name__)
ATTEMPTS = 2
"""How often reading a table in bulk may fail before the rest is read row by row."""


class SpanSize:
    """How many units (rows, or blocks of a table) a statement reads, so that it returns ``adbc.SPAN_BYTES``.

    :param first: what the first statement reads. Each further one reads eight times as much as the last, at most.
    """

    def __init__(self, first: int) -> None:
        self.units = first

    def record(self, units: int, size: int, multiple: int = 1) -> None:
        """``units`` had ``size`` bytes. The next statement reads a multiple of ``multiple`` if that fits."""
        fits = max(1, min(8 * units, adbc.SPAN_BYTES * units // max(size, 1)))
        self.units = fits - fits % multiple or fits

    def shrink(self) -> None:
        """What was read was far too large."""
        self.units = max(1, self.units // 8)


def bulk_version(session: SqlSession) -> int:
    """The server's version, if ADBC can read it; else 0.

    It cannot where text has no encoding. Nor through a pooler, which shows by the process that answers: settings, and
    the snapshots that connections share, are those of a server's process.
    """
    if not adbc.is_installed():
        return 0
    info = session.connection.info
    ((process,),) = session.all(sa.select(sa.func.pg_backend_pid()))
    is_direct = info.parameter_status("server_encoding") != "SQL_ASCII" and info.backend_pid == process
    return int(info.server_version) if is_direct else 0


def bulk_columns(query: TableQuery, kinds: Mapping[str, Kind], *, with_cursor: bool = True) -> BulkColumns | None:
    """The columns of a query; None if some of them cannot be read in bulk."""
    plan, names = query.plan, query.names
    if query.deleted_index is not None or not set(names) <= set(kinds):
        return None
    if with_cursor and query.cursor_index >= len(names):  # it is computed
        return None
    columns = [BulkColumn.of(name, plan.table.columns[name], kinds[name]) for name in names]
    return BulkColumns(columns, len(plan.columns), query.cursor_index if with_cursor else None)


class PostgresBulkReader:
    """Reads what follows a page, in statements that each see what is committed when they begin.

    All of them begin after the session's first snapshot, and so after the transactions that were waited for.
    """

    def __init__(self, query: TableQuery, columns: BulkColumns, conninfo: Secret, settings: dict[str, str]) -> None:
        self._query, self._columns, self._conninfo, self._settings = query, columns, conninfo, settings
        self._connection: AdbcConnection | None = None
        self._attempts_left = ATTEMPTS
        self._is_large: bool | None = None

    def should_use(self, session: SqlSession) -> bool:
        if self._is_large is None:
            probe = self._query.all_rows(ONE).limit(1).offset(MIN_BULK_ROWS)
            self._is_large = bool(session.all(probe))
        return self._is_large and self._attempts_left > 0

    def pages(self, bulk_pass: BulkPass) -> Iterator[BulkRows | list[Row] | None]:
        try:
            yield from self._pages(bulk_pass)
        except (*adbc.failures(), *MISFIT_ERRORS, SpanTooLargeError, sa.exc.CompileError) as error:
            self._attempts_left -= 1
            log.debug("%s is read row by row from here: %s", self._query.plan.name, type(error).__name__)
        finally:
            self.close()

    def _pages(self, bulk_pass: BulkPass) -> Iterator[BulkRows | list[Row] | None]:
        query, size, start = self._query, SpanSize(bulk_pass.limit), dict(bulk_pass.start)
        self._connection = connection = AdbcConnection(self._conninfo, self._settings)
        while True:
            limit = size.units
            statement = query.select(*self._columns.selected(query)).where(*bulk_pass.conditions, bulk_pass.next_page)
            statement = statement.order_by(*bulk_pass.order).limit(limit)
            table = connection.fetch(with_literals(statement, last_row_values(start)))
            if not self._columns.accept(table):
                continue
            size.record(limit, table.nbytes, bulk_pass.limit)  # so that every page is full
            page: BulkRows | list[Row] = []
            for page in self._columns.pages(table, bulk_pass.limit):
                yield page
            if table.num_rows < limit:
                yield None
                return
            start = {column: page[-1][column] if isinstance(page, list) else page.value(-1, column) for column in start}

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
