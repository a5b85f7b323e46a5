# SPDX-License-Identifier: Apache-2.0
"""The tables of a tap, as its SCHEMA messages describe them, and their records as payloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vdk.plugin.datasource_base import ConfigurationError, DataSourcePayload, RejectedRows, StreamSchema
from vdk.plugin.datasource_base.parts import column_type, toml_key

from ..catalog import DELETED_AT, TapStream, stream_schema, types_of
from ..config import SingerConfig
from .batches import lines_of
from .decoding import RecordDecoder, Rejected
from .schemas import columns_of


@dataclass
class Records:
    """Records of a table that were not decoded yet, in JSON, or files of them; or records that cannot land."""

    table: Table
    raws: list[msgspec.Raw] = field(default_factory=list)
    files: Sequence[Path] = ()
    rejected: Sequence[Rejected] = ()
    tracked: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether further records can be added."""
        return not (self.files or self.rejected)


class Table:
    """A table, with the columns of one SCHEMA; a SCHEMA that differs makes another object.

    :param name: the name of the stream in messages. :param destination: the table of payloads; None: the stream's own.
    :param deletes: whether records with ``_sdc_deleted_at`` are deletes, and not rows.
    :param seen: the keys of the records of the version that becomes active, which all its objects share.
    """

    def __init__(
        self,
        name: str,
        columns: Mapping[str, pa.DataType],
        keys: Sequence[str],
        *,
        dropped: frozenset[str] = frozenset(),
        destination: str | None = None,
        deletes: bool = True,
        seen: list[pa.Table] | None = None,
    ) -> None:
        self.name, self.keys, self.destination = name, tuple(keys), destination
        self._deletes = deletes and bool(keys)
        self._decoder = RecordDecoder(name, columns, dropped, keys)
        self._columns = dict(columns)
        self.seen: list[pa.Table] = [] if seen is None else seen

    @property
    def schema(self) -> StreamSchema:
        return stream_schema(self._columns, self.keys, deletes=self._deletes)

    def payloads(self, records: Records, tap: str) -> Iterator[DataSourcePayload]:
        """The records as payloads, without a state."""
        if records.rejected:
            yield self._payload(RejectedRows(records.rejected))
        if records.raws:
            yield from self._decoded(records.raws, records.tracked)
        for path in records.files:
            for lines in lines_of(tap, self.name, path):
                yield from self._decoded(lines, records.tracked)

    def key_payloads(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """All keys of the new version: the rows with other keys are deleted."""
        keys = self.seen or [pa.table({name: pa.nulls(0, self._columns.get(name, pa.string())) for name in self.keys})]
        for index, batch in enumerate(keys):
            last = index == len(keys) - 1
            yield self._payload(batch, state=state if last else None, kind="keys")
        self.seen.clear()

    def _decoded(self, records: Sequence[msgspec.Raw | bytes], tracked: bool) -> Iterator[DataSourcePayload]:
        decoded = self._decoder.decode(records)
        if decoded.rejected:
            yield self._payload(RejectedRows(decoded.rejected))
        for batch, is_delete in self._runs(decoded.batch):
            if not batch.num_rows:
                continue
            if tracked and not is_delete:
                self.seen.append(pa.Table.from_batches([batch.select(list(self.keys))]))
            yield self._payload(batch.select(list(self.keys)), kind="deletes") if is_delete else self._payload(batch)

    def _runs(self, batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """The rows and the deletes of a batch, in their order."""
        index = batch.schema.get_field_index(DELETED_AT)
        if not self._deletes or index < 0:
            yield batch, False
            return
        deleted = batch.column(index).is_valid()
        rows = batch.select([name for name in batch.schema.names if name != DELETED_AT])
        if not pc.any(deleted).as_py():
            yield rows, False
            return
        encoded = pc.run_end_encode(deleted)
        start = 0
        for end, is_delete in zip(encoded.run_ends.to_pylist(), encoded.values.to_pylist(), strict=True):
            yield rows.slice(start, end - start), is_delete
            start = end

    def _payload(self, data: Any, **others: Any) -> DataSourcePayload:
        return DataSourcePayload(data, destination_table=self.destination, **others)


def table_of_stream(
    config: SingerConfig, stream: TapStream, schema: Mapping[str, Any], keys: Sequence[str], seen: list[pa.Table] | None
) -> Table:
    """The table of a stream that is read on its own; its catalog entry has declared the columns to the destination.

    :raises ConfigurationError: the SCHEMA has a key, the catalog has none, and rows are added: they would land twice.
    """
    if keys and not stream.keys and stream.method != "FULL_TABLE":
        listed = ", ".join(f'"{key}"' for key in keys)
        raise ConfigurationError(
            f"{config.tap}: stream {stream.name!r} has the key {list(keys)}, and the catalog names none; write "
            f"metadata.{toml_key(stream.name)} = {{ table-key-properties = [{listed}] }}"
        )
    columns = {name: type_ for name, type_ in columns_of(schema).items() if name not in stream.dropped}
    columns |= stream.columns
    deletes = stream.method != "FULL_TABLE"
    return Table(stream.name, columns, stream.keys, dropped=stream.dropped, deletes=deletes, seen=seen)


def table_of_schema(
    config: SingerConfig,
    name: str,
    schema: Mapping[str, Any],
    keys: Sequence[str],
    *,
    stream: TapStream | None,
    seen: list[pa.Table] | None,
) -> Table:
    """The table of a stream that is read together with others."""
    dropped = stream.dropped if stream is not None else frozenset()
    types = {column: column_type(text) for column, text in types_of(config, name).items()}
    columns = {column: type_ for column, type_ in (columns_of(schema) | types).items() if column not in dropped}
    keys = keys or (stream.keys if stream is not None else ())
    return Table(name, columns, keys, dropped=dropped, destination=name, seen=seen)
