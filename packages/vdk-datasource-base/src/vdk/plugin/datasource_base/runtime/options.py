# SPDX-License-Identifier: Apache-2.0
"""The options of a run: numbers and policies, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from ..parts.flow.file import FlowEntry, OnBadRecord, OnError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """Defaults of every flow. Each is also a VDK configuration key: ``DATASOURCE_<NAME>``.

    :param max_parallel_partitions: partitions read in parallel.
    :param batch_rows: rows of a batch; a batch lands in one transaction. The default is the size of a DuckDB row
        group, which DuckDB writes straight to its file; fewer rows go through its log, which takes twice the time.
    :param batch_bytes: bytes of a batch, estimated.
    :param batch_seconds: a batch lands when its first row is this old, at the next payload.
    :param queue_bytes: bytes of batches that may wait for the destination; readers pause above it.
    :param on_error: whether the other streams continue when one fails.
    :param on_bad_record: whether a row that does not fit fails its stream or is rejected.
    :param max_rejected: rows a stream may reject before it fails, or a percentage of the rows it reads (``"5%"``);
        0: any number. A percentage is checked at the stream's end, or from 1,000 rows on.
    :param retry_attempts: attempts to read a partition without progress.
    :param retry_seconds: seconds from the first failure without progress to the last attempt.
    :param retry_delay: maximum seconds before the second attempt; doubled for each further one.
    :param stop_seconds: seconds within which an interrupted run ends; sources and destinations may take most of it.
    :param progress_seconds: seconds between two log lines about a running stream.
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

    @property
    def large_bytes(self) -> int:
        """The size above which rows exceed a batch, and are not kept in memory beside others."""
        return self.batch_bytes * 9 // 8

    def for_flow(self, entry: FlowEntry) -> Options:
        """These options, overridden by those that the flow sets."""
        overrides: dict[str, Any] = {
            field.name: value for field in fields(self) if (value := getattr(entry, field.name, None)) is not None
        }
        if entry.retry_for is not None:
            overrides["retry_seconds"] = entry.retry_for.total_seconds()
        return replace(self, **overrides)
