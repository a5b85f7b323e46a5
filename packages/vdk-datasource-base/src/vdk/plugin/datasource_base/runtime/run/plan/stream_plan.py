# SPDX-License-Identifier: Apache-2.0
"""The plan of one stream: its table, write mode and schema, fixed before it is read."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ....contract import ConfigurationError, DataSourceError, DataSourcePayload, DataSourceStream, StreamSchema
from ....parts import DELETED_AT, RESERVED_PREFIX, Expectations, StateKey, TableSpec, WriteMode
from ....parts.columns.framework import TIMESTAMP
from ....parts.columns.policy import StreamPolicy
from ....parts.columns.transform import Transform
from ....parts.columns.types import normalized_type
from ...options import Options
from ...scope import RunScope
from .child_tables import ChildTables

_METADATA_TYPES = {"synced_at": TIMESTAMP, "run_id": pa.string(), "source": pa.string(), "stream": pa.string()}


class ReservedNameError(ConfigurationError):
    """A table has a name that is reserved for the framework. Only its stream fails."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A stream, its destination table and its write mode.

    :param location: the flow's place in the file, which begins an error.
    :param template: the flow's ``destination_table``.
    :param explicit_mode: whether the flow sets the write mode.
    :param shared_table: whether the flow allows other streams in its tables.
    :param scope: what the run reads of the stream.
    :param expect: what must hold of its table; None: nothing is expected.
    :param has_states: whether a state of it is stored, or was reset.
    :param former_identities: of data that the source had when its states were reset.
    :param schema: what the stream declares, as the flow's column policy leaves it.
    :param child_tables: the tables of the lists in its rows; None: lists are JSON.
    :param run_metadata: the values of the metadata columns that are the same in every row.
    """

    source_id: str
    identity: str
    stream: DataSourceStream
    location: str
    template: str
    table: str
    schema: StreamSchema | None
    write_mode: WriteMode
    explicit_mode: bool
    shared_table: bool
    soft_deletes: bool
    evolve: bool
    transform: Transform | None
    policy: StreamPolicy | None
    metadata_columns: tuple[str, ...]
    options: Options
    run_id: str
    run_metadata: Mapping[str, Any]
    scope: RunScope = field(default_factory=RunScope)
    expect: Expectations | None = None
    has_states: bool = False
    former_identities: frozenset[str] = frozenset()
    child_tables: ChildTables | None = None
    _schemas: dict[str | None, StreamSchema | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def partitioned(self) -> bool:
        """Whether the stream may have more than one partition."""
        return type(self.stream).partitions is not DataSourceStream.partitions

    @property
    def replaces(self) -> bool:
        """Whether the table is replaced as a whole: under "replace", and by a full refresh in any write mode, which
        decides there which operations of a key make the new table."""
        return self.write_mode == "replace" or self.scope.full_refresh

    @property
    def loses_rows(self) -> bool:
        """Whether rows that the source does not have any more go with this run, and would stay without a full
        refresh."""
        return self.scope.full_refresh and self.write_mode != "replace"

    @property
    def read_whole(self) -> bool:
        """Whether the table is replaced because the stream is not incremental, rather than because the flow says so."""
        return self.write_mode == "replace" and not self.explicit_mode and not self.scope.full_refresh

    def check_range(self, payload: object) -> None:
        """Raises ``DataSourceError`` for a state from the stream of a range, or for all its keys: a sweep would delete
        the rows outside the range."""
        if getattr(payload, "kind", None) == "keys":
            raise DataSourceError(
                f"stream {self.name!r} yields all its keys in a backfill, and the rows outside the range would be "
                f"deleted; leave them out in the stream that between() returns, of type {type(self.stream).__name__}"
            )
        if getattr(payload, "state", None) is not None:
            raise DataSourceError(
                f"stream {self.name!r} yields a state in a backfill, and the next run would continue from there; leave "
                f"it out in the stream that between() returns, of type {type(self.stream).__name__}"
            )

    def check_whole(self, payload: DataSourcePayload) -> None:
        """Refuse deletes, keys and states, which only an incremental stream yields, of a stream that is read whole.

        :raises DataSourceError: the next run would get ``{}`` again, and replace the table with new rows only.
        """
        yielded = payload.kind if payload.kind != "rows" else "states" if payload.state else None
        if yielded is None:
            return
        declared = "sets incremental = False" if self.stream.incremental is False else "is not declared as incremental"
        raise DataSourceError(
            f"stream {self.name!r} yields {yielded} and {declared}: a run would replace its table with the new rows "
            f"only. Set `incremental = True` on {type(self.stream).__name__}, or name the cursor in its schema; or "
            f'write write_mode = "append", "upsert" or "replace" in {self.location}'
        )

    def state_key(self, partition: str) -> StateKey:
        return StateKey(self.source_id, self.identity, self.name, partition, self.table)

    def schema_of(self, routed: str | None) -> StreamSchema | None:
        """The declared schema of the stream's own table (None), or of a table that its payloads name."""
        if routed is None or routed == self.name:
            return self.schema
        if routed not in self._schemas:
            schema = self.stream.schema(routed)
            self._schemas[routed] = self.policy.schema(schema) if self.policy is not None else schema
        return self._schemas[routed]

    def table_spec(self, routed: str | None, mode: WriteMode) -> TableSpec:
        """The destination's table for rows routed to ``routed``.

        :param mode: the stream's.
        :raises ConfigurationError: if the flow sets "upsert" and the table lacks a primary key.
        """
        schema = self.schema_of(routed)
        primary_key = schema.primary_key if schema is not None else ()
        if mode == "upsert" and not primary_key:
            if self.explicit_mode:
                raise ConfigurationError(
                    f'{self.location}: write_mode = "upsert" needs a primary key, and table '
                    f"{routed or self.name!r} of stream {self.name!r} declares none; name one in the source's "
                    'configuration, or write write_mode = "append" or "replace"'
                )
            mode = "append"
        name = table_name(self.template, self.name, routed)
        if name.lower().startswith(RESERVED_PREFIX):
            raise ReservedNameError(
                f"{self.location}: stream {self.name!r} would land in table {name!r}, and names that begin with "
                f"{RESERVED_PREFIX} are the framework's own; write "
                'destination_table = "my_{stream}"'
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
            return None  # the columns come from the rows; a transform may change them
        if reserved := [field.name for field in declared if field.name.lower().startswith(RESERVED_PREFIX)]:
            raise ReservedNameError(
                f"{self.location}: stream {self.name!r} has the column {reserved[0]!r}, and names that begin with "
                f"{RESERVED_PREFIX} are the framework's own; rename it with a transform, or leave it out in the "
                "source's configuration (columns.exclude of a table)"
            )
        added = [
            pa.field(f"{RESERVED_PREFIX}{name}", _METADATA_TYPES[name])
            for name in self.metadata_columns
            if name in _METADATA_TYPES
        ]
        return pa.schema([pa.field(field.name, normalized_type(field.type)) for field in declared] + added)


def table_name(template: str, stream: str, routed: str | None) -> str:
    return template.format(stream=stream, table=routed if routed is not None else stream)


def check_template(template: str, location: str) -> str:
    """Refuse a ``destination_table`` with placeholders other than ``{stream}`` and ``{table}``."""
    try:
        names = {
            name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            for _, name, spec, conversion in string.Formatter().parse(template)
            if name is not None
        }
        if names <= {"stream", "table"}:
            table_name(template, "", None)
    except (ValueError, LookupError) as error:
        raise ConfigurationError(
            f"{location}.destination_table: {template!r} is not a template: {error}; "
            'write, for example, destination_table = "{stream}"'
        ) from None
    if unknown := names - {"stream", "table"}:
        raise ConfigurationError(
            f"{location}.destination_table: {template!r} has the unknown placeholder {sorted(unknown)[0]!r}; "
            "the placeholders are {stream} and {table}"
        )
    return template


def check_metadata_columns(names: Sequence[str], location: str) -> None:
    """Refuse a column that is listed twice, and the one that soft deletes set."""
    folded = [name.lower() for name in names]
    reserved = DELETED_AT.removeprefix(RESERVED_PREFIX)
    for name in names:
        if name.lower() == reserved:
            raise ConfigurationError(
                f"{location}.metadata_columns: {name!r} is set by deletes; remove it from the list"
            )
        if folded.count(name.lower()) > 1:
            raise ConfigurationError(f"{location}.metadata_columns: {name!r} is listed twice; remove one of the two")
