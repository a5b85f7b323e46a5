"""One Parquet file: written row group by row group, and read back the same way."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vdk.plugin.datasource_base.contract import DestinationError

from .types import converted

Columns = dict[str, pa.DataType]
"""Column name → type, in the table's order."""
MOST_ROWS_IN_A_GROUP = 122_880
"""As DuckDB's: it reads row groups in parallel, one thread each."""

LARGE = 64 * 1024
"""Bytes of a column's average value, above which a file keeps no second copy of values."""


@dataclass(frozen=True, slots=True)
class Format:
    """How files are written.

    :param compression: as pyarrow calls it.
    :param file_rows: rows that end a file, where more of them come.
    """

    compression: str
    file_rows: int


class DataFileWriter:
    """A file in the making. ``close`` syncs it; until then there is nothing that can be read."""

    def __init__(self, path: Path, schema: pa.Schema, form: Format) -> None:
        self.path = path
        self.schema = schema
        self.rows = 0
        self._file = path.open("xb")
        self._form = form
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Append rows whose columns are the file's, in any order."""
        if self._writer is None:
            self._writer = self._writer_for(table)
        self._writer.write_table(table.select(self.schema.names), row_group_size=MOST_ROWS_IN_A_GROUP)
        self.rows += table.num_rows

    def _writer_for(self, table: pa.Table) -> pq.ParquetWriter:
        """Columns of large values have no dictionary and no statistics, which would be copies of the values."""
        rows = max(table.num_rows, 1)
        small = [name for name in table.schema.names if table.column(name).nbytes / rows <= LARGE]
        all_small = len(small) == table.num_columns
        # Files of one table are of one type per column, so Arrow's own description of them is right for all.
        return pq.ParquetWriter(
            self._file,
            self.schema,
            compression=self._form.compression,
            store_schema=True,
            use_dictionary=True if all_small else small,
            write_statistics=True if all_small else small,
        )

    def close(self) -> None:
        """Finish the file and make it durable. Idempotent."""
        if self._file.closed:
            return
        try:
            self._finish()
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close a file that is not read again."""
        with suppress(OSError):  # the disk may be full still
            self._finish()
        with suppress(OSError):
            self._file.close()

    def _finish(self) -> None:
        if self._writer is None:
            self._writer = self._writer_for(self.schema.empty_table())
        self._writer.close()


class Rows(ABC):
    """Rows with a type for each column, that can be gone through more than once."""

    def __init__(self, schema: pa.Schema) -> None:
        self.types: Columns = {field.name: field.type for field in schema if not pa.types.is_null(field.type)}
        self.waiting = [field.name for field in schema if pa.types.is_null(field.type)]
        """Columns without any value yet, which become columns when one comes."""
        self.count: int | None = None
        """How many rows, where that is known."""

    @abstractmethod
    def tables(self, names: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """The rows in pieces of bounded size, all columns or some."""

    def fits(self, name: str, type_: pa.DataType) -> bool:
        """Whether every value of a column survives as another type."""
        if name not in self.types or self.types[name] == type_:
            return True
        try:
            for piece in self.tables([name]):
                converted(piece.column(name), type_)
        except pa.ArrowInvalid:
            return False
        return True

    def has_values(self) -> bool:
        """Whether any value of any column is not NULL."""
        return any(column.null_count < len(column) for piece in self.tables() for column in piece.columns)

    def conformed(self, columns: Columns) -> Iterator[pa.Table]:
        """The rows in pieces with exactly these columns: NULL where a column is missing."""
        for piece in self.tables():
            arrays = [
                converted(piece.column(name), type_) if name in self.types else pa.nulls(piece.num_rows, type_)
                for name, type_ in columns.items()
            ]
            yield pa.table(dict(zip(columns, arrays, strict=True)))


class RowsInMemory(Rows):
    """A table, in the form files have."""

    def __init__(self, table: pa.Table) -> None:
        super().__init__(table.schema)
        self._table = table
        self.count = int(table.num_rows)

    def tables(self, names: Iterable[str] | None = None) -> Iterator[pa.Table]:
        yield self._table if names is None else self._table.select(list(names))


class RowsInFile(Rows):
    """A file."""

    def __init__(self, path: Path) -> None:
        super().__init__(file_schema(path))
        self.path = path

    def tables(self, names: Iterable[str] | None = None) -> Iterator[pa.Table]:
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(MOST_ROWS_IN_A_GROUP, columns=list(names) if names is not None else None):
                yield pa.Table.from_batches([batch])


def file_schema(path: Path) -> pa.Schema:
    """What a file says about itself.

    :raises DestinationError: for a file that is damaged.
    """
    try:
        return pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise DestinationError(f"{path} is damaged: {error}. Put back a copy of it, or move it away") from error


def schema_of(columns: Columns) -> pa.Schema:
    return pa.schema(list(columns.items()))
