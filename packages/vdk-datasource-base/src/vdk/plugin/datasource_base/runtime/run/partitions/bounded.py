# SPDX-License-Identifier: Apache-2.0
"""Reads a partition up to an end that is determined once, and measures how much of it is read."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from ....contract import BoundedPartition, DataSourceError, DataSourcePayload, State, StreamPartition
from ...report.read_share import ReadShare
from ...states import copy_state

log = logging.getLogger(__name__)

MEASURE_SECONDS = 0.25
"""Seconds between two measurements: a source may yield a state behind every row."""


class Reading:
    """The reading of one partition, with all its attempts.

    A ``BoundedPartition`` is asked for its end before the first attempt only: an attempt that is repeated reads the
    same rows, and does not run after a source that is written to all the time. Other partitions are read as they are.

    :param stream: the name of the stream, for errors. :param shares: gets the share that is read.
    """

    def __init__(self, partition: StreamPartition, stream: str, shares: ReadShare) -> None:
        self._partition, self._stream, self._shares = partition, stream, shares
        self._end: State | None = None
        self._begin: float | None = None  # the share that earlier runs have read
        self._measured = 0.0
        shares.set(partition.id, None)

    def payloads(self, start: State) -> Iterable[DataSourcePayload]:
        """The payloads of an attempt. The source gets copies: it may change them, and must not change what is stored.

        :raises Exception: what the source raises where it looks for the end.
        """
        partition = self._partition
        if not isinstance(partition, BoundedPartition):
            return self._checked(partition.read(self._copy(start)))
        if self._end is None:
            end = partition.end_of_read(self._copy(start))
            if not isinstance(end, Mapping):
                raise DataSourceError(
                    f"stream {self._stream!r}: end() of partition {partition.id!r} returned {type(end).__name__}; "
                    "return a state, which is a mapping, or extend StreamPartition, which needs no end"
                )
            self._end = self._copy(end)
            self._begin = self._share(start)
        self._report(start)
        return self._checked(partition.read(self._copy(start), self._copy(self._end)))

    def _checked(self, payloads: object) -> Iterable[DataSourcePayload]:
        if not isinstance(payloads, Iterable):
            kind = "nothing" if payloads is None else f"a {type(payloads).__name__}"
            raise DataSourceError(
                f"stream {self._stream!r}: read() returned {kind}, and must yield its payloads: write yield "
                "DataSourcePayload(…) in place of return"
            )
        return payloads

    def reached(self, state: State) -> None:
        """A payload with this state was read."""
        if self._begin is not None and time.monotonic() - self._measured >= MEASURE_SECONDS:
            self._report(state)

    def ended(self) -> None:
        """The partition is read to its end, and has landed."""
        self._shares.end(self._partition.id)

    def _report(self, state: State) -> None:
        self._measured = time.monotonic()
        share = self._share(state)
        if share is not None and self._begin is not None:
            left = 1.0 - self._begin
            share = max(0.0, share - self._begin) / left if left > 0 else 1.0
        self._shares.set(self._partition.id, share)

    def _share(self, state: State) -> float | None:
        assert isinstance(self._partition, BoundedPartition)
        assert self._end is not None
        try:
            share = self._partition.share(self._copy(state), self._copy(self._end))
            return None if share is None else min(1.0, max(0.0, float(share)))
        except Exception as error:  # it is only shown: the rows land without it
            log.debug("stream %r: share() of partition %r failed: %s", self._stream, self._partition.id, error)
            return None

    def _copy(self, state: State) -> State:
        return copy_state(state, stream=self._stream)
