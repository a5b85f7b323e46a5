# SPDX-License-Identifier: Apache-2.0
"""The row counts of a stream: of what is read, staged and landed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ....contract import BadRecordError, VerificationError
from ....parts import TableBatch
from ...report.details import Rejects
from ...report.summary import StreamReport
from ..batches.batching import RejectedBatch, RejectedChildBatch
from ..batches.child_batches import ChildBatch
from ..plan.reject_limit import RejectLimit

GAUGE = "held_back"
"""The end of counters of what waits at the source: the value of the last attempt or round counts, others are summed."""


_READ = "rows read"
NESTED = "rows_nested"
"""The items of lists that have landed in tables of their own."""


class RowCounters:
    """Counts rows in the report once they have landed. Staged rows are counted by partition, and can be rolled back.

    A percentage refers to the rows read for what has landed, is staged, or is about to land. Rows of a failed attempt,
    which are read again, are not among them.

    :param exact: nothing may drop a row or add one, as a transform does, or a later row of the same key: the rows read
        are those that land and those that are rejected.
    """

    def __init__(self, report: StreamReport, limit: RejectLimit, *, exact: bool = False) -> None:
        self._report = report
        self._exact = exact
        self._limit = limit
        self._staged: dict[str, Counter[str]] = {}
        self._staged_rejects: dict[str, Rejects] = {}
        self._total: Counter[str] = Counter()  # landed and staged
        self._last_reason = ""

    def rows_staged(self, partition: str) -> int:
        return self._staged[partition]["rows_landed"] if partition in self._staged else 0

    def partitions_staged(self) -> set[str]:
        """The partitions that have staged rows."""
        return {name for name, counts in self._staged.items() if counts["rows_landed"] or counts["rows_rejected"]}

    def stage(self, partition: str, batches: Sequence[TableBatch], read: int) -> None:
        counts = _counts(batches, read)
        self._staged.setdefault(partition, Counter()).update(counts)
        self._total += counts
        self._observe(batches, self._staged_rejects.setdefault(partition, Rejects()))

    def rollback(self, partition: str) -> None:
        """Forget the staged rows of a partition, which are read again."""
        self._total -= self._staged.pop(partition, Counter())
        self._staged_rejects.pop(partition, None)

    def rollback_all(self) -> None:
        """Forget all staged rows: the whole stream is read again."""
        for partition in list(self._staged):
            self.rollback(partition)

    def commit(self, partition: str, batches: Sequence[TableBatch] = (), read: int = 0, *, rows_swept: int = 0) -> None:
        """Count the staged rows of a partition and these batches as landed.

        :param rows_swept: rows that the destination deleted, since their keys were missing in a list of all keys.
        """
        added = _counts(batches, read) + Counter(rows_deleted=rows_swept)
        self._total += added
        counts = self.landing([(partition, batches, read)], rows_swept)
        if nested := added[NESTED] + self._staged.get(partition, Counter())[NESTED]:
            self._report.count_named({NESTED: nested})
        self._staged.pop(partition, None)
        self._report.count(**counts)
        rejects = self._report.details.rejects
        rejects.merge(self._staged_rejects.pop(partition, Rejects()))
        self._observe(batches, rejects)

    def landing(self, units: Iterable[tuple[str, Sequence[TableBatch], int]], rows_swept: int = 0) -> dict[str, int]:
        """What a commit adds to the report: the staged rows of partitions, and these batches.

        :param units: for each partition its batches, and the rows read for them.
        :raises VerificationError: rows are lost, or there are too many.
        """
        counts: Counter[str] = Counter(rows_deleted=rows_swept)
        for partition, batches, read in units:
            counts.update(_counts(batches, read))
            counts.update(self._staged.get(partition, {}))
        read, landed, rejected = counts.pop(_READ, 0), counts["rows_landed"], counts["rows_rejected"]
        if self._exact and read != landed + rejected:
            raise VerificationError(
                f"stream {self._report.stream!r}: {read:,} rows were read, and {landed:,} would land and {rejected:,} "
                "are rejected. This is a bug: please report it. Nothing of these rows has landed"
            )
        counts.pop(NESTED, None)
        counts["rows_dropped"] = max(0, read - landed - rejected)
        return dict(counts)

    def landing_all(self) -> dict[str, int]:
        """What a commit of all staged rows adds to the report."""
        return self.landing((partition, (), 0) for partition in self._staged)

    def _observe(self, batches: Sequence[TableBatch], rejects: Rejects) -> None:
        """Keep what a report of the run shows of the batches."""
        report = self._report
        for batch in batches:
            if isinstance(batch, RejectedBatch):
                rejects.add(batch.data)
            elif batch.kind == "rows":
                report.details.add_columns(batch.table.name, batch.data.schema)
        if not report.is_round:
            report.details.add_point(report.started, report.rows_read, report.rows_landed)

    def commit_all(self) -> None:
        """Count all staged rows as landed."""
        for partition in list(self._staged):
            self.commit(partition)

    def check_limit(self, batches: Sequence[TableBatch] = (), read: int = 0, *, ended: bool) -> None:
        """Raise ``BadRecordError`` if the rows so far, with those about to land, exceed ``max_rejected``.

        :param ended: whether the stream has no more rows.
        """
        if rejected := [batch.data for batch in batches if isinstance(batch, RejectedBatch)]:
            self._last_reason = str(rejected[-1].column("reason")[-1].as_py())
        # called for each unit with all units beside it: no more is counted than the limit needs
        bad = self._total["rows_rejected"] + sum(data.num_rows for data in rejected)
        total = self._total[_READ] + read
        if bad and self._limit.exceeded(bad, total, ended=ended):
            of_total = "" if self._limit.count is not None else f" of {total}"
            raise BadRecordError(
                f"{bad}{of_total} rows were rejected, more than max_rejected = {self._limit.text}; "
                f"the last: {self._last_reason}. Correct the rows at the source, or allow any number with "
                'max_rejected = "100%"',
                stream=self._report.stream,
            )


def _counts(batches: Sequence[TableBatch], read: int) -> Counter[str]:
    """What the report counts for batches once they have landed, and the rows read for them."""
    counts: Counter[str] = Counter({_READ: read})
    for batch in batches:
        if batch.kind == "keys":  # the destination says how many rows they delete
            continue
        if isinstance(batch, ChildBatch):
            counts[NESTED] += batch.data.num_rows if batch.kind == "rows" else 0
            counts["bytes"] += batch.data.nbytes
            continue
        rejected = isinstance(batch, RejectedBatch)
        if isinstance(batch, RejectedChildBatch):
            counts[_READ] += batch.data.num_rows  # they are not among the rows that a stream reads
        name = "rows_rejected" if rejected else "rows_landed" if batch.kind == "rows" else "rows_deleted"
        counts[name] += batch.data.num_rows
        counts["bytes"] += batch.data.nbytes
    return counts
