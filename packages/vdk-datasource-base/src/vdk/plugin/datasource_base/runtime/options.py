"""What a run may be told: the numbers and policies, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from ..parts.flow_file import FlowEntry, OnBadRecord, OnError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """Defaults of every flow. Each is a VDK configuration key too: ``DATASOURCE_<NAME>``.

    :param max_parallel_partitions: partitions read at once.
    :param batch_rows: rows that make a batch; a batch lands in one transaction. The default is a row group of DuckDB's,
        which it writes to its file at once; fewer rows go through its log, which takes twice the time.
    :param batch_bytes: bytes that make a batch, estimated.
    :param batch_seconds: a batch lands when its first row is this old, at the next payload.
    :param queue_bytes: batches that may wait for the destination; readers stand still above it.
    :param on_error: whether the other streams go on when one fails.
    :param on_bad_record: whether a row that does not fit fails its stream or is set apart.
    :param max_rejected: rows a stream may reject before it fails, or a percentage of those it reads (``"5%"``);
        0: any number. A percentage is judged at the stream's end, or from 1,000 rows on.
    :param retry_attempts: how often a partition is tried without progress.
    :param retry_seconds: how long a partition is tried without progress.
    :param retry_delay: seconds before the second attempt, at most; doubled for each further one.
    :param stop_seconds: within how long an interrupted run ends; sources and destinations may take most of it.
    :param progress_seconds: how often a running stream is told about in the log.
    """

    max_parallel_partitions: int = 4
    batch_rows: int = 122_880
    batch_bytes: int = 32 * MIB
    batch_seconds: float = 10.0
    queue_bytes: int = 64 * MIB
    on_error: OnError = "continue"
    on_bad_record: OnBadRecord = "fail"
    max_rejected: int | str = "10%"
    retry_attempts: int = 5
    retry_seconds: float = 300.0
    retry_delay: float = 1.0
    stop_seconds: float = 20.0
    progress_seconds: float = 10.0

    def for_flow(self, entry: FlowEntry) -> Options:
        """These options with what a flow says itself."""
        said: dict[str, Any] = {
            field.name: value for field in fields(self) if (value := getattr(entry, field.name, None)) is not None
        }
        if entry.retry_for is not None:
            said["retry_seconds"] = entry.retry_for.total_seconds()
        return replace(self, **said)
