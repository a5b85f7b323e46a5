"""A cursor in a dynamically typed column: what its values are (``typeof`` first), and how they are ordered.

SQLite sorts NULL, then numbers, then text, then blobs (https://www.sqlite.org/datatype3.html, section 4),
so the lowest and the highest value tell whether types are mixed; both are at the ends of an index.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError

from ..sql._expression import ONE, Expression, all_of, call, case, count, negated, value
from ..sql._facts import CursorFacts
from ..sql._formats import CursorFormat, IsoText, detect_text
from ..sql._mixed import mixed_formats
from ..sql._numbers import UNITS, Opaque, detect_number, named_format
from ..sql._query import Query
from ..sql._session import Session

_DIRECTIVES = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2, "%f": 6}


def cursor_expression(column: Expression, cursor_format: str) -> Expression:
    """The cursor as it is compared: by bytes, whatever the column's collation.

    ``iso``: in UTC, to the millisecond (https://www.sqlite.org/lang_datefunc.html). A pattern: its parts put
    into ISO order.
    """
    if cursor_format == "auto" or named_format(cursor_format) is not None:
        return column.collate("BINARY")
    if cursor_format == "iso":
        return call("strftime", value("%Y-%m-%d %H:%M:%f"), column)
    if "%" in cursor_format:
        return _reordered(column, cursor_format)
    raise ConfigurationError(
        f"cursor_format: {cursor_format!r} is unknown; write auto, text, number, epoch_s, epoch_ms, epoch_us, "
        'epoch_ns, julian_day, iso, or a pattern such as "%m-%d-%Y"'
    )


def _reordered(column: Expression, pattern: str) -> Expression:
    at, places = 1, {}
    for part in re.findall(r"%.|[^%]", pattern):
        if part.startswith("%"):
            if part not in _DIRECTIVES or part in places:
                raise ConfigurationError(
                    f"cursor_format: {part!r} in {pattern!r}; a pattern has {', '.join(_DIRECTIVES)}, each once at most"
                )
            places[part] = at
        at += _DIRECTIVES.get(part, 1)
    if not {"%Y", "%m", "%d"} <= set(places):
        raise ConfigurationError(f"cursor_format: {pattern!r} needs %Y, %m and %d")
    wanted = "%Y-%m-%d"
    for part, before in (("%H", " "), ("%M", ":"), ("%S", ":"), ("%f", ".")):
        if part not in places:
            break
        wanted += before + part
    if "%H" in places and "%M" not in places:
        raise ConfigurationError(f"cursor_format: {pattern!r} has %H and needs %M")
    pieces = [
        call("substr", column, value(places[part]), value(_DIRECTIVES[part])) if part.startswith("%") else value(part)
        for part in re.findall(r"%.|[^%]", wanted)
    ]
    joined: Expression = pieces[0]
    for piece in pieces[1:]:
        joined = joined.infix("||", piece)
    right_length = call("length", column).infix("=", value(at - 1))
    return case(right_length, joined, column)  # what does not match the pattern shows as it is, and is refused


def cursor_facts(session: Session, query: Query, known: str | None) -> CursorFacts:
    """See ``Dialect.cursor_facts``."""
    quick = known is not None and query.index_level != "none"
    if query.plan.cursor_format == "iso":
        unread = query.cursor.is_null(), query.stored_cursor.is_not_null()
        if session.all(query.select(ONE).where(*unread).limit(1)):
            raise mixed_formats(session, query)
    guess = _guess(session, query, known, quick=quick)
    if isinstance(guess, CursorFacts):
        return guess
    if quick:
        return _at_the_ends(session, query, guess)
    return _all_over(session, query, guess)


def _guess(session: Session, query: Query, known: str | None, *, quick: bool) -> CursorFormat | CursorFacts:
    """The format of one value, to be confirmed by the others; the facts, if there is none."""
    cursor, plan = query.cursor, query.plan
    if quick:
        values = session.one(query.select(call("max", cursor)))
    else:
        values = next(iter(session.all(query.select(cursor).where(cursor.is_not_null()).limit(1))), (None,))
    found = values[0]
    if found is None:
        return CursorFacts(None, None, _count(session, query, cursor.is_null()))
    named = named_format(plan.cursor_format)
    if named is not None:
        return named
    if isinstance(found, str):
        zone = "UTC" if plan.cursor_format == "iso" else plan.zone
        text = detect_text(found, zone)
        if text is None:
            raise mixed_formats(session, query)
        return text
    if isinstance(found, bytes):
        raise mixed_formats(session, query)
    if known == "number":  # a counter that grew into the range of times is a counter
        return Opaque(numeric=True)
    return detect_number(found, whole=isinstance(found, int))


def _at_the_ends(session: Session, query: Query, guess: CursorFormat) -> CursorFacts:
    """With an index on the cursor: its ends, and its last day. Every row is checked when it is read."""
    cursor = query.cursor
    lowest = session.one(query.select(call("min", cursor)))[0]
    highest = session.one(query.select(call("max", cursor)))[0]
    guess = _numbers(session, query, guess, lowest, highest)
    if not guess.accepts(lowest) or not guess.accepts(highest):
        raise mixed_formats(session, query)
    if isinstance(guess, IsoText):
        recent = cursor >= value(guess.back(highest, dt.timedelta(days=1)))
        other = query.select(ONE).where(recent, negated(_looks_like(cursor, guess))).limit(1)
        if session.all(other):
            raise mixed_formats(session, query)
    return CursorFacts(guess, highest, _count(session, query, cursor.is_null()))


def _all_over(session: Session, query: Query, guess: CursorFormat) -> CursorFacts:
    """One pass over the table."""
    cursor = query.cursor
    fits = _looks_like(cursor, guess) if isinstance(guess, IsoText) else ONE
    columns = (count(), *(call(name, cursor) for name in ("count", "min", "max")), call("total", fits))
    rows, filled, lowest, highest, fitting = session.one(query.select(*columns))
    guess = _numbers(session, query, guess, lowest, highest)
    fits_all = not isinstance(guess, IsoText) or fitting == filled
    if not fits_all or not guess.accepts(lowest) or not guess.accepts(highest):
        raise mixed_formats(session, query)
    return CursorFacts(guess, highest, rows - filled)


def _numbers(session: Session, query: Query, guess: CursorFormat, lowest: Any, highest: Any) -> CursorFormat:
    """What a column of numbers says: by its highest, if all that could be times are times of one unit."""
    if query.plan.cursor_format != "auto" or not guess.numeric or guess == Opaque(numeric=True) or not _number(highest):
        return guess
    by_highest = detect_number(highest, whole=isinstance(highest, int) and isinstance(lowest, int))
    if not _number(lowest):
        return by_highest
    cursor = query.cursor
    bounds = {unit: bound for unit, bound in UNITS.items() if bound[0] <= highest}
    if any(low <= lowest and highest < high for low, high in bounds.values()):
        return by_highest
    used = [
        unit
        for unit, (low, high) in bounds.items()
        if session.all(query.select(ONE).where(cursor >= value(low), cursor < value(high)).limit(1))
    ]
    if len(used) > 1:
        raise mixed_formats(session, query)
    return by_highest


def _looks_like(cursor: Expression, form: IsoText) -> Expression:
    """Whether a text has the form, near enough: what GLOB lets through is checked when the row is read."""
    digit = "[0-9]"
    date = f"{digit * 4}-{digit * 2}-{digit * 2}"
    if not form.sep:
        return _glob(cursor, date)
    like = _glob(cursor, f"{date}{form.sep}{digit * 2}:{digit * 2}*{form.suffix}")
    if not form.suffix:
        strictly = all_of(like, negated(_glob(cursor, "*:[0-9]*[-+A-Za-z ]*")))
        # to the second there is no room for a zone; the usual form takes a quarter of the time so
        to_the_second = _glob(cursor, f"????-??-??{form.sep}??:??:??")
        return case(_has_length(cursor, 19), to_the_second, strictly)
    if form.digits is not None:
        return all_of(like, _has_length(cursor, 20 + form.digits + bool(form.digits)))
    return like


def _glob(cursor: Expression, pattern: str) -> Expression:
    return cursor.infix("GLOB", value(pattern))


def _has_length(cursor: Expression, length: int) -> Expression:
    return call("length", cursor).infix("=", value(length))


def _count(session: Session, query: Query, condition: Expression) -> int:
    return int(session.one(query.select(count()).where(condition))[0])


def _number(value: Any) -> bool:
    return isinstance(value, (int, float))
