# SPDX-License-Identifier: Apache-2.0
"""What a flow expects of a table, and how a destination judges it before rows become visible."""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..contract import ExpectationError
from ..contract.errors import shortened

EXPECTATIONS = ("rows_min", "shrink_max", "unique", "not_null", "max_age")
_SHARE = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*")


def share_of(text: str) -> Fraction:
    """``"20%"`` as a share. Raises ``ValueError`` for anything else."""
    match = _SHARE.fullmatch(text)
    share = Fraction(match[1]) / 100 if match is not None else Fraction(-1)
    if not 0 <= share <= 1:
        raise ValueError('it must be a percentage of the rows, from "0%" to "100%"')
    return share


@dataclass(frozen=True, slots=True)
class Expectations:
    """What must hold of one table.

    :param rows_min: the fewest rows. :param shrink_max: the largest share of its rows that the table may lose in a run.
    :param unique: sets of columns whose values together are in one row only; NULL equals nothing.
    :param not_null: columns without NULL. :param max_age: of the newest value in ``cursor``.
    :param ended: whether these are the last rows of the run; ``rows_min`` and ``max_age`` are judged only then.
    :param landed: whether the rows have landed before they are judged, for the text of the error.
    """

    table: str
    rows_min: int | None = None
    shrink_max: Fraction | None = None
    unique: Sequence[tuple[str, ...]] = ()
    not_null: Sequence[str] = ()
    max_age: dt.timedelta | None = None
    cursor: str | None = None
    ended: bool = True
    landed: bool = False

    @property
    def names(self) -> list[str]:
        """Those that are set."""
        return [name for name in EXPECTATIONS if getattr(self, name) not in (None, ())]


class TableFacts(ABC):
    """What a destination knows of a table, with the rows that are about to become visible in it.

    Rows that are marked as deleted do not count.
    """

    @abstractmethod
    def rows(self) -> int:
        """Its rows."""

    @abstractmethod
    def rows_before(self) -> int:
        """Its rows before the run."""

    @abstractmethod
    def repeated(self, columns: Sequence[str]) -> tuple[Any, ...] | None:
        """Values, none of them NULL, that several rows have in these columns, then how many; None: there are none."""

    @abstractmethod
    def nulls(self, column: str) -> int:
        """How many rows have NULL in a column."""

    @abstractmethod
    def newest(self, column: str) -> Any:
        """The largest value of a column; None: there is none."""

    @abstractmethod
    def columns(self) -> Sequence[str]:
        """The names of its columns."""


def judge(expected: Expectations, facts: TableFacts) -> None:
    """Raise ``ExpectationError`` naming the expectation that does not hold, the value and the limit."""
    _check_columns(expected, facts.columns())
    if expected.rows_min is not None and expected.ended and (rows := facts.rows()) < expected.rows_min:
        raise _unmet(expected, f"rows_min = {expected.rows_min}", f"it would have {rows:,} rows")
    if expected.shrink_max is not None:
        before, after = facts.rows_before(), facts.rows()
        if before - after > expected.shrink_max * before:
            lost = Fraction(before - after, before) * 100
            raise _unmet(
                expected,
                f'shrink_max = "{float(expected.shrink_max * 100):g}%"',
                f"it would have {after:,} rows after {before:,}, {float(lost):.1f}% fewer",
            )
    for column in expected.not_null:
        if nulls := facts.nulls(column):
            raise _unmet(expected, f"not_null = [{column!r}]", f"{nulls:,} rows would have no value in it")
    for columns in expected.unique:
        if (repeated := facts.repeated(columns)) is not None:
            *values, count = repeated
            shown = ", ".join(f"{name}={shortened(value)}" for name, value in zip(columns, values, strict=True))
            raise _unmet(expected, f"unique = {list(columns)}", f"{count:,} rows would have {shown}")
    if expected.max_age is not None and expected.cursor is not None and expected.ended:
        _judge_age(expected, facts.newest(expected.cursor))


def _check_columns(expected: Expectations, existing: Sequence[str]) -> None:
    folded = {name.casefold() for name in existing}
    named = [*expected.not_null, *(name for columns in expected.unique for name in columns)]
    for name in [*named, *([expected.cursor] if expected.max_age is not None and expected.cursor else [])]:
        if existing and name.casefold() not in folded:
            raise _error(
                expected,
                f"table {expected.table!r} has no column {name!r}, which expect names; its columns are "
                f"{', '.join(existing)}",
            )


def _judge_age(expected: Expectations, newest: Any) -> None:
    limit = f"max_age = {str(expected.max_age)!r}"
    if newest is None:
        raise _unmet(expected, limit, f"no row has a value in {expected.cursor!r}")
    time = _time(newest)
    if time is None:
        raise _error(
            expected,
            f"table {expected.table!r}: max_age cannot be judged: {expected.cursor!r} has {shortened(newest)}, which "
            "is not a time; remove max_age from expect",
        )
    age = dt.datetime.now(dt.UTC) - time
    if expected.max_age is not None and age > expected.max_age:
        raise _unmet(expected, limit, f"its newest {expected.cursor!r} is {time.isoformat(sep=' ')}, {age} ago")


def _time(value: Any) -> dt.datetime | None:
    """A value as an instant; a time without a zone is UTC."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if not isinstance(value, dt.datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)


def _unmet(expected: Expectations, expectation: str, value: str) -> ExpectationError:
    kept = ". These rows have not landed, and the table stays as it was before them"
    return _error(expected, f"table {expected.table!r} does not meet expect {expectation}: {value}", kept)


def _error(expected: Expectations, problem: str, kept: str = "") -> ExpectationError:
    """:param kept: what follows unless the rows have landed already."""
    return ExpectationError(problem + (". The rows of this run have landed" if expected.landed else kept))
