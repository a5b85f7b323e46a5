"""Partitions that know their end: it is determined once, attempts are repeated up to it, and progress is in percent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from support import QUICK, Lab, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    BoundedPartition,
    ConnectionFailedError,
    DataSourcePayload,
    FlowFailedError,
    StreamPartition,
)
from vdk.plugin.datasource_base.contract import DataSourceError, State
from vdk.plugin.datasource_base.runtime.report.progress import Progress
from vdk.plugin.datasource_base.runtime.report.progress_lines import progress_line
from vdk.plugin.datasource_base.runtime.report.summary import StreamReport
from vdk.plugin.datasource_base.runtime.run.partitions import bounded
from vdk.plugin.datasource_base.testing.faults import Fail, injected
from vdk.plugin.datasource_base.testing.faults.proxy import StreamProxy


class Growing(BoundedPartition):
    """Numbers from 0 up to a length that grows by one with each payload; ``on_row`` is called behind each."""

    def __init__(self, length: int, id: str = "", *, on_row: Callable[[], object] = bool) -> None:
        self.id = id
        self._length, self._on_row = length, on_row
        self.ends: list[State] = []
        self.reads: list[tuple[Any, Any]] = []

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        self.ends.append(state)
        return {"next": self._length}

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        assert end is not None
        self.reads.append((state.get("next", 0), end["next"]))
        for number in range(state.get("next", 0), end["next"]):
            self._length += 1
            yield payload({"n": number}, state={"next": number + 1})
            self._on_row()

    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        return float(state.get("next", 0) / end["next"])


class Silent(Growing):
    """Knows its end, and not how far it is."""

    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        return None


class Raising(Growing):
    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        raise ZeroDivisionError


class Endless(Growing):
    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        return None  # type: ignore[return-value]  # what the contract forbids


def stream_of(*parts: StreamPartition, lazily: bool = False) -> Split:
    def partitions(states: Mapping[str, State]) -> Iterable[StreamPartition]:
        return iter(parts) if lazily else parts

    return Split("t", partitions, incremental=True)


def test_a_repeated_attempt_reads_up_to_the_end_of_the_first(lab: Lab) -> None:
    """However much was written since: the same rows, and a run that ends."""
    part = Growing(6)
    with injected(Fail("read", nth=3, every=2)):
        report = lab.run(stream_of(part), options=replace(QUICK, batch_rows=1)).streams[0]
    assert lab.tables["t"] == numbers(0, 6)
    assert report.retries >= 3
    assert part.ends == [{}]
    assert {end for _, end in part.reads} == {6}
    lab.run()
    assert part.ends == [{}, {"next": 6}], "the next run has an end of its own"
    assert part.reads[-1][0] == 6
    assert part.reads[-1][1] > 6


def test_an_end_that_is_not_available_is_asked_for_again(lab: Lab) -> None:
    """It is retried like any reading."""

    class Away(Growing):
        def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
            end = super().end(state)
            if len(self.ends) == 1:
                raise ConnectionFailedError("away")
            return end

    part = Away(2)
    assert lab.run(stream_of(part)).streams[0].retries == 1
    assert (lab.numbers("t"), len(part.ends)) == ([0, 1], 2)


def test_an_end_that_is_no_state_is_an_error(lab: Lab) -> None:
    """Which names the stream."""

    class Wrong(Growing):
        def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"next": object()}

    with pytest.raises(DataSourceError, match="stream 't' yielded a state with the value <object"):
        lab.run(stream_of(Wrong(2)))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Returns the percentages of the progress line, one for each call of ``look``."""
    reports: list[StreamReport] = []
    started = Progress.stream_started
    monkeypatch.setattr(bounded, "MEASURE_SECONDS", 0)

    def remember(progress: Progress, report: StreamReport) -> None:
        reports.append(report)
        started(progress, report)

    monkeypatch.setattr(Progress, "stream_started", remember)

    def look() -> list[str]:
        return re.findall(r"src\.t  (?:(\d+)%  )?\d+ rows  ", progress_line(reports[-1]))

    return look


@pytest.mark.parametrize(
    ("lengths", "lazily", "kind", "expected"),
    [
        ([4], False, Growing, ["25", "50", "75", "100"]),
        ([2, 2], False, Growing, ["25", "50", "75", "100"]),
        ([2, 2], True, Growing, ["", ""]),
        ([1] * 3, False, Growing, ["33", "66", "100"]),
        ([2], False, Silent, ["", ""]),
        ([2], False, Raising, ["", ""]),
    ],
    ids=["one", "a list of partitions", "a generator of partitions", "rounded down", "no share", "a share that fails"],
)
def test_progress_is_in_percent_where_the_end_is_known(
    lab: Lab,
    lines: Callable[[], list[str]],
    lengths: Sequence[int],
    lazily: bool,
    kind: type[Growing],
    expected: list[str],
) -> None:
    """Of all partitions; those that wait for a reader count as not begun."""
    seen: list[str] = []
    parts = [kind(length, str(n), on_row=lambda: seen.extend(lines())) for n, length in enumerate(lengths)]
    lab.run(stream_of(*parts, lazily=lazily), options=replace(QUICK, max_parallel_partitions=1))
    assert seen[: len(expected)] == expected
    assert lines() == ["100"]


def test_what_earlier_runs_have_read_is_not_counted(lab: Lab, lines: Callable[[], list[str]]) -> None:
    """A run that begins in the middle begins with 0 %."""
    lab.run(stream_of(Growing(5)))
    seen: list[str] = []
    lab.run(stream_of(Growing(10, on_row=lambda: seen.extend(lines()))))
    assert seen == ["20", "40", "60", "80", "100"]


def test_a_stream_with_a_partition_that_does_not_know_its_end_has_no_percentage(
    lab: Lab, lines: Callable[[], list[str]]
) -> None:
    """Nor does one without partitions."""
    seen: list[str] = []

    def look(number: int) -> None:
        seen.extend(lines())

    lab.run(Whole("t", counting(3, fail_at=look)))
    assert seen == ["", "", ""]


def test_partitions_under_injected_faults_know_their_end() -> None:
    """Tests with faults read as a run does."""
    stream = StreamProxy(Whole("t", counting(3)), lambda partition, payloads: payloads, lambda state: [Growing(3)])
    (wrapped,) = stream.partitions({})
    assert isinstance(wrapped, BoundedPartition)
    assert wrapped.end({}) == {"next": 3}
    assert wrapped.share({"next": 1}, {"next": 2}) == 0.5
    assert [one.state for one in wrapped.read({}, {"next": 2})] == [{"next": 1}, {"next": 2}]


def test_an_end_that_is_no_state_is_refused(lab: Lab) -> None:
    """With the method and the remedy: the source has yielded nothing yet."""
    with pytest.raises(FlowFailedError, match=r"end\(\) of partition '' returned NoneType; return a state"):
        lab.run(stream_of(Endless(3)))
