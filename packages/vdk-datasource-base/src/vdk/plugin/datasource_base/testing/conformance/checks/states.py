"""States: JSON, never ahead of the rows, and never followed where they lead astray."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ....contract import DataSourcePayload, StateError
from ..base import Conformance
from ..harness.landing import STOPS, Landing
from ..harness.reading import MakeSource, Told, error_of, opened, partitions_of, read, rows_of, watched
from .rows import counted, lost

VERSIONS = ("v", "version")


class StateChecks(Conformance):
    """What a run leaves behind, and what the next one makes of it."""

    def test_states_are_json(self, source: MakeSource) -> None:
        """A state is kept as JSON: a tuple comes back as a list, a date not at all."""
        for where, state in _all_states(source):
            error = error_of(json.dumps, state, allow_nan=False)
            assert error is None, f"the state of {where} is no JSON ({error}): write times and decimals as text"
            assert json.loads(json.dumps(state)) == state, (
                f"the state of {where} comes back as something else: use text keys, and lists instead of tuples"
            )

    def test_states_have_a_version(self, source: MakeSource) -> None:
        """The next version of the plugin reads states of this one, and has to know that."""
        for where, state in _all_states(source):
            assert not state or any(isinstance(state.get(name), int) for name in VERSIONS), (
                f'the state of {where} has no version: put {{"v": 1}} into it, or make it with PartitionState'
            )

    def test_reading_from_a_state_gives_everything_after_it(self, source: MakeSource) -> None:
        """Reading from a payload's state gives every row that came behind the payload."""
        for where, part, payloads in _read_all(source):
            for number, payload in enumerate(payloads):
                if payload.state:
                    behind, again = rows_of(payloads[number + 1 :]), rows_of(read(part, payload.state))
                    missing = counted(behind) - counted(again)
                    assert not missing, f"{where}: reading from {payload.state} leaves out {list(missing)[:1]}"

    def test_stopping_after_any_payload_loses_nothing(self, source: MakeSource, landing: Landing) -> None:
        """A state that is ahead of its rows loses them at the first Ctrl-C, and nobody notices."""
        landing.run(source)
        for number in range(1, _payloads_of(source) + 1):
            with Landing.fresh() as stopped:
                stopped.stop(source, behind=number)
                stopped.run(source)
                missing = lost(stopped.tables, landing.tables)
            assert not missing, (
                f"after a stop behind payload {number} the next run leaves out {missing}: a payload's state covers "
                "the rows up to and including it, and nothing behind it"
            )

    def test_a_crash_at_any_commit_loses_nothing(self, source: MakeSource, landing: Landing) -> None:
        """Rows that were handed over have not landed yet, and rows that landed may have to come again."""
        landing.run(source)
        for number in range(1, _payloads_of(source) + 1):
            for half in (False, True):
                with Landing.fresh() as crashed:
                    crashed.crash(source, at=number, half=half)
                    crashed.run(source)
                    missing = lost(crashed.tables, landing.tables)
                assert not missing, (
                    f"after a crash at commit {number} the next run leaves out {missing}: go on from the state that "
                    "read() is given, and keep no position elsewhere"
                )

    def test_a_second_run_changes_nothing(self, source: MakeSource, landing: Landing) -> None:
        """Where the data is the same, the tables are: no row is lost, and none is there twice."""
        landing.run(source)
        before = {name: list(rows) for name, rows in landing.tables.items()}
        landing.run(source)
        gone, new = lost(landing.tables, before), lost(before, landing.tables)
        assert not gone, f"a second run without any change removes {gone}: read the same rows, or only new ones"
        assert not new, f"a second run without any change adds {new}: go on behind the state, or declare a primary key"

    def test_a_foreign_state_is_not_used(self, source: MakeSource) -> None:
        """A source id that was used for something else before leaves its states behind."""
        for where, part, payloads in _read_all(source):
            if _has_state(payloads):
                foreign = {"somebody": {"elses": ["position", 7]}}
                _refused_or_whole(where, part, foreign, rows_of(payloads), "of another source")

    def test_a_state_of_another_version_is_not_used(self, source: MakeSource) -> None:
        """After an update of the plugin is taken back, its states are still there."""
        for where, part, payloads in _read_all(source):
            for state in [payload.state for payload in payloads if payload.state][-1:]:
                for version in (0, 1000):
                    other = {name: version if name in VERSIONS else value for name, value in state.items()}
                    if other != state:
                        _refused_or_whole(where, part, other, rows_of(payloads), "of another version")

    def test_a_damaged_state_is_not_used(self, source: MakeSource) -> None:
        """Half a state that is read as a position is a position that nobody was at."""
        for where, part, payloads in _read_all(source):
            states = [(number, payload.state) for number, payload in enumerate(payloads) if payload.state]
            for number, state in states[: (len(states) + 1) // 2][-1:]:
                behind = rows_of(payloads[number + 1 :])
                for damaged in _damaged(dict(state)):
                    _refused_or_whole(where, part, damaged, behind, "that is damaged")

    def test_states_of_removed_streams_are_ignored(self, source: MakeSource, landing: Landing) -> None:
        """A table that was dropped leaves its state; the others have to go on."""
        landing.run(source)
        landing.add_state(source, "a stream that is gone", {"v": 1, "position": 7})
        error = landing.attempt(source)
        assert error is None, f"a state of a stream that is not there any more must be ignored: {error}"

    def test_a_new_stream_does_not_reset_the_others(self, source: MakeSource, landing: Landing) -> None:
        """A table that is added must be read whole, and the others must not begin anew for it."""
        landing.run(source)
        usual = {stream.stream: stream.rows_read for stream in landing.run(source).streams}
        for new in usual if len(usual) > 1 else ():
            with Landing.fresh() as grown:
                grown.run(watched(source, hidden=[new]))
                read = {stream.stream: stream.rows_read for stream in grown.run(source).streams if stream.stream != new}
            more = {name: rows for name, rows in read.items() if rows > usual[name]}
            assert not more, f"when {new!r} is added, other streams begin anew (rows read: {more}): let them go on"

    def test_a_failing_stream_does_not_stop_the_others(self, source: MakeSource, landing: Landing) -> None:
        """One table that cannot be read must not cost the night's run of a hundred."""
        landing.run(source)
        whole = {name: list(rows) for name, rows in landing.tables.items()}
        for name in whole if len(whole) > 1 else ():
            with Landing.fresh() as failed:
                failed.attempt(watched(source, _failing(name)))
                missing = lost(failed.tables, {other: rows for other, rows in whole.items() if other != name})
            assert not missing, f"when {name!r} fails, other streams lack {missing}: let streams share nothing"


def _failing(name: str) -> Told:
    def told(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == name:
            raise RuntimeError("this stream fails, says the test")

    return told


def _read_all(source: MakeSource) -> Iterator[tuple[str, Any, list[DataSourcePayload]]]:
    with opened(source) as made:
        for stream, part in partitions_of(made):
            yield f"{stream.name}{f'[{part.id}]' if part.id else ''}", part, read(part)


def _all_states(source: MakeSource) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (where, payload.state)
        for where, _, payloads in _read_all(source)
        for payload in payloads
        if payload.state is not None
    ]


def _has_state(payloads: list[DataSourcePayload]) -> bool:
    return any(payload.state for payload in payloads)


def _payloads_of(source: MakeSource) -> int:
    return min(STOPS, sum(len(payloads) for _, _, payloads in _read_all(source)))


def _refused_or_whole(where: str, part: Any, state: Mapping[str, Any], wanted: list[Any], what: str) -> None:
    """Reading from ``state`` raises StateError, or gives at least the ``wanted`` rows."""
    try:
        rows = rows_of(read(part, state))
    except StateError:
        return
    except Exception as error:
        pytest.fail(f"{where}: raise StateError for a state {what}, {state}; it was {error!r} (see PartitionState)")
    missing = counted(wanted) - counted(rows)
    assert not missing, (
        f"{where}: a state {what}, {state}, was followed and leaves out {list(missing)[:1]}: raise StateError, as "
        "PartitionState does, or read from the beginning"
    )


def _damaged(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The state with a value of another type in each place, and without each of its entries."""
    for name, value in state.items():
        yield {**state, name: {"damaged": True} if not isinstance(value, Mapping) else "damaged"}
        yield {key: one for key, one in state.items() if key != name}
        if isinstance(value, Mapping):
            for inner in _damaged(dict(value)):
                yield {**state, name: inner}
