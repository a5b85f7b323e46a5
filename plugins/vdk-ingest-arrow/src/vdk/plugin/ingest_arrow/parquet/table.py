# SPDX-License-Identifier: Apache-2.0
"""One table: the data files in its folder, how new ones join them, and which columns they have.

The newest file sorts first, and has every column of the table: readers that use the columns of the first file
(pyarrow, DuckDB, polars) then see all of them, rather than silently miss the later ones.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import SchemaChange, TableSpec, pc

from ..names import check_distinct, check_name, folder_name
from .data_file import ROW_GROUP_ROWS, DataFileWriter, FileColumns, FileFormat, Rows, RowsInFile, schema_of
from .file_moves import DATA_FILE, Add, Move, Swap
from .storage_root import CONTROL, StorageRoot
from .types import TEXT, candidates, fallback_type, file_type

_FIRST = 9_999_999_999
"""Positions count down from here, so that the newest file sorts first."""
SMALL = 8 * 2**20
"""Bytes below which a file is small. Opening a file costs about as much as reading a megabyte of it."""
Landed = Callable[[], Iterable[Rows]]
"""Returns rows that have landed, from the first, each time it is called."""


@dataclass(slots=True)
class LandingFile:
    """A file that is about to join a table, and its columns."""

    path: Path
    columns: FileColumns


class TableFolder:
    """A table's folder, used while the lock is held.

    :raises DestinationError: for a name that no folder can have, or that differs from another table's in case only.
    """

    def __init__(self, storage: StorageRoot, name: str) -> None:
        self._storage = storage
        self.name = name
        self.path = storage.root / folder_name(name)
        self._check()
        names = _data_names(self.path)
        self._count = len(names)
        self._newest = min(names, default=None)
        self._position = int(self._newest[5:15]) if self._newest else _FIRST + 1

    @property
    def position(self) -> int:
        """The position of the newest file. It only decreases, whoever writes, replaces or merges: a folder in which it
        has increased has lost files."""
        return self._position

    @property
    def is_empty(self) -> bool:
        """Whether it had no file when it was opened: it does not exist, or has lost all of its files."""
        return self._count == 0

    def columns(self) -> FileColumns | None:
        """The table's columns, which are those of its newest file; None without any file."""
        return RowsInFile(self.path / self._newest).types if self._newest else None

    def rows(self) -> Iterable[Rows]:
        """All rows, the oldest first; each file is opened when its turn comes."""
        return map(RowsInFile, self._files())

    def count_rows(self) -> int:
        """The number of rows, which the files' metadata has."""
        return sum(pq.read_metadata(path).num_rows for path in self._files())

    def first_values(self, column: str, count: int) -> list[object]:
        """The values of a column in the oldest file that has it."""
        for path in self._files():
            with pq.ParquetFile(path) as file:
                if column in file.schema_arrow.names:
                    batch = next(file.iter_batches(count, columns=[column]), None)
                    return [] if batch is None else list(batch.column(0).to_pylist())
        return []

    def has_small_files(self, number: int) -> bool:
        """Whether at least ``number`` of its files are small."""
        return self._count >= number and sum(map(_is_small, self._files())) >= number

    def appended(self, files: Sequence[LandingFile], columns: FileColumns, file_format: FileFormat) -> list[Move]:
        """Moves by which files join the table, which has ``columns`` afterwards; no column changes its type."""
        relative = self._storage.relative
        return [
            Add(relative(file.path), relative(self.path / self._next_name()))
            for file in self._complete(files, columns, file_format)
        ]

    def replaced(self, files: Sequence[LandingFile], columns: FileColumns, file_format: FileFormat) -> list[Move]:
        """Moves by which files take the place of all existing ones."""
        return self._swapped(self._new_folder(), files, columns, file_format)

    def rebuilt(
        self, files: Sequence[LandingFile], columns: FileColumns, file_format: FileFormat, *, merge: bool = False
    ) -> list[Move]:
        """Moves by which files join the table while existing ones are rewritten: those with a column that changes its
        type and, under ``merge``, small ones, which become one file. The others are linked."""
        folder = self._new_folder()
        small = []
        for old in self._files():
            rows = RowsInFile(old)
            types = {name: columns[name] for name in rows.types}
            if merge and _is_small(old):
                small.append(rows)
            elif types == rows.types:
                _link(old, folder / old.name)
            else:
                write_rows(folder / old.name, [rows], types, file_format)
        merged = [self._written(small, columns, file_format)] if small else []
        return self._swapped(folder, [*merged, *files], columns, file_format)

    def count_where(self, column: str, value: str) -> int:
        """The rows with a value in a column of text."""
        return sum(_count_where(path, column, value) for path in self._files())

    def without(self, column: str, value: str, file_format: FileFormat) -> list[Move]:
        """Moves by which the rows with a value in a column leave the table. Files without such rows are linked."""
        folder = self._new_folder()
        for old in self._files():
            if not _count_where(old, column, value):
                _link(old, folder / old.name)
                continue
            writer = DataFileWriter(folder / old.name, schema_of(RowsInFile(old).types), file_format)
            with pq.ParquetFile(old) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group)
                    kept = rows.filter(pc.invert(pc.fill_null(pc.equal(rows.column(column), value), fill_value=False)))
                    if kept.num_rows:
                        writer.write(kept)
            writer.close()
        return self._swapped(folder, [], self.columns() or {}, file_format)

    def _swapped(
        self, folder: Path, files: Sequence[LandingFile], columns: FileColumns, file_format: FileFormat
    ) -> list[Move]:
        marker = ""
        for file in self._complete(files, columns, file_format):
            marker = self._next_name()
            os.replace(file.path, folder / marker)
        relative = self._storage.relative
        aside = self._storage.landing / f"{folder.name}.old"
        return [Swap(relative(folder), relative(self.path), relative(aside), marker)]

    def _complete(
        self, files: Sequence[LandingFile], columns: FileColumns, file_format: FileFormat
    ) -> list[LandingFile]:
        """The files, followed by one without rows where the last one lacks some of the columns."""
        if files and files[-1].columns.keys() == columns.keys():
            return list(files)
        return [*files, self._written([], columns, file_format)]

    def _written(self, rows: Sequence[Rows], columns: FileColumns, file_format: FileFormat) -> LandingFile:
        path = self._storage.landing / uuid.uuid4().hex
        write_rows(path, rows, columns, file_format)
        return LandingFile(path, columns)

    def _files(self) -> list[Path]:
        return [self.path / name for name in sorted(_data_names(self.path), reverse=True)]

    def _new_folder(self) -> Path:
        folder = self._storage.landing / f"{uuid.uuid4().hex}.new"
        folder.mkdir()
        return folder

    def _next_name(self) -> str:
        self._position -= 1
        return f"part-{self._position:010d}-{uuid.uuid4().hex[:12]}.parquet"

    def _check(self) -> None:
        if (self.path / CONTROL).exists():
            raise DestinationError(
                f"table {self.name!r}: its folder {self.path} is a Parquet target itself, with tables in it: give "
                "the table another name with destination_table"
            )
        folders = _names_in(self._storage.root)
        fold = self._storage.fold
        for other in folders if self.path.name not in folders else ():
            if fold(other) == fold(self.path.name):
                raise DestinationError(
                    f"the folders {self.path.name!r} and {other!r} differ in upper and lower case or in the form of "
                    f"their accents only, which is one folder to this file system: give table {self.name!r} another "
                    "name with destination_table"
                )


def has_data(folder: Path) -> bool:
    """Whether a folder is a table's: it has a data file."""
    return bool(_data_names(folder))


def write_rows(path: Path, rows: Sequence[Rows], columns: FileColumns, file_format: FileFormat) -> None:
    """Write a file with these columns, and make it durable."""
    writer = DataFileWriter(path, schema_of(columns), file_format)
    try:
        for group in _row_groups(table for source in rows for table in source.conformed(columns)):
            writer.write(group)
        writer.close()
    except BaseException:
        writer.abandon()
        path.unlink(missing_ok=True)
        raise


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small tables are joined to one row group."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(table.num_rows for table in group) >= ROW_GROUP_ROWS:
            yield pa.concat_tables(group)
            group = []
    if group:
        yield pa.concat_tables(group)


def _data_names(folder: Path) -> list[str]:
    return [name for name in _names_in(folder) if DATA_FILE.fullmatch(name)]


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _count_where(path: Path, column: str, value: str) -> int:
    with pq.ParquetFile(path) as file:
        if column not in file.schema_arrow.names:
            return 0
        return sum(
            pc.sum(pc.equal(batch.column(0), value)).as_py() or 0 for batch in file.iter_batches(columns=[column])
        )


def _is_small(path: Path) -> bool:
    return path.stat().st_size < SMALL


def _link(old: Path, new: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
        with new.open("rb") as file:
            os.fsync(file.fileno())


# Columns.


def declared_columns(spec: TableSpec) -> FileColumns:
    """The declared columns that have a type. One of Arrow's null type waits for a value that shows its type."""
    if spec.schema is None:
        return {}
    return {field.name: file_type(field.type) for field in spec.schema if not pa.types.is_null(field.type)}


def settle_columns(
    spec: TableSpec, columns: FileColumns, incoming: Sequence[Rows], landed: Landed = tuple
) -> FileColumns:
    """``columns`` and those of the incoming rows, each with the type that fits all rows.

    :param landed: the rows that have these columns already, which are read where a type is about to change.
    :raises DestinationError: a type may not change, or readers treat two names as one.
    """
    result = dict(columns)
    for index, rows in enumerate(incoming):
        for name, type_ in rows.types.items():
            if name not in result:
                check_name(name, f"table {spec.name!r}: a column named")
                result[name] = type_
            elif result[name] != type_:
                earlier = [*incoming[:index]]
                untyped = set(columns.values()) == {TEXT} and not any(
                    part.has_values() for part in chain(landed(), earlier)
                )
                result[name] = type_ if untyped else _common_type(spec, name, result[name], rows, landed, earlier)
    check_distinct(result, spec.name)
    return result


def changed_types(spec: TableSpec, before: FileColumns, after: FileColumns) -> list[SchemaChange]:
    """The columns that have another type than before."""
    return [
        SchemaChange(spec.name, name, str(before[name]), str(type_))
        for name, type_ in after.items()
        if before.get(name, type_) != type_
    ]


def _common_type(
    spec: TableSpec, name: str, existing: pa.DataType, rows: Rows, landed: Landed, earlier: Sequence[Rows]
) -> pa.DataType:
    incoming = rows.types[name]
    possible = candidates(existing, incoming)
    if not spec.evolve:
        possible = [existing] if possible else []
    for type_ in possible:
        if rows.fits(name, type_) and (
            type_ == existing or all(part.fits(name, type_) for part in chain(landed(), earlier))
        ):
            return type_
    if not spec.evolve:
        raise DestinationError(
            f"table {spec.name!r}, column {name!r}: the column is {existing}, the rows bring {incoming}, and "
            "on_schema_change = 'freeze' does not allow a new type. Convert the values with a transform, or set "
            "on_schema_change = 'evolve'"
        )
    return fallback_type(existing, incoming)
