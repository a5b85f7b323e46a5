# SPDX-License-Identifier: Apache-2.0
"""Singer's messages, one line of JSON each, on a binary stream."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any, BinaryIO

import pyarrow as pa

from ...contract import BadRecordError
from ...parts import DELETED_AT
from ..reading.catalog import CatalogStream
from .properties import ENCODER, Format, Property, merged

DELETED = "_sdc_deleted_at"
ROWS = 10_000
"""Rows that are written at once: a target works meanwhile."""


class TableMessages:
    """The messages of one table: its schema before its rows, and again when a column is new or has a new type.

    :param stream: the stream as this table has its rows. :param dropped: columns that are not written.
    :param version: of a table that is replaced; None: rows are added. :param deletes: whether deletes are written.
    """

    def __init__(
        self,
        out: BinaryIO,
        stream: CatalogStream,
        format_: Format,
        *,
        dropped: Collection[str] = frozenset(),
        version: int | None = None,
        deletes: bool = False,
    ) -> None:
        self._out = out
        self._stream = stream
        self._format = format_
        self._dropped = dropped
        self._version = version
        self._announced = False
        self.properties: dict[str, Property] = {}
        self.know(stream.columns if stream.columns is not None else ())
        if deletes and stream.write_mode == "upsert":
            # before the first delete: a row that returns must not keep the time of its delete
            self.properties[DELETED] = format_.property_of(pa.timestamp("us", "UTC"))

    def know(self, fields: Iterable[pa.Field]) -> bool:
        """Add columns, or types of them, to the schema. Returns whether it has changed."""
        changed = False
        for field in fields:
            changed |= self._know(field.name, field.type)
        return changed

    def _know(self, name: str, type_: pa.DataType) -> bool:
        if name in self._dropped or pa.types.is_null(type_):
            return False
        shown = DELETED if name == DELETED_AT else name
        new = self._format.property_of(type_, nullable=name not in self._stream.primary_key)
        old = self.properties.get(shown)
        self.properties[shown] = new if old is None else merged(old, new)
        return self.properties[shown] != old

    def announce(self) -> bool:
        """Write the schema, if it was not written. False: no column is known."""
        if not self._announced and self.properties:
            self._write_schema()
        return self._announced

    def _write_schema(self) -> None:
        self._announced = True
        cursor = self._stream.cursor
        bookmarks = [cursor] if cursor is not None and self._stream.keeps_states else []
        message = {
            "type": "SCHEMA",
            "stream": self._stream.table,
            "schema": {"type": "object", "properties": self.properties},
            "key_properties": list(self._stream.primary_key),
            **({"bookmark_properties": bookmarks} if bookmarks else {}),
        }
        write(self._out, message)

    def write_rows(self, data: pa.Table) -> None:
        """Write rows. Raises ``BadRecordError`` for a value that JSON cannot hold; then none of a batch is written."""
        changed = self.know(data.schema)
        names = [name for name in data.column_names if name not in self._dropped]
        data = data.select([name for name in names if not pa.types.is_null(data.schema.field(name).type)])
        self._check_key(data)
        if changed or not self._announced:
            self._write_schema()
        shown = [DELETED if name == DELETED_AT else name for name in data.column_names]
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        head: dict[str, Any] = {"type": "RECORD", "stream": self._stream.table, "time_extracted": now}
        if self._version is not None:
            head["version"] = self._version
        prefix = ENCODER.encode(head)[:-1] + b',"record":'
        for start in range(0, data.num_rows, ROWS):
            part = data.slice(start, ROWS)
            columns = [
                self._format.values_of(part.column(index), stream=self._stream.name, name=name)
                for index, name in enumerate(part.column_names)
            ]
            encode = ENCODER.encode
            lines = [prefix + encode(dict(zip(shown, row, strict=True))) for row in zip(*columns, strict=True)]
            self._out.write(b"}\n".join([*lines, b""]))
            self._out.flush()

    def _check_key(self, data: pa.Table) -> None:
        for name in self._stream.primary_key if self._stream.write_mode == "upsert" else ():
            if name not in data.column_names or data.column(name).null_count:
                raise BadRecordError("the primary key is NULL", stream=self._stream.name, column=name)

    def activate(self) -> None:
        """All rows of a replaced table are written: those of other versions may go."""
        if self._version is not None and self.announce():
            write(self._out, {"type": "ACTIVATE_VERSION", "stream": self._stream.table, "version": self._version})


def write(out: BinaryIO, message: Mapping[str, Any]) -> None:
    """Write a message, and let the target read it."""
    out.write(ENCODER.encode(message) + b"\n")
    out.flush()
