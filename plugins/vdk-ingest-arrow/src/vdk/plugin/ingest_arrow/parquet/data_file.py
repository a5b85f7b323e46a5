# SPDX-License-Identifier: Apache-2.0
"""Parquet files: written row group by row group, read back the same way, and the rows in them."""

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

from ..values import LARGE_VALUE
from .types import cast_column

FileColumns = dict[str, pa.DataType]
"""Column name → type, in the table's order."""
ROW_GROUP_ROWS = 122_880
"""As in DuckDB, which reads row groups in parallel, one thread each."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How files are written.

    :param compression: as pyarrow calls it.
    :param file_rows: rows after which a new file begins.
    """

    compression: str
    file_rows: int


class DataFileWriter:
    """A file that is being written. It is readable and durable after ``close``."""

    def __init__(self, path: Path, schema: pa.Schema, file_format: FileFormat) -> None:
        self.path = path
        self.schema = schema
        self.rows = 0
        self._file = path.open("xb")
        self._file_format = file_format
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Append rows that have the file's columns, in any order."""
        if self._writer is None:
            self._writer = self._writer_for(table)
        self._writer.write_table(table.select(self.schema.names), row_group_size=ROW_GROUP_ROWS)
        self.rows += table.num_rows

    def _writer_for(self, table: pa.Table) -> pq.ParquetWriter:
        """Columns of large values get neither dictionary nor statistics, which would copy the values."""
        rows = max(table.num_rows, 1)
        small = [name for name in table.schema.names if table.column(name).nbytes / rows <= LARGE_VALUE]
        all_small = len(small) == table.num_columns
        # A column has one type in all files of a table, so Arrow's own schema holds for all of them.
        return pq.ParquetWriter(
            self._file,
            self.schema,
            compression=self._file_format.compression,
            store_schema=True,
            use_dictionary=True if all_small else small,
            write_statistics=True if all_small else small,
        )

    def close(self) -> None:
        """Complete the file and make it durable. Idempotent."""
        if self._file.closed:
            return
        try:
            self._finish()
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close a file that nobody will read."""
        with suppress(OSError):  # the disk may still be full
            self._finish()
        with suppress(OSError):
            self._file.close()

    def _finish(self) -> None:
        if self._writer is None:
            self._writer = self._writer_for(self.schema.empty_table())
        self._writer.close()


class Rows(ABC):
    """Rows with a type for each column, which can be read more than once."""

    def __init__(self, schema: pa.Schema) -> None:
        self.types: FileColumns = {field.name: field.type for field in schema if not pa.types.is_null(field.type)}
        self.untyped = [field.name for field in schema if pa.types.is_null(field.type)]
        """FileColumns without any value yet, which become columns when one comes."""
        self.count: int | None = None
        """The number of rows, where it is known."""

    @abstractmethod
    def tables(self, names: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """The rows in tables of bounded size, with all columns or some."""

    def fits(self, name: str, type_: pa.DataType) -> bool:
        """Whether every value of a column survives in another type."""
        if name not in self.types or self.types[name] == type_:
            return True
        try:
            for table in self.tables([name]):
                cast_column(table.column(name), type_)
        except pa.ArrowInvalid:
            return False
        return True

    def has_values(self) -> bool:
        """Whether any value of any column is not NULL."""
        return any(column.null_count < len(column) for table in self.tables() for column in table.columns)

    def conformed(self, columns: FileColumns) -> Iterator[pa.Table]:
        """The rows in tables with exactly these columns: NULL where a column is missing."""
        for table in self.tables():
            arrays = [
                cast_column(table.column(name), type_) if name in self.types else pa.nulls(table.num_rows, type_)
                for name, type_ in columns.items()
            ]
            yield pa.table(dict(zip(columns, arrays, strict=True)))


class RowsInMemory(Rows):
    """Rows of an Arrow table whose types are those of files."""

    def __init__(self, table: pa.Table) -> None:
        super().__init__(table.schema)
        self._table = table
        self.count = int(table.num_rows)

    def tables(self, names: Iterable[str] | None = None) -> Iterator[pa.Table]:
        yield self._table if names is None else self._table.select(list(names))


class RowsInFile(Rows):
    """Rows of a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(file_schema(path))
        self.path = path

    def tables(self, names: Iterable[str] | None = None) -> Iterator[pa.Table]:
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROW_GROUP_ROWS, columns=list(names) if names is not None else None):
                yield pa.Table.from_batches([batch])


def file_schema(path: Path) -> pa.Schema:
    """The schema of a file.

    :raises DestinationError: the file is damaged.
    """
    try:
        return pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise DestinationError(f"{path} is damaged: {error}. Restore a copy of it, or move it elsewhere") from error


def schema_of(columns: FileColumns) -> pa.Schema:
    return pa.schema(list(columns.items()))
