# SPDX-License-Identifier: Apache-2.0
"""Sweeps: from time to time all keys of a table go to the destination, which deletes the rows that are gone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from vdk.plugin.datasource_base.contract import DataSourcePayload, StateError

from ..pages.paging import PageSizer
from ..pages.payload_builder import PayloadBuilder
from ..session import SqlSession
from ..statements import TableQuery
from .state import StreamProgress, remedy


def is_due(progress: StreamProgress, interval: dt.timedelta, now: dt.datetime, stream: str) -> bool:
    """Whether the last sweep is long enough ago, or never happened.

    :raises StateError: for a time in the state that does not parse.
    """
    if progress.swept is None:
        return True
    try:
        last = dt.datetime.fromisoformat(progress.swept)
        return now - last >= interval or last > now  # a clock that was set back must not defer the sweep forever
    except (ValueError, TypeError) as error:
        raise StateError(
            f"stream {stream!r}: the time of its last sweep is {progress.swept!r}. {remedy(stream)}"
        ) from error


def all_keys(session: SqlSession, query: TableQuery, payload_builder: PayloadBuilder) -> Iterator[DataSourcePayload]:
    """The primary keys of all rows, in one snapshot; at least one payload, if an empty one.

    They come before the rows of a run, so that a row that is inserted again meanwhile lands after them.
    """
    session.end()
    session.begin()
    keys = [query.column(name) for name in query.plan.primary_key]
    page_sizer = PageSizer(query.plan.page_rows)
    yield DataSourcePayload(payload_builder.keys([]), kind="keys")
    for rows in session.stream(query.select(*keys), page_sizer):
        table = payload_builder.keys(rows)
        page_sizer.record_page(table.num_rows, table.nbytes)
        yield DataSourcePayload(table, kind="keys")
