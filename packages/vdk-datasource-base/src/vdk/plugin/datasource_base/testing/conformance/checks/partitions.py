"""The checks for sources with streams that are split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ....contract import DataSource, DataSourcePayload, DataSourceStream, StreamPartition
from ..base import Conformance
from ..harness.landing import Landing
from ..harness.reading import MakeSource, Told, opened, read, rows_of, watched
from .rows import counted, lost


class PartitionConformance(Conformance):
    """What a stream of several partitions has to do. Fixture: ``source``, with at least one such stream."""

    def test_a_stream_is_split(self, source: MakeSource) -> None:
        """The checks below are about streams of several partitions, and prove nothing without one."""
        with opened(source) as made:
            assert list(_split(made)), "no stream of `source` has two partitions: give it data that is split"

    def test_partition_ids_are_unique(self, source: MakeSource) -> None:
        """A partition's state is kept under its id: two of one name overwrite each other's."""
        with opened(source) as made:
            for stream in made.streams():
                ids = [partition.id for partition in stream.partitions({})]
                assert len(ids) == len(set(ids)), (
                    f"stream {stream.name!r} has partitions of the same id ({ids}): give each an id of its own"
                )

    def test_partition_ids_are_stable(self, source: MakeSource) -> None:
        """Under another id a partition is a new one, and is read from its beginning."""
        with opened(source) as one, opened(source) as other:
            ids = [[part.id for _, parts in _split(made) for part in parts] for made in (one, other, one)]
        assert sorted(ids[0]) == sorted(ids[1]) == sorted(ids[2]), (
            f"partition ids change from {ids[0]} to {ids[1]} or {ids[2]}: make them from what the partition holds"
        )
        assert "*" not in ids[0], 'a partition cannot have the id "*", which stands for all of them'

    def test_a_row_belongs_to_one_partition(self, source: MakeSource) -> None:
        """Partitions commit in any order, so of two versions of one key the older one may be the last."""
        with opened(source) as made:
            for stream, parts in _split(made):
                schema = stream.schema()
                columns = schema.primary_key if schema is not None else ()
                seen: dict[str, str] = {}
                for part in parts:
                    for row in rows_of(read(part)) if columns else ():
                        key = repr([row.get(name) for name in columns])
                        other = seen.setdefault(key, part.id)
                        assert other == part.id, (
                            f"{stream.name}: the key {key} is in the partitions {other!r} and {part.id!r}: split by "
                            "something that does not change"
                        )

    def test_a_failing_partition_loses_nothing(self, source: MakeSource, landing: Landing) -> None:
        """A broker of five that is away must not make the others begin anew."""
        landing.run(source)
        for name, ids in _ids(source).items():
            for broken in ids:
                with Landing.fresh() as failed:
                    failed.attempt(watched(source, _failing(name, broken)))
                    failed.run(source)
                    gone = lost(failed.tables, landing.tables)
                assert not gone, (
                    f"{name}: after {broken!r} failed once, the next run leaves out {gone}: let a partition go on from "
                    "its own state, and share nothing with others"
                )

    def test_a_new_partition_is_read_from_its_beginning(self, source: MakeSource, landing: Landing) -> None:
        """In a peer, a topic that is added later raises KeyError, as it is in no state."""
        landing.run(source)
        for name, ids in _ids(source).items():
            for new in ids:
                with opened(source) as made:
                    stream = next(one for one in made.streams() if one.name == name)
                    states = {id: state for (owner, id), state in landing.states.items() if owner == name and id != new}
                    found = {part.id: part for part in stream.partitions(states)}
                    whole = {part.id: counted(rows_of(read(part))) for part in stream.partitions({})}
                    assert new in found, f"{name}: the partition {new!r} is left out where others have a state"
                    rows = counted(rows_of(read(found[new])))
                assert rows == whole[new], f"{name}: {new!r} must be read whole where it has no state, whoever else has"

    def test_states_of_removed_partitions_are_ignored(self, source: MakeSource, landing: Landing) -> None:
        """A region that was closed leaves its state."""
        landing.run(source)
        for name in _ids(source):
            landing.add_state(source, name, {"v": 1, "position": 7}, "a partition that is gone")
        error = landing.attempt(source)
        assert error is None, f"a state of a partition that is not there any more must be ignored: {error}"


def _split(source: DataSource[Any]) -> Iterator[tuple[DataSourceStream, list[StreamPartition]]]:
    """The streams of several partitions, with these."""
    for stream in source.streams():
        parts = list(stream.partitions({}))
        if len(parts) > 1:
            yield stream, parts


def _ids(source: MakeSource) -> dict[str, list[str]]:
    with opened(source) as made:
        return {stream.name: [part.id for part in parts] for stream, parts in _split(made)}


def _failing(name: str, broken: str) -> Told:
    def told(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if (stream, partition) == (name, broken):
            raise RuntimeError("this partition fails, says the test")

    return told
