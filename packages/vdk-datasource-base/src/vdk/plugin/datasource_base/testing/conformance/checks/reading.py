"""Reading: several at once, stopped early, in another process."""

from __future__ import annotations

import pickle
from itertools import zip_longest

import pyarrow as pa

from ....contract import JSON_TYPE, DataSourceStream, StreamSchema
from ....parts import RESERVED_PREFIX
from ..base import Conformance
from ..harness.landing import Landing
from ..harness.process import held, in_child, new_since
from ..harness.reading import MakeSource, error_of, opened, partitions_of, read, rows_of
from .rows import counted, lost

_READ_ALL = """
rows = []
for partition in given:
    rows.extend(partition.read({}))
print(f"payloads: {len(rows)}")
"""


class ReadingChecks(Conformance):
    """What the runtime does with readers: opens several, closes them early, sends them elsewhere."""

    def test_partitions_can_be_read_alternately(self, source: MakeSource) -> None:
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

    def test_a_reader_that_is_closed_early_frees_its_resources(self, source: MakeSource) -> None:
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


class StreamChecks(Conformance):
    """Names and schemas."""

    def test_stream_names_are_unique(self, source: MakeSource) -> None:
        """A state and a table belong to a name; destinations do not tell `Orders` from `orders`."""
        with opened(source) as made:
            names = [stream.name for stream in made.streams()]
        assert names, "the source in the fixture `source` has no streams: let it have some"
        doubled = {name for name in names if [one.casefold() for one in names].count(name.casefold()) > 1}
        assert not doubled, f"the stream names {sorted(doubled)} are not unique: add what tells them apart"

    def test_streams_are_the_same_each_time(self, source: MakeSource) -> None:
        """A stream that is called otherwise tomorrow is another one, without a state."""
        with opened(source) as one, opened(source) as other:
            seen = [[_described(stream) for stream in made.streams()] for made in (one, one, other)]
        assert seen[0] == seen[1], "streams() a second time must give the same names, order and schemas"
        assert seen[0] == seen[2], "a second source of the same configuration must have the same streams in one order"

    def test_keys_and_cursors_can_be_compared(self, source: MakeSource) -> None:
        """A nested value as a key, or a truth value as a cursor, lands and then finds nothing again."""
        for stream, schema in _schemas(source):
            for name in schema.primary_key:
                type_ = schema.fields.field(name).type
                assert not _is_nested(type_), f"{stream}.{name} is a {type_}, which is no key: choose another column"
            if schema.cursor is not None:
                type_ = schema.fields.field(schema.cursor).type
                grows = not _is_nested(type_) and not pa.types.is_boolean(type_)
                assert grows, f"{stream}.{schema.cursor} is a {type_}, which does not grow: name another cursor"

    def test_column_names_can_land(self, source: MakeSource) -> None:
        """DuckDB does not tell `id` from `ID`, and what begins with _vdk_ is the framework's."""
        for stream, schema in _schemas(source):
            names = schema.fields.names
            taken = [name for name in names if name.lower().startswith(RESERVED_PREFIX)]
            assert not taken, f"{stream}: column names that begin with {RESERVED_PREFIX} are taken: rename {taken}"
            alike = sorted(name for name in names if [one.casefold() for one in names].count(name.casefold()) > 1)
            assert not alike, f"{stream}: the columns {alike} are one column for some destinations: rename one"
            assert all(names), f"{stream}: a column has no name: give it one"

    def test_a_stream_with_states_declares_that_it_is_incremental(self, source: MakeSource) -> None:
        """A stream that declares nothing is replaced where there is no state, even by an empty table."""
        with opened(source) as made:
            for stream in made.streams():
                schema = stream.schema()
                declared = stream.incremental
                if declared is None:
                    declared = schema is not None and schema.cursor is not None
                states = [one.state for part in stream.partitions({}) for one in read(part) if one.state]
                assert declared or not states, (
                    f"stream {stream.name!r} yields states, such as {states[:1]}, and is not declared incremental: "
                    "name its cursor in the schema, or set `incremental = True` on the stream"
                )


def _schemas(source: MakeSource) -> list[tuple[str, StreamSchema]]:
    with opened(source) as made:
        found = [(stream.name, stream.schema()) for stream in made.streams()]
    return [(name, schema) for name, schema in found if schema is not None]


def _described(stream: DataSourceStream) -> tuple[str, StreamSchema | None]:
    return stream.name, stream.schema()


def _is_nested(type_: pa.DataType) -> bool:
    return bool(pa.types.is_nested(type_) or type_ == JSON_TYPE)
