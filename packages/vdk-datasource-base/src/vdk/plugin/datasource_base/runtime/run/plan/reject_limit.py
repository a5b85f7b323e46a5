# SPDX-License-Identifier: Apache-2.0
"""The limit of rejected rows (``max_rejected``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ....parts.columns.numbers import MAX_DIGITS, whole_number

MIN_ROWS_FOR_PERCENTAGE = 1000
"""Rows from which on a percentage is checked while the stream is still read: of the first ten rows, one is 10 %."""
_LIMIT = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<percent>%)?\s*")


@dataclass(frozen=True, slots=True)
class RejectLimit:
    """A parsed ``max_rejected``.

    :param text: as it was written. :param count: rows; None: it is a percentage. :param percent: of the rows read.
    """

    text: str
    count: int | None = None
    percent: Fraction = Fraction(0)

    @classmethod
    def parse(cls, value: int | str) -> RejectLimit:
        """``100``, ``"100"`` or ``"5%"``; 0 allows any number. Raises ``ValueError`` for anything else."""
        text = str(value)
        match = _LIMIT.fullmatch(text) if len(text) <= MAX_DIGITS else None
        if match is None or (match["percent"] is None and "." in match["number"]):
            raise ValueError('it must be a number of rows (100), or a percentage of the rows read ("5%")')
        if match["percent"] is None:
            return cls(text, count=whole_number(match["number"]))
        percent = Fraction(match["number"])
        if not 0 < percent <= 100:
            raise ValueError('a percentage must be more than 0% and at most 100% ("5%")')
        return cls(text, percent=percent)

    def exceeded(self, rejected: int, read: int, *, ended: bool) -> bool:
        """Whether so many rows are too many to reject.

        :param read: the rows read, the rejected ones included.
        :param ended: whether the stream has no more rows; until then a percentage is checked only from
            ``MIN_ROWS_FOR_PERCENTAGE`` rows on.
        """
        if self.count is not None:
            return 0 < self.count < rejected
        return (ended or read >= MIN_ROWS_FOR_PERCENTAGE) and rejected * 100 > self.percent * read
