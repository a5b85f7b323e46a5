# SPDX-License-Identifier: Apache-2.0
"""Late commits: how far a pass may read so that no row is committed below its end afterwards.

A row gets its cursor when it is written and becomes visible when its transaction commits, maybe after rows with higher
cursors were read. So a pass notes the highest cursor and the time, waits for every transaction that is open at that
moment, and only then takes the snapshot that it reads, up to the noted cursor. ``xmin`` and ``backend_xid`` do not
serve: ``now()`` is the start of a transaction, which gets its number with its first write.

What had not ended in time is stored with the noted cursor. A later pass reads up to there as soon as those transactions
have ended, so that a database in which some transaction is always open is read as well.

It covers cursors that the server's clock, or a sequence with CACHE 1, gives inside the writing transaction.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_sql import Barrier, SqlSession, TableQuery
from vdk.plugin.datasource_sql.cursors import CursorFormat

from .connecting import APPLICATION
from .cursors import format_of, lowest_of

log = logging.getLogger(__name__)
# Our own readers are left out. Prepared transactions are looked for after the open ones: one that is prepared meanwhile
# is in both lists.
_OPEN = f"""
SELECT l.virtualtransaction, a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''),
    (a.xact_start - interval '1 second')::text, extract(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND a.usename IS NOT NULL
    AND a.pid <> pg_backend_pid()
    AND NOT (a.usename = current_user AND starts_with(a.application_name, '{APPLICATION}'))
"""
_PREPARED = "SELECT transaction::text FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()"
_STILL_OPEN = f"""
SELECT (SELECT coalesce(array_agg(virtualtransaction), '{{}}') FROM pg_catalog.pg_locks
        WHERE locktype = 'virtualxid' AND virtualtransaction = ANY(%s)),
    ARRAY({_PREPARED})
"""
_SERVER = "SELECT pg_catalog.pg_postmaster_start_time()::text"
_IS_PREPARED = "prepared "


class WaitBudget:
    """How long transactions are waited for. All streams share it, so that a long transaction delays a run once.

    :param seconds: for each transaction, from when a stream first meets it.
    :param longest: a transaction that is open for so many seconds counts as ended; None: none does.
    """

    def __init__(self, seconds: float, longest: float | None = None) -> None:
        self._seconds, self.longest = seconds, longest
        self._first_seen: dict[str, float] = {}

    def is_spent(self, transactions: Iterable[str]) -> bool:
        """Whether one of the transactions has been waited for long enough."""
        now = time.monotonic()
        waited = [now - self._first_seen.setdefault(name, now) for name in transactions]
        return max(waited) >= self._seconds


def safe_upper(
    session: SqlSession, query: TableQuery, high: Any, before: Barrier | None, budget: WaitBudget
) -> tuple[Any, Barrier | None]:
    """The highest cursor of a pass, and what the next one is to be given as ``before``.

    :param high: the high watermark of the last pass.
    """
    cursor_format = format_of(query)
    upper = _noted(session, query, cursor_format)
    lowest = lowest_of(query) if high is None else high
    if upper is None:  # a row that is committed from here on may be overtaken
        return lowest, None
    rows = session.connection.execute(_OPEN).fetchall()
    transactions = {row[0]: row for row in rows if not _is_given_up(query, row, budget)}
    still_open, noted = list(transactions), {row[0] for row in session.connection.execute(_PREPARED)}
    pause = 0.002
    while True:
        were_open = bool(still_open)
        still_open, prepared = session.connection.execute(_STILL_OPEN, [list(transactions)]).fetchone()
        if were_open:  # one of them may be a transaction of the list, which was open until it was prepared
            noted.update(prepared)
        prepared = sorted(noted.intersection(prepared))
        if not still_open and not prepared:
            return upper, None
        names = [*still_open, *(_IS_PREPARED + transaction for transaction in prepared)]
        if budget.is_spent(names):
            break
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    left = [transactions[name] for name in still_open]
    _warn(query, left, prepared)
    starts = [row[4] for row in left]
    if cursor_format.is_time and not cursor_format.numeric and not prepared and all(starts):
        return min(upper, _as_cursor(session, query, min(starts))), None  # of one zone, one form
    (server,) = session.connection.execute(_SERVER).fetchone()
    noted_now = Barrier(upper, tuple(names), server, dt.datetime.now(dt.UTC).isoformat())
    if before is None or type(before.upper) is not type(upper):
        return lowest, noted_now
    before = _left_of(session, before, server)
    if before.open and not _is_over(query, before, budget):
        return lowest, before
    return (before.upper if high is None else max(high, before.upper)), noted_now


def _left_of(session: SqlSession, barrier: Barrier, server: str) -> Barrier:
    """The barrier with those of its transactions that have not ended."""
    were_open = [name for name in barrier.open if not name.startswith(_IS_PREPARED)]
    still_open, prepared = session.connection.execute(_STILL_OPEN, [were_open]).fetchone()
    if server != barrier.server:
        still_open = []  # other transactions have these names now
    names = {_IS_PREPARED + transaction for transaction in prepared}
    if len(still_open) == len(were_open):  # else one may have been prepared: which one is not visible
        names.intersection_update(barrier.open)
    return replace(barrier, open=(*still_open, *sorted(names)))


def _is_given_up(query: TableQuery, row: tuple[Any, ...], budget: WaitBudget) -> bool:
    """Whether a transaction is open for so long that it counts as ended."""
    age = row[5]
    if budget.longest is None or age is None or age < budget.longest:
        return False
    _warn_of_given_up(query, f"process {row[1]} is in a transaction for {age:.0f} s")
    return True


def _is_over(query: TableQuery, barrier: Barrier, budget: WaitBudget) -> bool:
    """The same for all transactions of a barrier, of which the user may not see when they began."""
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(barrier.since)
    if budget.longest is None or age.total_seconds() < budget.longest:
        return False
    _warn_of_given_up(query, f"{len(barrier.open)} transactions are open since {barrier.since}")
    return True


def _warn_of_given_up(query: TableQuery, what: str) -> None:
    log.warning(
        "stream %r: %s, longer than longest_transaction. It is not waited for any more: rows with cursors below what "
        "was read are lost if it commits some",
        query.plan.name, what,
    )  # fmt: skip


def _noted(session: SqlSession, query: TableQuery, cursor_format: CursorFormat) -> Any:
    """The highest cursor that is visible, or the time, if that is lower: in one statement."""
    clock = sa.func.clock_timestamp()
    statement = sa.select(query.highest().scalar_subquery(), _in_zone(query, clock))
    session.begin()  # for its settings, such as the timeout
    highest, now = session.one(statement)
    session.end()
    return min(highest, now) if highest is not None and cursor_format.is_time and not cursor_format.numeric else highest


def _as_cursor(session: SqlSession, query: TableQuery, instant: str) -> str:
    moment = sa.cast(query.bound(instant), sa.TIMESTAMP(timezone=True))
    return str(session.one(sa.select(_in_zone(query, moment)))[0])


def _in_zone(query: TableQuery, moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A point in time as a value of the cursor's type."""
    declared = query.plan.table.columns[query.plan.cursor[0]]
    if declared.endswith("with time zone"):
        return moment
    wall = sa.func.timezone(query.plan.zone, moment)
    return sa.cast(wall, sa.Date) if declared == "date" else wall


def _warn(query: TableQuery, transactions: list[Any], prepared: list[str]) -> None:
    listed = [
        f"process {pid}, user {user!r}, application {application!r}" + (f", open for {age:.0f} s" if age else "")
        for _, pid, user, application, _, age in transactions[:5]
    ]
    listed += [f"prepared transaction {transaction}, see pg_prepared_xacts" for transaction in prepared[:5]]
    log.warning(
        "stream %r: %d transactions that may still commit rows with lower cursors have not ended (%s). Rows above "
        "the last safe cursor are left to a later run. Wait longer with late_commit_wait, or end them",
        query.plan.name, len(transactions) + len(prepared), "; ".join(listed),
    )  # fmt: skip
