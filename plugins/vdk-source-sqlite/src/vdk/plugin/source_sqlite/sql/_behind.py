"""A table whose highest cursor lies below the state: a backup that was restored, or another database.

Rows at and above the watermark of the last run are gone, and new ones may come below it, where no run looks for them.
Each run warns of it. It is an error where the database is another one, which its oldest rows show: those with the
lowest cursors have not changed for the longest time, so a backup has them as they are.
"""

from __future__ import annotations

import logging
from typing import Any

from vdk.plugin.datasource_base.contract import StateError

from ._expression import ONE, all_of, any_of, value
from ._facts import CursorFacts
from ._query import Query
from ._session import Session
from ._state import Progress, remedy
from ._watermark import Upper

log = logging.getLogger(__name__)

REMEMBERED = 8
Oldest = list[tuple[Any, tuple[Any, ...]]]
"""Cursor and key of some rows."""


def is_behind(facts: CursorFacts, progress: Progress, upper: Upper) -> bool:
    """Whether the highest cursor is below that of the last run. Not so where rows are held back, or where there are
    none, as in a table that is emptied now and then."""
    if facts.format is None or upper.value is None or progress.high is None or upper.held_back:
        return False
    return bool(upper.value < progress.high)


def check_behind(session: Session, query: Query, progress: Progress, upper: Upper) -> None:
    """Warn of a table that lies behind its state.

    :raises StateError: where ``on_source_behind`` says so, or is unset and none of the rows remembered is there.
    """
    plan, policy = query.plan, query.plan.options.on_source_behind
    lies = (
        f"stream {plan.name!r}: the highest cursor is {upper.value!r}, and the last run had come to {progress.high!r}"
    )
    if policy is None and progress.oldest and not _any_there(session, query, progress.oldest):
        raise StateError(
            f"{lies}; none of the {len(progress.oldest)} rows that the state remembers is there, so it was written for "
            f"another database. {remedy(plan.name)}; or give the source another id under [sources]; or, if it is the "
            f'same database, set {plan.place}.on_source_behind = "warn"'
        )
    if policy == "fail":
        raise StateError(
            f"{lies}. If the table was put back to an earlier time, rows that come below {progress.high!r} are not "
            f'read. {remedy(plan.name)}, or accept that with {plan.place}.on_source_behind = "warn"'
        )
    log.warning(
        "%s. If the table was put back to an earlier time, its rows are not read until they pass that. %s; or have "
        'such a run fail with %s.on_source_behind = "fail"',
        lies, remedy(plan.name), plan.place,
    )  # fmt: skip


def oldest_rows(session: Session, query: Query) -> Oldest:
    """The rows with the lowest cursors, in the session's snapshot."""
    statement = query.select(query.cursor, *query.keys).where(query.cursor.is_not_null())
    rows = session.all(statement.order_by(query.cursor, *query.keys).limit(REMEMBERED))
    return [(cursor, tuple(key)) for cursor, *key in rows]


def _any_there(session: Session, query: Query, oldest: Oldest) -> bool:
    same = [
        all_of(
            query.cursor.infix("=", value(cursor)),
            *(column.infix("=", value(one)) for column, one in zip(query.keys, key, strict=False)),
        )
        for cursor, key in oldest
    ]
    return bool(session.all(query.select(ONE).where(any_of(*same)).limit(1)))
