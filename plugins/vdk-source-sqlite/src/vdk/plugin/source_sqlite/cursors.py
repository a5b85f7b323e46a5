# SPDX-License-Identifier: Apache-2.0
"""A cursor in a dynamically typed column: the format of its values, and how they are ordered.

SQLite sorts NULL, then numbers, then text, then blobs (https://www.sqlite.org/datatype3.html, section 4),
so the lowest and the highest value show whether types are mixed; both are at the ends of an index.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_sql import ONE, CursorInfo, Expression, SqlSession, TableQuery, bound
from vdk.plugin.datasource_sql.cursors import (
    UNITS,
    CursorFormat,
    IsoText,
    Opaque,
    detect_number,
    detect_text,
    named_format,
)

from .mixed_formats import mixed_formats

_DIRECTIVES = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2, "%f": 6}


def cursor_expression(column: Expression, cursor_format: str) -> Expression:
    """The cursor as it is compared: by bytes, whatever the column's collation.

    ``iso``: in UTC, to the millisecond (https://www.sqlite.org/lang_datefunc.html). A pattern: its parts put
    into ISO order.
    """
    if cursor_format == "auto" or named_format(cursor_format) is not None:
        return column.collate("BINARY")
    if cursor_format == "iso":
        return sa.func.strftime(bound("%Y-%m-%d %H:%M:%f"), column)
    if "%" in cursor_format:
        return _reordered(column, cursor_format)
    raise ConfigurationError(
        f"cursor_format: {cursor_format!r} is unknown; write auto, text, number, epoch_s, epoch_ms, epoch_us, "
        'epoch_ns, julian_day, iso, or a pattern such as "%m-%d-%Y"'
    )


def _reordered(column: Expression, pattern: str) -> Expression:
    position, positions = 1, {}
    for part in re.findall(r"%.|[^%]", pattern):
        if part.startswith("%"):
            if part not in _DIRECTIVES or part in positions:
                raise ConfigurationError(
                    f"cursor_format: {part!r} in {pattern!r}; a pattern has {', '.join(_DIRECTIVES)}, each once at most"
                )
            positions[part] = position
        position += _DIRECTIVES.get(part, 1)
    if not {"%Y", "%m", "%d"} <= set(positions):
        raise ConfigurationError(f"cursor_format: {pattern!r} needs %Y, %m and %d")
    iso = "%Y-%m-%d"
    for part, before in (("%H", " "), ("%M", ":"), ("%S", ":"), ("%f", ".")):
        if part not in positions:
            break
        iso += before + part
    if "%H" in positions and "%M" not in positions:
        raise ConfigurationError(f"cursor_format: {pattern!r} has %H and needs %M")
    pieces = [
        sa.func.substr(column, bound(positions[part]), bound(_DIRECTIVES[part]))
        if part.startswith("%")
        else bound(part)
        for part in re.findall(r"%.|[^%]", iso)
    ]
    joined = pieces[0]
    for piece in pieces[1:]:
        joined = joined.op("||")(piece)
    right_length = sa.func.length(column) == bound(position - 1)
    return sa.case(
        (right_length, joined), else_=column
    )  # a value that does not match the pattern is unchanged, and refused later


def cursor_info(session: SqlSession, query: TableQuery, known: str | None) -> CursorInfo:
    """See ``Backend.cursor_info``."""
    quick = known is not None and query.index_level != "none"
    if query.plan.cursor_format == "iso":
        unread = query.cursor.is_(None), query.stored_cursor.is_not(None)
        if session.all(query.select(ONE).where(*unread).limit(1)):
            raise mixed_formats(session, query)
    guess = _guess(session, query, known, quick=quick)
    if isinstance(guess, CursorInfo):
        return guess
    if quick:
        return _at_the_ends(session, query, guess)
    return _all_over(session, query, guess)


def _guess(session: SqlSession, query: TableQuery, known: str | None, *, quick: bool) -> CursorFormat | CursorInfo:
    """The format of one value, to be confirmed by the others; the result, if all are NULL."""
    cursor, plan = query.cursor, query.plan
    if quick:
        values = session.one(query.select(sa.func.max(cursor)))
    else:
        values = next(iter(session.all(query.select(cursor).where(cursor.is_not(None)).limit(1))), (None,))
    sample = values[0]
    if sample is None:
        return CursorInfo(None, None, _count(session, query, cursor.is_(None)))
    named = named_format(plan.cursor_format)
    if named is not None:
        return named
    if isinstance(sample, str):
        zone = "UTC" if plan.cursor_format == "iso" else plan.zone
        text = detect_text(sample, zone)
        if text is None:
            raise mixed_formats(session, query)
        return text
    if isinstance(sample, bytes):
        raise mixed_formats(session, query)
    if known == "number":  # a counter that grew into the range of times is a counter
        return Opaque(numeric=True)
    return detect_number(sample, whole=isinstance(sample, int))


def _at_the_ends(session: SqlSession, query: TableQuery, guess: CursorFormat) -> CursorInfo:
    """With an index on the cursor: its ends, and its last day. Every row is checked when it is read."""
    cursor = query.cursor
    lowest = session.one(query.select(sa.func.min(cursor)))[0]
    highest = session.one(query.select(sa.func.max(cursor)))[0]
    guess = _number_format(session, query, guess, lowest, highest)
    if not guess.accepts(lowest) or not guess.accepts(highest):
        raise mixed_formats(session, query)
    if isinstance(guess, IsoText):
        recent = cursor >= bound(guess.back(highest, dt.timedelta(days=1)))
        other = query.select(ONE).where(recent, sa.not_(_looks_like(cursor, guess))).limit(1)
        if session.all(other):
            raise mixed_formats(session, query)
    return CursorInfo(guess, highest, _count(session, query, cursor.is_(None)))


def _all_over(session: SqlSession, query: TableQuery, guess: CursorFormat) -> CursorInfo:
    """One pass over the table."""
    cursor = query.cursor
    fits = _looks_like(cursor, guess) if isinstance(guess, IsoText) else ONE
    columns = (
        sa.func.count(),
        *(getattr(sa.func, name)(cursor) for name in ("count", "min", "max")),
        sa.func.total(fits),
    )
    rows, filled, lowest, highest, fitting = session.one(query.select(*columns))
    guess = _number_format(session, query, guess, lowest, highest)
    fits_all = not isinstance(guess, IsoText) or fitting == filled
    if not fits_all or not guess.accepts(lowest) or not guess.accepts(highest):
        raise mixed_formats(session, query)
    return CursorInfo(guess, highest, rows - filled)


def _number_format(
    session: SqlSession, query: TableQuery, guess: CursorFormat, lowest: Any, highest: Any
) -> CursorFormat:
    """The format of a column of numbers: by its highest, if all that could be times are times of one unit."""
    if (
        query.plan.cursor_format != "auto"
        or not guess.numeric
        or guess == Opaque(numeric=True)
        or not _is_number(highest)
    ):
        return guess
    by_highest = detect_number(highest, whole=isinstance(highest, int) and isinstance(lowest, int))
    if not _is_number(lowest):
        return by_highest
    cursor = query.cursor
    ranges = {unit: limits for unit, limits in UNITS.items() if limits[0] <= highest}
    if any(low <= lowest and highest < high for low, high in ranges.values()):
        return by_highest
    used = [
        unit
        for unit, (low, high) in ranges.items()
        if session.all(query.select(ONE).where(cursor >= bound(low), cursor < bound(high)).limit(1))
    ]
    if len(used) > 1:
        raise mixed_formats(session, query)
    return by_highest


def past_format(tag: str, zone: str) -> CursorFormat | None:
    """The format that a state names; None: there is no such one."""
    if (named := named_format(tag)) is not None:
        return named
    form = re.fullmatch(r"iso-(date|space|T)(?:\.(\d+))?(.*)", tag)
    if form is None:
        return None
    digits = None if form[2] is None else int(form[2])
    return IsoText({"date": "", "space": " ", "T": "T"}[form[1]], form[3], digits, zone)


def is_of_format(cursor: Expression, form: CursorFormat) -> Expression:
    """Whether a cursor has a format, near enough."""
    if isinstance(form, IsoText):
        return _looks_like(cursor, form)
    types = ("integer", "real") if form.numeric else ("text",)
    return sa.func.typeof(cursor).in_([bound(name) for name in types])


def _looks_like(cursor: Expression, form: IsoText) -> Expression:
    """Whether a text has the form, near enough: what GLOB lets through is checked when the row is read."""
    digit = "[0-9]"
    date = f"{digit * 4}-{digit * 2}-{digit * 2}"
    if not form.sep:
        return _glob(cursor, date)
    like = _glob(cursor, f"{date}{form.sep}{digit * 2}:{digit * 2}*{form.suffix}")
    if not form.suffix:
        strictly = sa.and_(like, sa.not_(_glob(cursor, "*:[0-9]*[-+A-Za-z ]*")))
        # to the second there is no room for a zone; the usual form takes a quarter of the time so
        to_the_second = _glob(cursor, f"????-??-??{form.sep}??:??:??")
        return sa.case((_has_length(cursor, 19), to_the_second), else_=strictly)
    if form.digits is not None:
        return sa.and_(like, _has_length(cursor, 20 + form.digits + bool(form.digits)))
    return like


def _glob(cursor: Expression, pattern: str) -> Expression:
    return cursor.op("GLOB")(bound(pattern))


def _has_length(cursor: Expression, length: int) -> Expression:
    return sa.func.length(cursor) == bound(length)


def _count(session: SqlSession, query: TableQuery, condition: Expression) -> int:
    return int(session.one(query.select(sa.func.count()).where(condition))[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))
