# SPDX-License-Identifier: Apache-2.0
"""A table whose highest cursor lies below the state: a backup that was restored, or another database.

Rows at and above the watermark of the last run are gone, and new ones may come below it, which no run reads.
Each run warns of it. It is an error if the database is another one, which its oldest rows show: those with the
lowest cursors have not changed for the longest time, so a backup still has them.
"""

from __future__ import annotations

import logging
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import StateError

from ..expressions import ONE
from ..plans.planning import TablePlan
from ..plans.table_info import CursorInfo
from ..session import SqlSession
from ..statements import TableQuery
from .bounds import UpperBound
from .state import StreamProgress, remedy

log = logging.getLogger(__name__)

REMEMBERED = 8
"""Fewer rows prove nothing: an update may have moved each of them."""
Oldest = list[tuple[Any, tuple[Any, ...]]]
"""Cursor and key of some rows."""


def is_behind(info: CursorInfo, progress: StreamProgress, upper: UpperBound) -> bool:
    """Whether the highest cursor is below that of the last run. False if rows are held back, or if no row has a
    cursor, as in a table that is emptied now and then."""
    if info.format is None or upper.value is None or progress.high is None or upper.held_back:
        return False
    return bool(upper.value < progress.high)


def refuse_behind(session: SqlSession, query: TableQuery, progress: StreamProgress, upper: UpperBound) -> None:
    """Raises ``StateError`` if the source lies behind and ``on_source_behind`` makes that an error, as
    ``check_behind`` describes."""
    plan, policy, problem = query.plan, query.plan.options.on_source_behind, _problem(query, progress, upper)
    if policy is None and len(progress.oldest) == REMEMBERED and not _any_exists(session, query, progress.oldest):
        raise StateError(
            f"{problem}; none of the {len(progress.oldest)} rows that the state remembers exists, so it was written "
            f"for another database. {remedy(plan.name)}; or give the source another id under [sources]; or, if it is "
            f'the same database, set {plan.config_path}.on_source_behind = "warn"'
        )
    if policy == "fail":
        raise StateError(
            f"{problem}. If the table was put back to an earlier time, rows that come below {progress.high!r} are not "
            f'read. {remedy(plan.name)}, or accept that with {plan.config_path}.on_source_behind = "warn"'
        )


def check_behind(session: SqlSession, query: TableQuery, progress: StreamProgress, upper: UpperBound) -> None:
    """Warn of a table that lies behind its state.

    :raises StateError: if ``on_source_behind`` is ``fail``, or is unset and none of the remembered rows exists.
    """
    plan, problem = query.plan, _problem(query, progress, upper)
    refuse_behind(session, query, progress, upper)
    log.warning(
        "%s. If the table was put back to an earlier time, its rows are not read until they pass that. %s; or have "
        'such a run fail with %s.on_source_behind = "fail"',
        problem, remedy(plan.name), plan.config_path,
    )  # fmt: skip


def _problem(query: TableQuery, progress: StreamProgress, upper: UpperBound) -> str:
    return (
        f"stream {query.plan.name!r}: the highest cursor is {upper.value!r}, and the last run had come to "
        f"{progress.high!r}"
    )


def check_database(plan: TablePlan, progress: StreamProgress, database: str) -> None:
    """Note which database is read.

    :raises StateError: if the state was written for another one, unless ``on_source_behind`` is ``warn``.
    """
    before, progress.database = progress.database, database or progress.database
    if not before or before == progress.database:
        return
    problem = (
        f"stream {plan.name!r}: its state was written for the database {before}, and the one at this address is "
        f"{database} now: another one, or one that was restored from a dump or upgraded"
    )
    if plan.options.on_source_behind != "warn":
        raise StateError(
            f"{problem}. If it has the rows of the old one, go on from the state (`vdk datasource state adopt FLOW "
            f"--stream {plan.name}`); otherwise: {remedy(plan.name)}"
        )
    log.warning("%s. It is read on from the state", problem)


def oldest_rows(session: SqlSession, query: TableQuery) -> Oldest:
    """The rows with the lowest cursors, in the session's snapshot."""
    statement = query.select(*query.order).where(query.has_cursor)
    rows = session.all(statement.order_by(*query.order).limit(REMEMBERED))
    return [(cursor, tuple(key)) for cursor, *key in rows]


def _any_exists(session: SqlSession, query: TableQuery, oldest: Oldest) -> bool:
    same = [
        sa.and_(*(column == query.bound(value) for column, value in zip(query.order, (cursor, *key), strict=False)))
        for cursor, key in oldest
    ]
    return bool(session.all(query.select(ONE).where(sa.or_(*same)).limit(1)))
