"""Reading: several at once, stopped early, in another process."""

from __future__ import annotations

import pickle
from itertools import zip_longest

from ._child import in_child
from ._landing import Landing
from ._make import MakeSource
from ._payloads import error_of, opened, partitions_of, read, rows_of
from ._resources import held, new_since
from ._suite import Conformance
from ._values import counted, lost

_READ_ALL = """
rows = []
for partition in given:
    rows.extend(partition.read({}))
print(f"payloads: {len(rows)}")
"""


class ReadingChecks(Conformance):
    """What the runtime does with readers: opens several, closes them early, sends them elsewhere."""

    def test_partitions_can_be_read_in_turns(self, source: MakeSource) -> None:
        """The runtime reads several at once: what they share, they overwrite for each other."""
        with opened(source) as made:
            parts = [part for _, part in partitions_of(made)]
            alone = [counted(rows_of(read(part))) for part in parts]
        with opened(source) as made:
            turns = list(zip_longest(*(part.read({}) for _, part in partitions_of(made))))
        mixed = [counted(rows_of([one for one in column if one is not None])) for column in zip(*turns, strict=True)]
        assert mixed == alone[: len(mixed)], (
            "partitions that are read in turns give other rows than one after the other: let readers share nothing, "
            "no connection, no cursor, no buffer"
        )

    def test_reading_in_parallel_equals_reading_in_sequence(self, source: MakeSource, landing: Landing) -> None:
        """What lands must not depend on how many threads a flow was given."""
        landing.run(source)
        with Landing.fresh() as parallel:
            parallel.run(source, max_parallel_partitions=8)
            missing, more = lost(parallel.tables, landing.tables), lost(landing.tables, parallel.tables)
        assert not missing, f"eight readers at once leave out {missing}: let readers share nothing"
        assert not more, f"eight readers at once give {more} that one does not: let readers share nothing"

    def test_reading_twice_gives_the_same(self, source: MakeSource) -> None:
        """A retry calls read() of the same partition once more."""
        with opened(source) as made:
            for stream, part in partitions_of(made):
                first, second = counted(rows_of(read(part))), counted(rows_of(read(part)))
                assert first == second, (
                    f"stream {stream.name!r} gives other rows when it is read a second time: begin each read() at the "
                    "state it is given"
                )

    def test_closing_a_reader_early_frees_what_it_held(self, source: MakeSource) -> None:
        """A retry opens another reader; one that keeps its connection runs the server out of them."""
        with opened(source) as made:
            for stream, part in partitions_of(made):
                read(part)  # what is loaded once for the process is loaded now
                before = held()
                reader = part.read({})
                next(reader, None)
                getattr(reader, "close", lambda: None)()
                left = new_since(before)
                assert not left, (
                    f"a reader of {stream.name!r} that was closed early keeps {left}: make read() a generator that "
                    "frees in `finally` or `with`"
                )

    def test_a_partition_opens_nothing_before_it_is_read(self, source: MakeSource) -> None:
        """Hundreds of partitions may wait; a connection for each of them is refused somewhere."""
        with opened(source) as made:
            partitions_of(made)
            before = held()
            parts = [part for _, part in partitions_of(made)]
            left = new_since(before)
            assert not left, f"{len(parts)} partitions that nobody reads hold {left}: open in read()"

    def test_partitions_can_be_pickled(self, source: MakeSource) -> None:
        """A partition that is read in another process or on another machine gets there as a pickle."""
        with opened(source) as made:
            parts = [part for _, part in partitions_of(made)]
            error = error_of(pickle.dumps, parts)
            assert error is None, f"a partition cannot be pickled ({error}): hold configuration in it, no connection"
            wanted = sum(len(read(part)) for part in parts)
            status, output = in_child(_READ_ALL, parts)
        assert (status, output) == (0, f"payloads: {wanted}\n"), (
            "a partition must be read from its pickle as it is here: hold in it all that read() needs; it ended with "
            f"{output}"
        )
