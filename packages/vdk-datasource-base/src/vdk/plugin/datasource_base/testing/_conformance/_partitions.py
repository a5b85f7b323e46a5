"""The checks for sources with streams that are split."""

from __future__ import annotations

from ._reading import opened
from ._suite import Conformance, MakeSource


class PartitionConformance(Conformance):
    """What a stream of several partitions has to do. Fixture: ``source``, with at least one such stream."""

    def test_partition_ids_are_unique(self, source: MakeSource) -> None:
        """A partition's state is kept under its id: two of one name overwrite each other's."""
        with opened(source) as made:
            for stream in made.streams():
                ids = [one.id for one in stream.partitions({})]
                assert len(ids) == len(set(ids)), (
                    f"stream {stream.name!r} has partitions of the same id ({ids}): give each an id of its own"
                )
