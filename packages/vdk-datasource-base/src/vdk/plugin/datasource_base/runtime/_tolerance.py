"""How many rows a stream may reject: a number, or a part of those that are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ..parts._numbers import MAX_DIGITS, whole_number

ENOUGH = 1000
"""Rows after which a percentage is judged while the stream is still read: of the first ten rows, one is 10 %."""
_FORM = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<percent>%)?\s*")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``max_rejected``, understood.

    :param said: as it was said. :param count: rows; None: it is a percentage. :param percent: of the rows read.
    """

    said: str
    count: int | None = None
    percent: Fraction = Fraction(0)

    @classmethod
    def parse(cls, said: int | str) -> Tolerance:
        """``100``, ``"100"`` or ``"5%"``; 0 stands for any number. Raises ``ValueError`` for anything else."""
        text = str(said)
        match = _FORM.fullmatch(text) if len(text) <= MAX_DIGITS else None
        if match is None or (match["percent"] is None and "." in match["number"]):
            raise ValueError('it is a number of rows, or a percentage of those that are read ("5%")')
        if match["percent"] is None:
            return cls(str(said), count=whole_number(match["number"]))
        percent = Fraction(match["number"])
        if not 0 < percent <= 100:
            raise ValueError("a percentage is more than 0% and not more than 100%")
        return cls(str(said), percent=percent)

    def exceeded(self, rejected: int, read: int, *, ended: bool) -> bool:
        """Whether so many rejected rows are too many.

        :param read: the rows that were looked at, the rejected ones among them.
        :param ended: whether these are all rows; else a percentage is not judged before ``ENOUGH`` of them.
        """
        if self.count is not None:
            return 0 < self.count < rejected
        return (ended or read >= ENOUGH) and rejected * 100 > self.percent * read
