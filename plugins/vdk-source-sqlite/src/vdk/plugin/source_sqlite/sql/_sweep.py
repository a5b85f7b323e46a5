"""Rows that are gone, which no cursor shows: now and then the destination is told all the keys there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from vdk.plugin.datasource_base.contract import DataSourcePayload, StateError

from ._packer import Packer
from ._pages import Pace
from ._query import Query
from ._session import Session
from ._state import Progress, remedy


def is_due(progress: Progress, every: dt.timedelta, now: dt.datetime, stream: str) -> bool:
    """Whether the last sweep is long enough ago, or was before there were any.

    :raises StateError: for a time in the state that is none.
    """
    if progress.swept is None:
        return True
    try:
        last = dt.datetime.fromisoformat(progress.swept)
        return now - last >= every or last > now  # a clock that went back must not put the sweep off for ever
    except (ValueError, TypeError) as error:
        raise StateError(
            f"stream {stream!r}: the time of its last sweep is {progress.swept!r}. {remedy(stream)}"
        ) from error


def all_keys(session: Session, query: Query, packer: Packer) -> Iterator[DataSourcePayload]:
    """The primary keys of all rows, in one snapshot; at least one payload, if an empty one.

    It comes before the rows of a run: a row that is made anew meanwhile lands behind it.
    """
    session.end()
    session.begin()
    keys = [query.column(name) for name in query.plan.primary_key]
    pace = Pace(query.plan.page_rows)
    yield DataSourcePayload(packer.keys([]), kind="keys")
    for rows in session.stream(query.select(*keys), pace):
        table = packer.keys(rows)
        pace.saw(table.num_rows, table.nbytes)
        yield DataSourcePayload(table, kind="keys")
