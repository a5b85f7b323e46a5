"""The checks for append-only logs: offsets, no ties, no updates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from ....contract import DataSourcePayload
from ..base import Conformance
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


class LogConformance(Conformance):
    """What a stream over an append-only log has to do. Fixtures: ``source`` and ``log``, over the same data."""

    yours: ClassVar[tuple[str, ...]] = ("log",)

    @pytest.fixture
    def log(self) -> LogEditor:
        """Appends to the log that ``source`` reads."""
        pytest.fail(f"{type(self).__name__} must define the fixture `log`: a LogEditor of one stream over a log")

    def test_a_second_run_of_a_log_reads_nothing(self, source: MakeSource, log: LogEditor, landing: Landing) -> None:
        """A log without keys has each row twice where its last row is read again."""
        log.append([NEW, NEW + 1, NEW + 2])
        landing.run(source)
        again = _read_by_run(source, log, landing)
        assert not again, f"a run without any change reads {again[:5]} again: begin behind the state's offset"

    def test_only_the_new_row_of_a_log_is_read(self, source: MakeSource, log: LogEditor, landing: Landing) -> None:
        """The row behind the state is the first that an offset loses that is one too high."""
        log.append([NEW, NEW + 1])
        landing.run(source)
        log.append([NEW + 2])
        found = _read_by_run(source, log, landing)
        assert found == [NEW + 2], f"a run after one more row must read that row alone; it reads {found[:5]}"

    def test_a_state_of_a_log_continues_right_after_its_row(self, source: MakeSource, log: LogEditor) -> None:
        """An offset has no ties: one too low doubles a row, and one too high loses it."""
        log.append(range(NEW, NEW + 10))
        with opened(source) as made:
            stream = next(one for one in made.streams() if one.name == log.stream)
            for part in stream.partitions({}):
                payloads = read(part)
                for number, payload in enumerate(payloads):
                    if payload.state:
                        behind, found = rows_of(payloads[number + 1 :]), rows_of(read(part, payload.state))
                        assert counted(found) == counted(behind), (
                            f"{log.stream}: reading from {payload.state} must give the {len(behind)} rows behind it; "
                            f"it gives {len(found)}"
                        )

    def test_states_of_a_log_never_go_back(self, source: MakeSource, log: LogEditor, landing: Landing) -> None:
        """A run that finds nothing and writes down where the log begins makes the next one read all of it."""
        log.append([NEW, NEW + 1])
        for _ in range(2):
            landing.run(source)
        again = _read_by_run(source, log, landing)
        assert not again, f"after a run that found nothing, the next one reads {again[:5]} again: leave the state there"


def _read_by_run(source: MakeSource, log: LogEditor, landing: Landing) -> list[int]:
    """The numbers of the rows that a further run reads."""
    found: list[int] = []

    def told(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == log.stream:
            found.extend(log.number(row) for row in plain_rows(payload))

    landing.run(watched(source, told))
    return found
