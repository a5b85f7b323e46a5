# SPDX-License-Identifier: Apache-2.0
"""The tables in which the lists of a stream's rows land, and who may have such tables."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pyarrow as pa

from ....contract import ConfigurationError, StreamSchema
from ....parts import Destination, WriteMode
from ....parts.columns.framework import rejected_name
from ....parts.columns.nested import SEPARATOR


class ChildTables:
    """The child tables of one stream that are known: those of earlier runs and of this one. Several threads use it.

    :param table: the stream's own table. :param key: its primary key. :param depth: levels of objects and lists.
    :param keep: columns that are declared, whose lists stay in them.
    """

    def __init__(self, stream: str, table: str, key: Sequence[str], depth: int, keep: Sequence[str]) -> None:
        self.stream = stream
        self.depth = depth
        self.keep = frozenset(keep)
        self.key = {name: f"{stream}{SEPARATOR}{name}" for name in key}
        """A column of the stream's key → the column with its value in each child table."""
        self._table = table
        self._names: dict[str, tuple[str, ...] | None] = {}
        self._lock = threading.Lock()

    def add_earlier(self, tables: Sequence[str]) -> None:
        """Tables that have rows of the stream from before this run."""
        rejected = rejected_name("")
        for name in tables:
            if name.startswith(f"{self._table}{SEPARATOR}") and not name.endswith(rejected):
                self._names.setdefault(name, None)

    def known(self) -> list[str]:
        with self._lock:
            return sorted(self._names)

    def name(self, path: str, key: tuple[str, ...]) -> str:
        """The table of the lists at a path, which is known from then on.

        :param key: its columns that identify a row. :raises ConfigurationError: if another table has the name.
        """
        name = f"{self._table}{SEPARATOR}{path}"
        if name.endswith(rejected_name("")):
            raise self._taken(path, name, "the table of rejected rows")
        with self._lock:
            earlier = self._names.get(name)
            if earlier is not None and earlier != key:
                raise self._taken(path, name, f"the table of other lists, by {', '.join(earlier)}")
            self._names[name] = key
        return name

    def _taken(self, path: str, name: str, what: str) -> ConfigurationError:
        return ConfigurationError(
            f'stream {self.stream!r}: the lists {path!r} would land in {name!r}, which is {what}; set nested = "json" '
            "to keep lists as they are, or give the field another name by records"
        )


def child_tables(
    schema: StreamSchema | None, stream: str, table: str, mode: WriteMode, destination: Destination, location: str
) -> ChildTables | None:
    """The child tables of a stream; None: its lists are JSON.

    :raises ConfigurationError: if it cannot have them.
    """
    if schema is None or not schema.child_depth:
        return None
    start = f"{location}: the lists in rows of stream {stream!r} would land in tables of their own"
    if not schema.primary_key:
        raise ConfigurationError(
            f"{start}, by the key of their row, and it has none; name it in the source's configuration, as in "
            'primary_key = "id", or set nested = "json" there'
        )
    if not destination.child_tables:
        raise ConfigurationError(
            f'{start}, and {destination.identity()} takes one table of a stream; set nested = "json" in the source\'s '
            "configuration"
        )
    if mode == "upsert" and not destination.deletes:
        raise ConfigurationError(
            f"{start}, and {destination.identity()} cannot delete the items that a row has no longer; write "
            f'write_mode = "append" in {location}'
        )
    keep = [field.name for field in schema.fields if not pa.types.is_null(field.type)]
    return ChildTables(stream, table, schema.primary_key, schema.child_depth, keep)
