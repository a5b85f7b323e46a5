"""How one stream of a flow lands: decided before it is read."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ...contract import ConfigurationError, DataSourceError, DataSourcePayload, DataSourceStream, StreamSchema
from ...parts import DELETED_AT, RESERVED_PREFIX, StateKey, TableSpec, WriteMode
from ...parts.column_types import normalized_type
from ...parts.framework_columns import TIMESTAMP
from ...parts.transform import Transform
from ..options import Options

_FACT_TYPES = {"synced_at": TIMESTAMP, "run_id": pa.string(), "source": pa.string(), "stream": pa.string()}


class ReservedNameError(ConfigurationError):
    """A table of the framework's name. It concerns its stream only."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A stream, where it goes and how.

    :param explicit: whether the flow said the write mode itself.
    :param shared: whether the flow allows other streams in its tables.
    """

    source_id: str
    identity: str
    stream: DataSourceStream
    where: str
    template: str
    table: str
    schema: StreamSchema | None
    write_mode: WriteMode
    explicit: bool
    shared: bool
    soft_deletes: bool
    evolve: bool
    transform: Transform | None
    metadata_columns: tuple[str, ...]
    options: Options
    run_id: str
    facts: Mapping[str, Any]
    _schemas: dict[str | None, StreamSchema | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def split(self) -> bool:
        """Whether the stream may have several partitions."""
        return type(self.stream).partitions is not DataSourceStream.partitions

    @property
    def read_whole(self) -> bool:
        """Whether the table is replaced because the stream is not incremental, and not because the flow says so."""
        return self.write_mode == "replace" and not self.explicit

    def check_whole(self, payload: DataSourcePayload) -> None:
        """Refuse what only an incremental stream yields, where the table is replaced since nothing says that it is one.

        :raises DataSourceError: the next run would get ``{}`` again, and replace the table by what it finds then.
        """
        sign = payload.kind if payload.kind != "rows" else "states" if payload.state else None
        if sign is None:
            return
        declared = "says incremental = False" if self.stream.incremental is False else "is not declared as incremental"
        raise DataSourceError(
            f"stream {self.name!r} yields {sign} and {declared}: a run would replace its table by what is new. Set "
            f"`incremental = True` on {type(self.stream).__name__}, or name the cursor in its schema. Until then, "
            f'write_mode = "append", "upsert" or "replace" in {self.where} says what happens'
        )

    def key(self, partition: str) -> StateKey:
        return StateKey(self.source_id, self.identity, self.name, partition, self.table)

    def schema_of(self, routed: str | None) -> StreamSchema | None:
        """The declared schema of the stream's own table (None) or of one its payloads name."""
        if routed is None or routed == self.name:
            return self.schema
        if routed not in self._schemas:
            self._schemas[routed] = self.stream.schema(routed)
        return self._schemas[routed]

    def spec(self, routed: str | None, mode: WriteMode) -> TableSpec:
        """The destination's table for rows routed to ``routed``.

        :param mode: the stream's.
        :raises ConfigurationError: where an upsert has no primary key to go by.
        """
        schema = self.schema_of(routed)
        primary_key = schema.primary_key if schema is not None else ()
        if mode == "upsert" and not primary_key:
            if self.explicit:
                raise ConfigurationError(
                    f'{self.where}: write_mode = "upsert" needs a primary key, and table '
                    f"{routed or self.name!r} of stream {self.name!r} declares none; "
                    'name one in the source\'s configuration, or use "append" or "replace"'
                )
            mode = "append"
        name = table_name(self.template, self.name, routed)
        if name.lower().startswith(RESERVED_PREFIX):
            raise ReservedNameError(
                f"{self.where}: table names that begin with {RESERVED_PREFIX} are the framework's: give {name!r} of "
                f"stream {self.name!r} another one with destination_table"
            )
        return TableSpec(
            name=name,
            write_mode=mode,
            primary_key=primary_key if mode == "upsert" else (),
            schema=self._columns(schema),
            soft_deletes=self.soft_deletes,
            evolve=self.evolve,
        )

    def _columns(self, schema: StreamSchema | None) -> pa.Schema | None:
        declared = [] if schema is None else list(schema.fields)
        if not declared or self.transform is not None:
            return None  # the rows say what the columns are; a transform may change them
        added = [
            pa.field(f"{RESERVED_PREFIX}{name}", _FACT_TYPES[name])
            for name in self.metadata_columns
            if name in _FACT_TYPES
        ]
        return pa.schema([pa.field(one.name, normalized_type(one.type)) for one in declared] + added)


def table_name(template: str, stream: str, routed: str | None) -> str:
    return template.format(stream=stream, table=routed if routed is not None else stream)


def check_template(template: str, where: str) -> str:
    """Refuse a ``destination_table`` with placeholders other than ``{stream}`` and ``{table}``."""
    try:
        names = {
            name + (f"!{how}" if how else "") + (f":{spec}" if spec else "")
            for _, name, spec, how in string.Formatter().parse(template)
            if name is not None
        }
        if names <= {"stream", "table"}:
            table_name(template, "", None)
    except (ValueError, LookupError) as error:
        raise ConfigurationError(f"{where}.destination_table: {template!r}: {error}") from None
    if unknown := names - {"stream", "table"}:
        raise ConfigurationError(
            f"{where}.destination_table: {template!r} has the placeholder {sorted(unknown)[0]!r}; "
            "the placeholders are {stream} and {table}"
        )
    return template


def check_metadata_columns(names: Sequence[str], where: str) -> None:
    """Refuse a column asked for twice, and one that the framework sets itself."""
    folded = [name.lower() for name in names]
    taken = DELETED_AT.removeprefix(RESERVED_PREFIX)
    if wrong := [name for name in names if folded.count(name.lower()) > 1 or name.lower() == taken]:
        raise ConfigurationError(f"{where}.metadata_columns: {wrong[0]!r} is there twice, or is set by deletes")
