"""How many rows a stream may reject: a number, or a part of those that are read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ...contract import BadRecordError
from ...parts import TableBatch
from ...parts.numbers import MAX_DIGITS, whole_number
from ..report.summary import StreamReport
from .batching import RejectedBatch

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


_READ = "rows read for it"


class Tally:
    """Rows are counted in the report when they have landed. What is staged waits, by partition, and may be dropped.

    A percentage is one of the rows read for what has landed, is staged, or is about to: rows that were read in
    vain, before a retry, are not among them.
    """

    def __init__(self, report: StreamReport, tolerance: Tolerance) -> None:
        self._report = report
        self._tolerance = tolerance
        self._staged: dict[str, Counter[str]] = {}
        self._total: Counter[str] = Counter()  # landed and staged
        self._last_reason = ""

    def rows_staged(self, partition: str) -> int:
        return self._staged[partition]["rows_landed"] if partition in self._staged else 0

    def partitions_staged(self) -> set[str]:
        """Those of which rows are staged."""
        return {one for one, amounts in self._staged.items() if amounts["rows_landed"] or amounts["rows_rejected"]}

    def stage(self, partition: str, batches: Sequence[TableBatch], read: int) -> None:
        amounts = _amounts(batches, read)
        self._staged.setdefault(partition, Counter()).update(amounts)
        self._total += amounts

    def drop(self, partition: str) -> None:
        """What was staged for a partition is read again."""
        self._total -= self._staged.pop(partition, Counter())

    def land(self, partition: str, batches: Sequence[TableBatch] = (), read: int = 0, *, rows_swept: int = 0) -> None:
        """What was staged for a partition has landed, and then these batches; ``rows_swept`` rows were deleted."""
        more = _amounts(batches, read) + Counter(rows_deleted=rows_swept)
        self._total += more
        more.update(self._staged.pop(partition, {}))
        self._report.count(**{name: amount for name, amount in more.items() if name != _READ})

    def land_all(self) -> None:
        for partition in list(self._staged):
            self.land(partition)

    def judge(self, batches: Sequence[TableBatch] = (), read: int = 0, *, ended: bool) -> None:
        """Raise ``BadRecordError`` where the rows so far, with those that would land now, rejected too many.

        :param ended: whether these are all rows of the stream.
        """
        if rejected := [batch.data for batch in batches if isinstance(batch, RejectedBatch)]:
            self._last_reason = str(rejected[-1].column("reason")[-1].as_py())
        more = _amounts(batches, read)
        bad, seen = (self._total[name] + more[name] for name in ("rows_rejected", _READ))
        if bad and self._tolerance.exceeded(bad, seen, ended=ended):
            of = "" if self._tolerance.count is not None else f" of {seen}"
            raise BadRecordError(
                f"{bad}{of} rows were rejected, more than max_rejected = {self._tolerance.said}; "
                f"the last: {self._last_reason}. Correct the rows at the source, or allow more with max_rejected",
                stream=self._report.stream,
            )


def _amounts(batches: Sequence[TableBatch], read: int) -> Counter[str]:
    """What batches, and the rows read for them, add up to when they land."""
    amounts: Counter[str] = Counter({_READ: read})
    for batch in batches:
        if batch.kind == "keys":  # how many rows they delete, the destination tells
            continue
        rejected = isinstance(batch, RejectedBatch)
        name = "rows_rejected" if rejected else "rows_landed" if batch.kind == "rows" else "rows_deleted"
        amounts[name] += batch.data.num_rows
        amounts["bytes"] += batch.data.nbytes
    return amounts
