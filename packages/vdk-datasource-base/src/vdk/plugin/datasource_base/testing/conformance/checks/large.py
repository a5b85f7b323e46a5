"""The checks that need more data than a test can look at row by row."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from typing import ClassVar

import pyarrow as pa
import pytest

from ....contract import DataSourcePayload, StreamPartition
from ....runtime.run.partition_reader import closing_early
from ..base import Conformance
from ..harness.process import held, new_since
from ..harness.reading import MakeSource, opened, partitions_of

PAYLOADS = 20
"""So many that a page is small beside them all."""


class LargeDataConformance(Conformance):
    """What a source does with more data than it should hold at once. Fixture: ``large_source``."""

    yours: ClassVar[tuple[str, ...]] = ("large_source",)

    @pytest.fixture
    def large_source(self) -> MakeSource:
        """Makes a source over some 5,000 rows or more, whose largest partition is read in 20 payloads or more."""
        pytest.fail(f"{type(self).__name__} must define the fixture `large_source`: a function that makes a source")

    def test_many_rows_come_in_many_payloads(self, large_source: MakeSource) -> None:
        """A payload is the least that can land: a source that yields one holds its whole data at once."""
        with opened(large_source) as source:
            count = max(sum(1 for _ in one.read({})) for _, one in partitions_of(source))
        assert count >= PAYLOADS, f"{count} payloads at most: yield pages as they are read, {PAYLOADS} or more here"

    def test_the_first_rows_come_before_the_last_are_read(self, large_source: MakeSource) -> None:
        """The destination can work while the source is read, and memory holds, only if rows come as they are read."""
        _read(large_source, _first_only)  # what is loaded once for the process is loaded now
        whole, first = _read(large_source, _kept_all), _read(large_source, _first_only)
        assert first < whole / 2, (
            f"to give its first payload the source takes {first:,} bytes of the {whole:,} that all rows take: read "
            "page by page, and yield each page before the next is asked for"
        )

    def test_memory_is_bounded(self, large_source: MakeSource) -> None:
        """A table of a hundred million rows fits into no worker."""
        _read(large_source, _first_only)
        whole, passed = _read(large_source, _kept_all), _read(large_source, _dropped)
        assert passed < whole / 2, (
            f"reading takes {passed:,} bytes at its peak, and all rows at once {whole:,}: keep no row that was yielded"
        )

    def test_a_reader_that_is_closed_midway_frees_its_resources(self, large_source: MakeSource) -> None:
        """What fetches ahead of its reader goes on fetching, or waits for ever, when the reader has gone."""
        _read(large_source, _first_only)  # what is loaded once for the process is loaded now
        with opened(large_source) as source:
            for stream, part in partitions_of(source):
                _read_half(part)
                before = held()  # with the connections that the source keeps for its next reader
                _read_half(part)
                left = new_since(before)
                assert not left, f"a reader of {stream.name!r} that was closed half way keeps {left}: free in `finally`"


def _read_half(part: StreamPartition) -> None:
    payloads = iter(part.read({}))
    with closing_early(payloads):
        for _ in islice(payloads, PAYLOADS // 2):
            pass


def _kept_all(payloads: Iterator[DataSourcePayload], memory: _Memory) -> None:
    kept = list(payloads)
    memory.look()
    del kept


def _first_only(payloads: Iterator[DataSourcePayload], memory: _Memory) -> None:
    first = next(payloads, None)
    memory.look()
    del first


def _dropped(payloads: Iterator[DataSourcePayload], memory: _Memory) -> None:
    for payload in payloads:
        memory.look()
        del payload


def _read(make: MakeSource, how: Callable[[Iterator[DataSourcePayload], _Memory], None]) -> int:
    """Bytes that reading the largest partition takes at its peak."""
    peaks = []
    with opened(make) as source:
        for _, part in partitions_of(source):
            with _Memory() as memory:
                how(iter(part.read({})), memory)
            peaks.append(memory.peak)
    return max(peaks)


class _Memory:
    """What is taken of Python's memory, and of Arrow's whenever somebody looks."""

    peak = 0

    def __enter__(self) -> _Memory:
        self._before = pa.total_allocated_bytes()
        self._arrow = 0
        tracemalloc.start()
        return self

    def look(self) -> None:
        self._arrow = max(self._arrow, pa.total_allocated_bytes() - self._before)

    def __exit__(self, *_: object) -> None:
        self.peak = tracemalloc.get_traced_memory()[1] + self._arrow
        tracemalloc.stop()
