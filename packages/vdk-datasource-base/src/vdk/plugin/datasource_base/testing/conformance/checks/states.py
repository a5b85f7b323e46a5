# SPDX-License-Identifier: Apache-2.0
"""States: JSON, never ahead of the rows, and never used if they are foreign or damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from ....contract import DataSourcePayload, StateError
from ..base import Conformance
from ..capabilities import Level
from ..harness.landing import STOPS, Landing
from ..harness.reading import MakeSource, OnPayload, error_of, opened, partitions_of, read, rows_of, watched
from .rows import counted, lost

VERSIONS = ("v", "version")


class StateChecks(Conformance):
    """The states that a run stores, and how the next run uses them."""

    level: ClassVar[Level] = "beta"

    def test_states_are_json(self, source: MakeSource) -> None:
        """A state is stored as JSON: a tuple is read back as a list, and a date cannot be stored."""
        for partition, state in _all_states(source):
            error = error_of(json.dumps, state, allow_nan=False)
            assert error is None, f"the state of {partition} is not JSON ({error}): write times and decimals as text"
            assert json.loads(json.dumps(state)) == state, (
                f"the state of {partition} changes when it is stored: use text keys, and lists instead of tuples"
            )

    def test_states_have_a_version(self, source: MakeSource) -> None:
        """The next version of the plugin reads states of this one, and must be able to tell."""
        for partition, state in _all_states(source):
            assert not state or any(isinstance(state.get(name), int) for name in VERSIONS), (
                f'the state of {partition} has no version: add {{"v": 1}}, or use PartitionState'
            )

    def test_reading_from_a_state_gives_everything_after_it(self, source: MakeSource) -> None:
        """Reading from a payload's state yields every row that came after the payload."""
        for name, part, payloads in _read_all(source):
            for number, payload in enumerate(payloads):
                if payload.state:
                    following, rows = rows_of(payloads[number + 1 :]), rows_of(read(part, payload.state))
                    missing = counted(following) - counted(rows)
                    assert not missing, (
                        f"{name}: reading from {payload.state} skips {list(missing)[:1]}: use the position of the "
                        "payload's last row as its state"
                    )

    def test_stopping_after_any_payload_loses_nothing(self, source: MakeSource, landing: Landing) -> None:
        """A state that is ahead of its rows loses them at the first Ctrl-C, without an error."""
        landing.run(source)
        for number in range(1, _payloads_of(source) + 1):
            with Landing.fresh() as stopped:
                stopped.stop(source, after=number)
                stopped.run(source)
                missing = lost(stopped.tables, landing.tables)
            assert not missing, (
                f"after a stop at payload {number} the next run skips {missing}: let a payload's state cover the rows "
                "up to and including it, and no later ones"
            )

    def test_a_crash_at_any_commit_loses_nothing(self, source: MakeSource, landing: Landing) -> None:
        """Rows that were yielded have not landed yet, and rows that landed may have to be delivered again."""
        landing.run(source)
        for number in range(1, _payloads_of(source) + 1):
            for half in (False, True):
                with Landing.fresh() as crashed:
                    crashed.crash(source, commit=number, half=half)
                    crashed.run(source)
                    missing = lost(crashed.tables, landing.tables)
                assert not missing, (
                    f"after a crash at commit {number} the next run skips {missing}: resume from the state that read() "
                    "receives, and keep no other position"
                )

    def test_a_second_run_changes_nothing(self, source: MakeSource, landing: Landing) -> None:
        """If the data is the same, so are the tables: no row is missing, and none is repeated."""
        landing.run(source)
        before = {name: list(rows) for name, rows in landing.tables.items()}
        landing.run(source)
        removed, added = lost(landing.tables, before), lost(before, landing.tables)
        assert not removed, f"a second run without any change removes {removed}: read the same rows, or only new ones"
        assert not added, (
            f"a second run without any change adds {added}: read after the state, or declare a primary key"
        )

    def test_a_foreign_state_is_not_used(self, source: MakeSource) -> None:
        """A source id that was used for another source still has its states."""
        for name, part, payloads in _read_all(source):
            if _has_state(payloads):
                foreign = {"somebody": {"elses": ["position", 7]}}
                _assert_not_used(name, part, foreign, rows_of(payloads), "of another source")

    def test_a_state_of_another_version_is_not_used(self, source: MakeSource) -> None:
        """After an update of the plugin is undone, its states still exist."""
        for name, part, payloads in _read_all(source):
            for state in [payload.state for payload in payloads if payload.state][-1:]:
                for version in (0, 1000):
                    other = {key: version if key in VERSIONS else value for key, value in state.items()}
                    if other != state:
                        _assert_not_used(name, part, other, rows_of(payloads), "of another version")

    def test_a_damaged_state_is_not_used(self, source: MakeSource) -> None:
        """A part of a state, read as a position, is a position where no run ever was."""
        for name, part, payloads in _read_all(source):
            states = [(number, payload.state) for number, payload in enumerate(payloads) if payload.state]
            for number, state in states[: (len(states) + 1) // 2][-1:]:
                following = rows_of(payloads[number + 1 :])
                for damaged in _damaged(dict(state)):
                    _assert_not_used(name, part, damaged, following, "that is damaged")

    def test_states_of_removed_streams_are_ignored(self, source: MakeSource, landing: Landing) -> None:
        """A dropped table leaves its state; the other streams must continue."""
        landing.run(source)
        landing.add_state(source, "a removed stream", {"v": 1, "position": 7})
        error = landing.attempt(source)
        assert error is None, (
            f"the state of a removed stream fails the run: look up the states of existing streams only ({error})"
        )

    def test_a_new_stream_does_not_reset_the_others(self, source: MakeSource, landing: Landing) -> None:
        """An added table must be read completely, and the others must not start over because of it."""
        landing.run(source)
        usual = {stream.stream: stream.rows_read for stream in landing.run(source).streams}
        for new in usual if len(usual) > 1 else ():
            with Landing.fresh() as grown:
                grown.run(watched(source, hidden=[new]))
                counts = {stream.stream: stream.rows_read for stream in grown.run(source).streams}
            more = {name: rows for name, rows in counts.items() if name != new and rows > usual[name]}
            assert not more, (
                f"when {new!r} is added, other streams start over (rows read: {more}): keep no state over all streams"
            )

    def test_a_failing_stream_does_not_stop_the_others(self, source: MakeSource, landing: Landing) -> None:
        """One table that cannot be read must not stop the run of a hundred."""
        landing.run(source)
        expected = {name: list(rows) for name, rows in landing.tables.items()}
        for name in expected if len(expected) > 1 else ():
            with Landing.fresh() as failed:
                failed.attempt(watched(source, _failing(name)))
                missing = lost(failed.tables, {other: rows for other, rows in expected.items() if other != name})
            assert not missing, f"when {name!r} fails, other streams lack {missing}: share nothing between streams"


def _failing(name: str) -> OnPayload:
    def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == name:
            raise RuntimeError("the check makes this stream fail")

    return on_payload


def _read_all(source: MakeSource) -> Iterator[tuple[str, Any, list[DataSourcePayload]]]:
    with opened(source) as made:
        for stream, part in partitions_of(made):
            yield f"{stream.name}{f'[{part.id}]' if part.id else ''}", part, read(part)


def _all_states(source: MakeSource) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (name, payload.state)
        for name, _, payloads in _read_all(source)
        for payload in payloads
        if payload.state is not None
    ]


def _has_state(payloads: list[DataSourcePayload]) -> bool:
    return any(payload.state for payload in payloads)


def _payloads_of(source: MakeSource) -> int:
    return min(STOPS, sum(len(payloads) for _, _, payloads in _read_all(source)))


def _assert_not_used(name: str, part: Any, state: Mapping[str, Any], expected: list[Any], kind: str) -> None:
    """Reading from ``state`` must raise StateError, or yield at least the ``expected`` rows."""
    try:
        rows = rows_of(read(part, state))
    except StateError:
        return
    except Exception as error:
        pytest.fail(
            f"{name}: a state {kind}, {state}, gave {error!r}, expected StateError: raise it as PartitionState does"
        )
    missing = counted(expected) - counted(rows)
    assert not missing, (
        f"{name}: reading from a state {kind}, {state}, skips {list(missing)[:1]}: raise StateError, as PartitionState "
        "does, or read from the beginning"
    )


def _damaged(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Copies of the state, each with one value of another type, or without one of its entries."""
    for name, value in state.items():
        yield {**state, name: {"damaged": True} if not isinstance(value, Mapping) else "damaged"}
        yield {key: other for key, other in state.items() if key != name}
        if isinstance(value, Mapping):
            for inner in _damaged(dict(value)):
                yield {**state, name: inner}
