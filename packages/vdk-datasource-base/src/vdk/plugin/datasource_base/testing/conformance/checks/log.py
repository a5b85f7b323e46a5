# SPDX-License-Identifier: Apache-2.0
"""Append-only logs: rows have offsets, no ties and no updates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from ....contract import DataSourcePayload
from ..base import Conformance
from ..capabilities import Level, needs
from ..harness.landing import Landing
from ..harness.reading import MakeSource, opened, plain_rows, read, rows_of, watched
from .rows import counted


class LogEditor(ABC):
    """Appends rows to the log that one stream reads, as the system that owns the log would."""

    stream: str
    """The name of the stream."""
    number_column: str = "id"
    """The column that holds the number that a row was appended with."""

    NEW: ClassVar[int] = 1_000_000
    """Numbers from here on are not in the log at first."""

    @abstractmethod
    def append(self, numbers: Sequence[int]) -> None:
        """Append a row for each number. What is appended is committed when this returns."""

    def number(self, row: Mapping[str, Any]) -> int:
        """The number that a row was appended with."""
        return int(row[self.number_column])


NEW = LogEditor.NEW


@needs("log")
class LogConformance(Conformance):
    """A stream over an append-only log. Fixtures: ``source`` and ``log``, over the same data."""

    overridable: ClassVar[tuple[str, ...]] = ("log",)
    level: ClassVar[Level] = "beta"

    @pytest.fixture
    def log(self) -> LogEditor:
        """Appends to the log that ``source`` reads."""
        pytest.fail(f"{type(self).__name__} must define the fixture `log`: a LogEditor of one stream over a log")

    def test_a_second_run_of_a_log_reads_nothing(self, source: MakeSource, log: LogEditor, landing: Landing) -> None:
        """If a row of a log without keys is read again, it lands twice."""
        log.append([NEW, NEW + 1, NEW + 2])
        landing.run(source)
        numbers = _numbers_read(source, log, landing)
        assert not numbers, f"a run without any change reads {numbers[:5]} again: start after the offset in the state"

    def test_only_the_new_row_of_a_log_is_read(self, source: MakeSource, log: LogEditor, landing: Landing) -> None:
        """An offset that is one too high loses the first row after the state."""
        log.append([NEW, NEW + 1])
        landing.run(source)
        log.append([NEW + 2])
        numbers = _numbers_read(source, log, landing)
        assert numbers == [NEW + 2], (
            f"a run after one more row reads {numbers[:5]}, expected [{NEW + 2}]: start at the offset after the state's"
        )

    def test_a_state_of_a_log_continues_right_after_its_row(self, source: MakeSource, log: LogEditor) -> None:
        """An offset has no ties: one too low repeats a row, and one too high loses it."""
        log.append(range(NEW, NEW + 10))
        with opened(source) as made:
            stream = next(stream for stream in made.streams() if stream.name == log.stream)
            for part in stream.partitions({}):
                payloads = read(part)
                for number, payload in enumerate(payloads):
                    if payload.state:
                        following, rows = rows_of(payloads[number + 1 :]), rows_of(read(part, payload.state))
                        assert counted(rows) == counted(following), (
                            f"{log.stream}: reading from {payload.state} gave {len(rows)} rows, expected the "
                            f"{len(following)} after it: use the offset after the payload's last row"
                        )

    def test_states_of_a_log_never_go_back(self, source: MakeSource, log: LogEditor, landing: Landing) -> None:
        """A run that finds nothing and stores the beginning of the log makes the next run read all of it."""
        log.append([NEW, NEW + 1])
        for _ in range(2):
            landing.run(source)
        numbers = _numbers_read(source, log, landing)
        assert not numbers, f"after a run without new rows, the next run reads {numbers[:5]} again: keep the state"


def _numbers_read(source: MakeSource, log: LogEditor, landing: Landing) -> list[int]:
    """The numbers of the rows that one more run reads."""
    numbers: list[int] = []

    def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == log.stream:
            numbers.extend(log.number(row) for row in plain_rows(payload))

    landing.run(watched(source, on_payload))
    return numbers
