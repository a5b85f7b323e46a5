# SPDX-License-Identifier: Apache-2.0
"""Records of runs: what a destination keeps about each stream of each run, beside the rows that landed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

KEPT_RUNS = 50
"""Records that are kept of each stream into a table; older ones are deleted when a run ends."""
KEPT_RECORDS = 20_000
"""Records that are kept altogether, the newest: streams may be named after days."""
MAX_TEXT = 4_000
"""Characters of a record's error, states or schema changes; longer ones are cut, or left out if they are JSON."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One stream of one run. The first five fields are its key.

    :param source_id: the name of the source in the flow file. :param destination_table: the stream's own table.
    :param started_at: with a time zone, as ``ended_at``, which is None while the stream is read. A run that was killed
        never ends: its counts are those of its last commit.
    :param status: "running", "succeeded", "failed", "stopped", or "undone".
    :param rows_read: rows that the source yielded, those of attempts that failed included.
    :param rows_dropped: rows of what landed that a transform dropped, or that a later row of the same key replaced.
    :param bytes: of the rows that landed, in memory.
    :param state_before: partition → state, as JSON; empty if it is longer than ``MAX_TEXT``; so is ``state_after``,
        which is empty until the stream ends. :param schema_changes: as JSON, those of the columns' types.
    :param verification: as JSON, what was proven of the stream; empty: the flow does not verify.
    """

    run_id: str
    source_id: str
    stream: str
    destination_table: str
    started_at: dt.datetime
    ended_at: dt.datetime | None = None
    status: str = "running"
    rows_read: int = 0
    rows_landed: int = 0
    rows_dropped: int = 0
    rows_rejected: int = 0
    rows_deleted: int = 0
    bytes: int = 0
    retries: int = 0
    error: str = ""
    state_before: str = ""
    state_after: str = ""
    schema_changes: str = ""
    verification: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in RECORD_KEY)


def with_killed(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The records, newest first. One that has not ended has the status "killed" if the stream has begun again since."""
    shown: list[RunRecord] = []
    later: set[tuple[str, str, str]] = set()
    for record in sorted(records, key=lambda record: record.started_at, reverse=True):
        stream = (record.source_id, record.stream, record.destination_table)
        killed = record.status == "running" and stream in later
        shown.append(replace(record, status="killed") if killed else record)
        later.add(stream)
    return shown


RECORD_KEY = ("run_id", "source_id", "stream", "destination_table", "started_at")
RECORD_FIELDS = tuple(field.name for field in fields(RunRecord))


def kept_records(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records without those that are to be deleted, newest first. Of one key the last counts."""
    latest = {record.key: record for record in records}
    kept: list[RunRecord] = []
    counts: dict[tuple[str, str, str], int] = {}
    for record in sorted(latest.values(), key=lambda record: record.started_at, reverse=True):
        stream = (record.source_id, record.stream, record.destination_table)
        counts[stream] = counts.get(stream, 0) + 1
        if counts[stream] <= KEPT_RUNS and len(kept) < KEPT_RECORDS:
            kept.append(record)
    return kept
