# SPDX-License-Identifier: Apache-2.0
"""Reading in parallel, in part and in another process; the names and schemas of streams."""

from __future__ import annotations

import pickle
from itertools import zip_longest
from typing import ClassVar

import pyarrow as pa

from ....contract import JSON_TYPE, StreamSchema
from ....parts import RESERVED_PREFIX
from ..base import Conformance
from ..capabilities import Level
from ..harness.landing import Landing
from ..harness.process import open_resources, opened_since, run_in_fresh_process
from ..harness.reading import MakeSource, error_of, opened, partitions_of, read, rows_of
from .rows import counted, lost

_READ_ALL = """
rows = []
for partition in argument:
    rows.extend(partition.read({}))
print(f"payloads: {len(rows)}")
"""


class ReadingChecks(Conformance):
    """The runtime opens several readers, closes them early, and sends partitions to other processes."""

    level: ClassVar[Level] = "stable"

    def test_partitions_can_be_read_alternately(self, source: MakeSource) -> None:
        """The runtime reads several partitions at a time: what they share, they overwrite for each other."""
        with opened(source) as made:
            parts = [part for _, part in partitions_of(made)]
            expected = [counted(rows_of(read(part))) for part in parts]
        with opened(source) as made:
            turns = list(zip_longest(*(part.read({}) for _, part in partitions_of(made))))
        columns = [[payload for payload in column if payload is not None] for column in zip(*turns, strict=True)]
        rows = [counted(rows_of(payloads)) for payloads in columns]
        assert rows == expected[: len(rows)], (
            "partitions that are read alternately yield other rows than one after another: share no connection, cursor "
            "or buffer between readers"
        )

    def test_reading_in_parallel_equals_reading_in_sequence(self, source: MakeSource, landing: Landing) -> None:
        """The rows that land must not depend on the number of threads."""
        landing.run(source)
        with Landing.fresh() as parallel:
            parallel.run(source, max_parallel_partitions=8)
            missing, more = lost(parallel.tables, landing.tables), lost(landing.tables, parallel.tables)
        assert not missing, f"eight parallel readers skip {missing}: share nothing between readers"
        assert not more, f"eight parallel readers add {more}: share nothing between readers"

    def test_reading_twice_gives_the_same(self, source: MakeSource) -> None:
        """A retry calls read() of the same partition again."""
        with opened(source) as made:
            for stream, part in partitions_of(made):
                first, second = counted(rows_of(read(part))), counted(rows_of(read(part)))
                assert first == second, (
                    f"stream {stream.name!r} yields other rows when it is read a second time: start each read() at the "
                    "state that it receives"
                )

    def test_a_reader_that_is_closed_early_frees_its_resources(self, source: MakeSource) -> None:
        """A retry opens another reader; if the first keeps its connection, the server runs out of them."""
        with opened(source) as made:
            for stream, part in partitions_of(made):
                read(part)  # load what a process loads once
                before = open_resources()
                reader = part.read({})
                next(reader, None)
                getattr(reader, "close", lambda: None)()
                left = opened_since(before)
                assert not left, (
                    f"a reader of {stream.name!r} that was closed early keeps {left} open: make read() a generator "
                    "that closes them in `finally` or `with`"
                )

    def test_a_partition_opens_nothing_before_it_is_read(self, source: MakeSource) -> None:
        """Hundreds of partitions may wait; a server refuses a connection for each of them."""
        with opened(source) as made:
            partitions_of(made)
            before = open_resources()
            parts = [part for _, part in partitions_of(made)]
            left = opened_since(before)
            assert not left, f"{len(parts)} partitions that nobody reads have opened {left}: open them in read()"

    def test_partitions_can_be_pickled(self, source: MakeSource) -> None:
        """A partition is sent to another process or machine as a pickle."""
        with opened(source) as made:
            parts = [part for _, part in partitions_of(made)]
            error = error_of(pickle.dumps, parts)
            assert error is None, f"a partition cannot be pickled ({error}): keep configuration in it, no connection"
            expected = sum(len(read(part)) for part in parts)
            status, output = run_in_fresh_process(_READ_ALL, parts)
        assert (status, output) == (0, f"payloads: {expected}\n"), (
            f"a pickled partition gave {output!r} in another process, expected {expected} payloads: keep in it all "
            "that read() needs"
        )


class StreamChecks(Conformance):
    """Names and schemas of streams."""

    def test_stream_names_are_unique(self, source: MakeSource) -> None:
        """States and tables belong to names, and some destinations do not distinguish `Orders` from `orders`."""
        with opened(source) as made:
            names = [stream.name for stream in made.streams()]
        assert names, "the source of the fixture `source` has no streams, expected at least one: add data"
        doubled = {name for name in names if [other.casefold() for other in names].count(name.casefold()) > 1}
        assert not doubled, f"the stream names {sorted(doubled)} are not unique: add what distinguishes them"

    def test_streams_are_the_same_each_time(self, source: MakeSource) -> None:
        """A stream with another name tomorrow is another stream, without a state."""
        with opened(source) as first, opened(source) as second:
            streams = [[(stream.name, stream.schema()) for stream in made.streams()] for made in (first, first, second)]
        assert streams[0] == streams[1], "a second streams() returns other names, order or schemas: sort the streams"
        assert streams[0] == streams[2], "a second source has other streams than the first one: sort the streams"

    def test_keys_and_cursors_can_be_compared(self, source: MakeSource) -> None:
        """A nested value as a key, or a truth value as a cursor, lands and then matches nothing."""
        for stream, schema in _schemas(source):
            for name in schema.primary_key:
                type_ = schema.fields.field(name).type
                assert not _is_nested(type_), f"{stream}.{name} is a {type_}, expected a scalar key: use another column"
            if schema.cursor is not None:
                type_ = schema.fields.field(schema.cursor).type
                grows = not _is_nested(type_) and not pa.types.is_boolean(type_)
                assert grows, f"{stream}.{schema.cursor} is a {type_}, expected a cursor that grows: use another column"

    def test_column_names_can_land(self, source: MakeSource) -> None:
        """DuckDB does not distinguish `id` from `ID`, and names that begin with _vdk_ are reserved."""
        for stream, schema in _schemas(source):
            names = schema.fields.names
            reserved = [name for name in names if name.lower().startswith(RESERVED_PREFIX)]
            assert not reserved, f"{stream}: the prefix {RESERVED_PREFIX} of {reserved} is reserved: rename the columns"
            alike = sorted(name for name in names if [other.casefold() for other in names].count(name.casefold()) > 1)
            assert not alike, f"{stream}: the columns {alike} are one column for some destinations: rename one"
            assert all(names), f"{stream}: a column has an empty name: name it"

    def test_a_stream_with_states_declares_that_it_is_incremental(self, source: MakeSource) -> None:
        """Without a state, the table of an undeclared stream is replaced, even by an empty one."""
        with opened(source) as made:
            for stream in made.streams():
                schema = stream.schema()
                declared = stream.incremental
                if declared is None:
                    declared = schema is not None and schema.cursor is not None
                states = [payload.state for part in stream.partitions({}) for payload in read(part) if payload.state]
                assert declared or not states, (
                    f"stream {stream.name!r} yields states, such as {states[:1]}, and is not declared incremental: "
                    "name its cursor in the schema, or set `incremental = True` on the stream"
                )


def _schemas(source: MakeSource) -> list[tuple[str, StreamSchema]]:
    with opened(source) as made:
        schemas = [(stream.name, stream.schema()) for stream in made.streams()]
    return [(name, schema) for name, schema in schemas if schema is not None]


def _is_nested(type_: pa.DataType) -> bool:
    return bool(pa.types.is_nested(type_) or type_ == JSON_TYPE)
