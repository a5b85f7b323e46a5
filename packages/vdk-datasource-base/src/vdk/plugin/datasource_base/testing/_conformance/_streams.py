"""Which streams there are, and what they say about themselves."""

from __future__ import annotations

import pyarrow as pa

from ...contract import JSON_TYPE, DataSourceStream, StreamSchema
from ...parts import RESERVED_PREFIX
from ._make import MakeSource
from ._payloads import opened, read
from ._suite import Conformance


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
