# SPDX-License-Identifier: Apache-2.0
"""The bounds of a pass: its first and last cursor, and from which cursor on rows are remembered."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import ConfigurationError, StateError

from ..config import CURSOR_COLUMNS
from ..cursors.formats import EPOCH, CursorFormat, micros_of
from ..plans.planning import TablePlan
from ..plans.table_info import CursorInfo
from ..session import SqlSession
from ..statements import TableQuery
from .state import StreamProgress, remedy

log = logging.getLogger(__name__)
DEFAULT_LOOKBACK = dt.timedelta(minutes=5)
SKEW = dt.timedelta(minutes=1)
NOTHING = dt.timedelta(0)


@dataclass(frozen=True, slots=True)
class UpperBound:
    """The end of a pass.

    :param value: the highest cursor read, inclusive; None: no row has a cursor that may be read.
    :param held_back: rows above it, in the same snapshot.
    """

    value: Any
    held_back: int = 0


def upper_bound(session: SqlSession, query: TableQuery, info: CursorInfo, now: dt.datetime, safe: Any) -> UpperBound:
    """The highest cursor in the snapshot, but none above ``safe``, and none later than ``now - safety_lag`` where
    cursors are times.

    :param safe: see ``Backend.safe_upper``.
    """
    if info.maximum is not None and safe is not None and safe < info.maximum:
        info = CursorInfo(info.format, _highest(session, query, query.cursor <= query.bound(safe)), info.nulls)
        above = sa.and_(query.has_cursor, query.cursor > query.bound(safe))
        held_back = session.one(query.select(sa.func.count()).where(above))[0]
        if info.maximum is None:
            return UpperBound(None, held_back)
        upper = upper_bound(session, query, info, now, None)
        return UpperBound(upper.value, upper.held_back + held_back)
    cursor_format, lag = info.format, query.plan.options.safety_lag or NOTHING
    if cursor_format is None or not cursor_format.is_time:
        return UpperBound(info.maximum)
    limit = micros(now - lag)
    if cursor_format.instant(info.maximum) <= limit:
        return UpperBound(info.maximum)
    bound = query.bound(cursor_format.bound(limit + 1))
    highest = _highest(session, query, query.cursor < bound)
    held = session.one(query.select(sa.func.count()).where(query.cursor >= bound))[0]
    late = cursor_format.instant(info.maximum) - micros(now)
    if late > micros_of(SKEW):
        log.warning(
            "stream %r: %d rows are left to a later run, since their cursor lies in the future (up to %r). If the "
            "clocks are right, the cursor's time zone is not %s: set %s.cursor_timezone",
            query.plan.name, held, info.maximum, query.plan.zone, query.plan.config_path,
        )  # fmt: skip
    return UpperBound(highest, held)


def _highest(session: SqlSession, query: TableQuery, condition: sa.ColumnElement[Any]) -> Any:
    rows = session.all(query.highest(condition))
    return rows[0][0] if rows else None


def check_state(
    plan: TablePlan, progress: StreamProgress, cursor_format: CursorFormat | None, now: dt.datetime
) -> None:
    """Raises ``StateError`` for a state of another cursor type, and ``ConfigurationError`` for durations where
    cursors are not times; warns of a state that lies in the future."""
    if cursor_format is None:
        return
    if not cursor_format.is_time and (unused := sorted(plan.own_options & {"lookback", "safety_lag"})):
        raise ConfigurationError(
            f"{plan.config_path}.{unused[0]}: the cursor is of type {cursor_format.tag!r}, which has no duration; "
            f"if its values are times, say which with {plan.config_path}.cursor_format"
        )
    if progress.type is None:
        return
    if progress.type != cursor_format.tag:
        raise StateError(
            f"stream {plan.name!r}: the format of its cursor has changed since the last run: its state was "
            f"written for cursors of type {progress.type!r}, and {'/'.join(plan.cursor)!r} holds "
            f"{cursor_format.tag!r} now. {remedy(plan.name)}; or, if the rows have the values that they had, set "
            f"{plan.config_path}.cursor_format to what they mean"
        )
    resume = progress.resume
    for stored in (progress.high, *((resume.cursor, resume.upper) if resume is not None else ())):
        _check_value(plan, cursor_format, stored)
    if (
        cursor_format.is_time
        and progress.high is not None
        and cursor_format.instant(progress.high) > micros(now + SKEW)
    ):
        log.warning(
            "stream %r: its state lies in the future (%r): rows below it are not read until then. %s",
            plan.name, progress.high, remedy(plan.name),
        )  # fmt: skip


def _check_value(plan: TablePlan, cursor_format: CursorFormat, stored: Any) -> None:
    """Raises ``StateError`` for a value that is not one of the cursor's, despite the type in the state."""
    try:
        fits = stored is None or cursor_format.accepts(stored)
        if fits and stored is not None and cursor_format.is_time:
            cursor_format.instant(stored)
    except (ValueError, OverflowError):
        fits = False
    if not fits:
        raise StateError(
            f"stream {plan.name!r}: its state is damaged: {stored!r:.80} is not a cursor of type "
            f"{cursor_format.tag!r}. {remedy(plan.name)}"
        )


def warn_of_numbers(plan: TablePlan, info: CursorInfo, upper: UpperBound) -> None:
    """Warn of times that are read as plain numbers."""
    cursor_format = info.format
    if cursor_format is None or upper.value is None:
        return
    declared = (plan.table.columns.get(plan.cursor[0]) or "").upper()
    looks_like_time = plan.cursor[0].casefold() in CURSOR_COLUMNS or "TIME" in declared or "DATE" in declared
    if cursor_format.numeric and not cursor_format.is_time and plan.cursor_format == "auto" and looks_like_time:
        log.warning(
            "stream %r: the cursor %r holds numbers up to %r that are not all times, and is read as a plain number: "
            "there is no lookback, and the next run begins at the largest. Correct odd values, or set %s.cursor_format",
            plan.name, plan.cursor[0], upper.value, plan.config_path,
        )  # fmt: skip


def lookback_of(plan: TablePlan, cursor_format: CursorFormat) -> dt.timedelta:
    """How far below the high watermark to read again; zero for cursors that are not times."""
    lookback = plan.options.lookback
    if cursor_format.is_time:
        return DEFAULT_LOOKBACK if lookback is None else lookback
    return NOTHING


def window_start(plan: TablePlan, cursor_format: CursorFormat, high: Any) -> Any:
    """The lowest cursor that a pass after ``high`` reads again; the same for the same ``high`` and options."""
    lookback = lookback_of(plan, cursor_format)
    return cursor_format.back(high, lookback) if lookback else high


def lower_bound(plan: TablePlan, cursor_format: CursorFormat, progress: StreamProgress) -> Any:
    """The first cursor of a pass, inclusive; None: all."""
    initial = plan.options.initial_value
    first = None if initial is None else cursor_format.configured(initial, f"{plan.config_path}.initial_value")
    if progress.high is None:
        return first
    lower = window_start(plan, cursor_format, progress.high)
    return max(lower, first) if first is not None and first <= progress.high else lower


def micros(moment: dt.datetime) -> int:
    return micros_of(moment - EPOCH)
