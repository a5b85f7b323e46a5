# SPDX-License-Identifier: Apache-2.0
"""Large data: pages, bounded memory, and readers that are closed midway."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from typing import ClassVar

import pyarrow as pa
import pytest

from ....contract import DataSourcePayload, StreamPartition
from ....parts.closing import closing_early
from ..base import Conformance
from ..capabilities import Level, needs
from ..harness.process import open_resources, opened_since
from ..harness.reading import MakeSource, opened, partitions_of

PAYLOADS = 20
"""The least number of payloads, so that one is small compared with all of them."""


@needs("large_data")
class LargeDataConformance(Conformance):
    """More data than a source may keep in memory. Fixture: ``large_source``."""

    overridable: ClassVar[tuple[str, ...]] = ("large_source",)
    level: ClassVar[Level] = "stable"

    @pytest.fixture
    def large_source(self) -> MakeSource:
        """Makes a source over about 5,000 rows or more, whose largest partition is read in 20 payloads or more."""
        pytest.fail(f"{type(self).__name__} must define the fixture `large_source`: a function that makes a source")

    def test_many_rows_come_in_many_payloads(self, large_source: MakeSource) -> None:
        """A payload is the smallest unit that lands: a source that yields only one keeps all its data in memory."""
        with opened(large_source) as source:
            count = max(sum(1 for _ in part.read({})) for _, part in partitions_of(source))
        assert count >= PAYLOADS, (
            f"{count} payloads at most, expected {PAYLOADS} or more: yield each page as it is read"
        )

    def test_the_first_rows_come_before_the_last_are_read(self, large_source: MakeSource) -> None:
        """The destination can work while the source is read only if rows are yielded as they are read."""
        _peak_memory(large_source, _take_first)  # load what a process loads once
        whole, first = _peak_memory(large_source, _keep_all), _peak_memory(large_source, _take_first)
        assert first < whole / 2, (
            f"the first payload takes {first:,} bytes, and all rows {whole:,}: read page by page, and yield each page "
            "before the next is requested"
        )

    def test_memory_is_bounded(self, large_source: MakeSource) -> None:
        """No worker can keep a table of a hundred million rows in memory."""
        _peak_memory(large_source, _take_first)
        whole, peak = _peak_memory(large_source, _keep_all), _peak_memory(large_source, _drop_each)
        assert peak < whole / 2, (
            f"reading takes {peak:,} bytes at its peak, and all rows together {whole:,}: keep no row that was yielded"
        )

    def test_a_reader_that_is_closed_midway_frees_its_resources(self, large_source: MakeSource) -> None:
        """A source that fetches ahead continues to fetch, or waits forever, after its reader was closed."""
        _peak_memory(large_source, _take_first)  # load what a process loads once
        with opened(large_source) as source:
            for stream, part in partitions_of(source):
                _read_half(part)
                before = open_resources()  # including connections that the source keeps for its next reader
                _read_half(part)
                left = opened_since(before)
                assert not left, (
                    f"a reader of {stream.name!r} that was closed midway keeps {left} open: close them in `finally`"
                )


def _read_half(part: StreamPartition) -> None:
    payloads = iter(part.read({}))
    with closing_early(payloads):
        for _ in islice(payloads, PAYLOADS // 2):
            pass


def _keep_all(payloads: Iterator[DataSourcePayload], memory: _Memory) -> None:
    kept = list(payloads)
    memory.measure()
    del kept


def _take_first(payloads: Iterator[DataSourcePayload], memory: _Memory) -> None:
    first = next(payloads, None)
    memory.measure()
    del first


def _drop_each(payloads: Iterator[DataSourcePayload], memory: _Memory) -> None:
    for payload in payloads:
        memory.measure()
        del payload


def _peak_memory(make: MakeSource, consume: Callable[[Iterator[DataSourcePayload], _Memory], None]) -> int:
    """The bytes that reading the largest partition takes at its peak."""
    peaks = []
    with opened(make) as source:
        for _, part in partitions_of(source):
            with _Memory() as memory:
                consume(iter(part.read({})), memory)
            peaks.append(memory.peak)
    return max(peaks)


class _Memory:
    """The peak of Python's memory, and of Arrow's whenever it is measured."""

    peak = 0

    def __enter__(self) -> _Memory:
        self._before = pa.total_allocated_bytes()
        self._arrow = 0
        tracemalloc.start()
        return self

    def measure(self) -> None:
        self._arrow = max(self._arrow, pa.total_allocated_bytes() - self._before)

    def __exit__(self, *_: object) -> None:
        self.peak = tracemalloc.get_traced_memory()[1] + self._arrow
        tracemalloc.stop()
