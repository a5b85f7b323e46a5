# SPDX-License-Identifier: Apache-2.0
"""Partitions: stable ids, states of their own, and no effect on each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ....contract import DataSource, DataSourcePayload, DataSourceStream, StreamPartition
from ..base import Conformance
from ..capabilities import Level, needs
from ..harness.landing import Landing
from ..harness.reading import MakeSource, OnPayload, opened, read, rows_of, watched
from .rows import counted, lost


@needs("partitions")
class PartitionConformance(Conformance):
    """Streams of several partitions. Fixture: ``source``, with at least one such stream."""

    level: ClassVar[Level] = "beta"

    def test_a_stream_is_split(self, source: MakeSource) -> None:
        """The other checks need a stream of several partitions, and prove nothing without one."""
        with opened(source) as made:
            assert list(_split_streams(made)), "no stream of `source` has two partitions: add data that is split"

    def test_partition_ids_are_unique(self, source: MakeSource) -> None:
        """A partition's state is stored under its id: two partitions of one id overwrite each other's."""
        with opened(source) as made:
            for stream in made.streams():
                ids = [partition.id for partition in stream.partitions({})]
                assert len(ids) == len(set(ids)), (
                    f"stream {stream.name!r} has several partitions of one id ({ids}): make the ids unique"
                )

    def test_partition_ids_are_stable(self, source: MakeSource) -> None:
        """With another id a partition is a new one, and is read from its beginning."""
        with opened(source) as first, opened(source) as second:
            ids = [[part.id for _, parts in _split_streams(made) for part in parts] for made in (first, second, first)]
        assert sorted(ids[0]) == sorted(ids[1]) == sorted(ids[2]), (
            f"partition ids change from {ids[0]} to {ids[1]} or {ids[2]}: derive them from the data of the partition"
        )
        assert "*" not in ids[0], 'a partition has the id "*", which means all partitions: use another id'

    def test_a_row_belongs_to_one_partition(self, source: MakeSource) -> None:
        """Partitions commit in any order, so the older of two versions of a row may land last."""
        with opened(source) as made:
            for stream, parts in _split_streams(made):
                schema = stream.schema()
                columns = schema.primary_key if schema is not None else ()
                seen: dict[str, str] = {}
                for part in parts:
                    for row in rows_of(read(part)) if columns else ():
                        key = repr([row.get(name) for name in columns])
                        other = seen.setdefault(key, part.id)
                        assert other == part.id, (
                            f"{stream.name}: the partitions {other!r} and {part.id!r} both have the key {key}: split "
                            "by a value that never changes"
                        )

    def test_a_failing_partition_loses_nothing(self, source: MakeSource, landing: Landing) -> None:
        """One unreachable broker of five must not make the partitions of the others start over."""
        landing.run(source)
        for name, ids in _ids(source).items():
            for broken in ids:
                with Landing.fresh() as failed:
                    failed.attempt(watched(source, _failing(name, broken)))
                    failed.run(source)
                    missing = lost(failed.tables, landing.tables)
                assert not missing, (
                    f"{name}: after {broken!r} failed once, the next run skips {missing}: resume each partition from "
                    "its own state, and share nothing with others"
                )

    def test_a_new_partition_is_read_from_its_beginning(self, source: MakeSource, landing: Landing) -> None:
        """In another framework, a topic that is added later raises KeyError, since no state contains it."""
        landing.run(source)
        for name, ids in _ids(source).items():
            for new in ids:
                with opened(source) as made:
                    stream = next(stream for stream in made.streams() if stream.name == name)
                    states = {id: state for (owner, id), state in landing.states.items() if owner == name and id != new}
                    partitions = {part.id: part for part in stream.partitions(states)}
                    expected = {part.id: counted(rows_of(read(part))) for part in stream.partitions({})}
                    assert new in partitions, (
                        f"{name}: partitions() skips {new!r} if only others have a state: list all existing partitions"
                    )
                    rows = counted(rows_of(read(partitions[new])))
                assert rows == expected[new], (
                    f"{name}: {new!r} has no state and is not read from its beginning: do not use states of others"
                )

    def test_states_of_removed_partitions_are_ignored(self, source: MakeSource, landing: Landing) -> None:
        """A partition that was removed, such as a closed region, leaves its state."""
        landing.run(source)
        for name in _ids(source):
            landing.add_state(source, name, {"v": 1, "position": 7}, "a removed partition")
        error = landing.attempt(source)
        assert error is None, (
            f"the state of a removed partition fails the run: look up the states of existing partitions only ({error})"
        )


def _split_streams(source: DataSource[Any]) -> Iterator[tuple[DataSourceStream, list[StreamPartition]]]:
    """The streams of several partitions, with their partitions."""
    for stream in source.streams():
        parts = list(stream.partitions({}))
        if len(parts) > 1:
            yield stream, parts


def _ids(source: MakeSource) -> dict[str, list[str]]:
    with opened(source) as made:
        return {stream.name: [part.id for part in parts] for stream, parts in _split_streams(made)}


def _failing(name: str, broken: str) -> OnPayload:
    def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if (stream, partition) == (name, broken):
            raise RuntimeError("the check makes this partition fail")

    return on_payload
