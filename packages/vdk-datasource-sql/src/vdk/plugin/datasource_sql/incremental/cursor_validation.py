# SPDX-License-Identifier: Apache-2.0
"""Whether the cursors that were read have the format of the column."""

from __future__ import annotations

from collections.abc import Sequence

from vdk.plugin.datasource_base.contract import BadRecordError, ConfigurationError

from ..backend import Backend
from ..cursors.formats import CursorFormat
from ..pages.bulk import ArrowRows
from ..plans.table_info import CursorInfo
from ..session import Row, SqlSession
from ..statements import TableQuery


class CursorValidator:
    """Checks every cursor that is read: ``Backend.cursor_info`` may look at some of them only."""

    def __init__(self, backend: Backend, session: SqlSession, query: TableQuery) -> None:
        self._backend, self._session, self._query = backend, session, query

    def check_rows(self, cursor_format: CursorFormat | None, rows: Sequence[Row]) -> None:
        """Raises ``ConfigurationError`` for a page with cursors of another format."""
        index = self._query.cursor_index
        values = [row[index] for row in rows if row[index] is not None]
        if values and (cursor_format is None or not cursor_format.accepts_all(values)):
            raise self._error()

    def check_arrow(self, cursor_format: CursorFormat | None, rows: ArrowRows) -> None:
        """Raises ``ConfigurationError`` for a page that was read in bulk, with cursors of another format."""
        if cursor_format is None or not cursor_format.accepts_array(rows.cursors):
            raise self._error()

    def check_nulls(self, info: CursorInfo) -> None:
        """Raises ``BadRecordError`` for rows without a cursor, where there must not be any."""
        query = self._query
        if not info.nulls or query.plan.options.null_cursor != "fail":
            return
        row = self._session.one(query.rows(query.lacks_cursor).limit(1))
        raise BadRecordError(
            f'{info.nulls} rows have no cursor, and {query.plan.config_path}.null_cursor is "fail"',
            stream=query.plan.name,
            column="/".join(query.plan.cursor),
            key=tuple(row[index] for index in query.key_indexes) or None,
        )

    def _error(self) -> ConfigurationError:
        self._session.end()
        self._session.begin()
        return self._backend.cursor_error(self._session, self._query)
