"""The bounds of a pass: from where, to where, and which rows near its end are remembered."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError, StateError

from ._expression import call, count, value
from ._facts import CursorFacts
from ._formats import EPOCH, CursorFormat, micros_of
from ._options import CURSOR_COLUMNS
from ._plan import Plan
from ._query import Query
from ._session import Session
from ._state import Progress, remedy

log = logging.getLogger(__name__)
DEFAULT_LOOKBACK = dt.timedelta(minutes=5)
SKEW = dt.timedelta(minutes=1)
NOTHING = dt.timedelta(0)


@dataclass(frozen=True, slots=True)
class Upper:
    """The end of a pass.

    :param value: the highest cursor read, inclusive; None: no row has a cursor that may be read.
    :param held_back: rows above it, in the same snapshot.
    """

    value: Any
    held_back: int = 0


def upper_bound(session: Session, query: Query, facts: CursorFacts, now: dt.datetime) -> Upper:
    """The highest cursor in the snapshot, but none later than ``now - safety_lag`` where cursors are times."""
    found, lag = facts.format, query.plan.options.safety_lag or NOTHING
    if found is None or not found.is_time:
        return Upper(facts.maximum)
    limit = micros(now - lag)
    if found.instant(facts.maximum) <= limit:
        return Upper(facts.maximum)
    bound = value(found.bound(limit + 1))
    highest = session.one(query.select(call("max", query.cursor)).where(query.cursor < bound))[0]
    held = session.one(query.select(count()).where(query.cursor >= bound))[0]
    late = found.instant(facts.maximum) - micros(now)
    if late > micros_of(SKEW):
        log.warning(
            "stream %r: %d rows are left to a later run, since their cursor lies in the future (up to %r). If the "
            "clocks are right, the cursor's time zone is another than %s: set %s.cursor_timezone",
            query.plan.name, held, facts.maximum, query.plan.zone, query.plan.place,
        )  # fmt: skip
    return Upper(highest, held)


def check_state(plan: Plan, progress: Progress, found: CursorFormat | None, now: dt.datetime) -> None:
    """Raises ``StateError`` for a state of another cursor type, and ``ConfigurationError`` for durations where
    cursors are no times; warns of a state that lies in the future."""
    if found is None:
        return
    if not found.is_time and (idle := sorted(plan.own_options & {"lookback", "safety_lag"})):
        raise ConfigurationError(
            f"{plan.place}.{idle[0]}: the cursor holds no times but {found.tag!r}, which has no duration; "
            f"if they are times, say which with {plan.place}.cursor_format"
        )
    if progress.type is None:
        return
    if progress.type != found.tag:
        raise StateError(
            f"stream {plan.name!r}: its state was written for cursors of type {progress.type!r}, and "
            f"{'/'.join(plan.cursor)!r} holds {found.tag!r} now. {remedy(plan.name)}; or, if the column means the same "
            f"as before, set {plan.place}.cursor_format"
        )
    resume = progress.resume
    for stored in (progress.high, *((resume.cursor, resume.upper) if resume is not None else ())):
        _check_value(plan, found, stored)
    if found.is_time and progress.high is not None and found.instant(progress.high) > micros(now + SKEW):
        log.warning(
            "stream %r: its state lies in the future (%r): rows below it are not read until then. %s",
            plan.name, progress.high, remedy(plan.name),
        )  # fmt: skip


def _check_value(plan: Plan, found: CursorFormat, stored: Any) -> None:
    """Raises ``StateError`` for a value that is not one of the cursor's, though the state says so."""
    try:
        fits = stored is None or found.accepts(stored)
        if fits and stored is not None and found.is_time:
            found.instant(stored)
    except (ValueError, OverflowError):
        fits = False
    if not fits:
        raise StateError(
            f"stream {plan.name!r}: its state is damaged: {stored!r:.80} is not a cursor of type {found.tag!r}. "
            f"{remedy(plan.name)}"
        )


def warn_of_numbers(plan: Plan, facts: CursorFacts, upper: Upper) -> None:
    """Warn of times that are not taken for such."""
    found = facts.format
    if found is None or upper.value is None:
        return
    declared = (plan.table.columns.get(plan.cursor[0]) or "").upper()
    looks_like_time = plan.cursor[0].casefold() in CURSOR_COLUMNS or "TIME" in declared or "DATE" in declared
    if found.numeric and not found.is_time and plan.cursor_format == "auto" and looks_like_time:
        log.warning(
            "stream %r: the cursor %r holds numbers up to %r that are not all times, and is read as a plain number: "
            "there is no lookback, and the next run begins at the largest. Correct odd values, or set %s.cursor_format",
            plan.name, plan.cursor[0], upper.value, plan.place,
        )  # fmt: skip


def lookback_of(plan: Plan, found: CursorFormat) -> dt.timedelta:
    """How far below the high watermark to read again; nothing for cursors that are no times."""
    wanted = plan.options.lookback
    if found.is_time:
        return DEFAULT_LOOKBACK if wanted is None else wanted
    return NOTHING


def window_start(plan: Plan, found: CursorFormat, high: Any) -> Any:
    """The lowest cursor that a pass after ``high`` reads again; the same for the same ``high`` and options."""
    lookback = lookback_of(plan, found)
    return found.back(high, lookback) if lookback else high


def lower_bound(plan: Plan, found: CursorFormat, progress: Progress) -> Any:
    """Where a pass starts, inclusively; None: at the first row."""
    initial = plan.options.initial_value
    first = None if initial is None else found.configured(initial, f"{plan.place}.initial_value")
    if progress.high is None:
        return first
    lower = window_start(plan, found, progress.high)
    return max(lower, first) if first is not None and first <= progress.high else lower


def micros(moment: dt.datetime) -> int:
    return micros_of(moment - EPOCH)
