"""One table's folder: which files are its data, and how new ones come in.

The newest file sorts first, and has every column of the table: readers that take the first file for all (pyarrow,
DuckDB, polars) then know all columns, rather than miss the later ones without a word.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError

from .data_file import MOST_ROWS_IN_A_GROUP, Columns, DataFileWriter, Format, Rows, RowsInFile, schema_of
from .file_moves import DATA_FILE, Add, Move, Swap
from .storage_root import CONTROL, Lake, folder_name

_FIRST = 9_999_999_999
"""Positions count down from here, so that the newest file sorts first."""
SMALL = 8 * 2**20
"""Bytes below which a file is small. Opening a file costs about as much as reading a megabyte of it."""


@dataclass(slots=True)
class LandingFile:
    """A file that is about to join a table: where it is, and what is in it."""

    path: Path
    columns: Columns


class TableFolder:
    """A table as it is under the lock.

    :raises DestinationError: for a name that no folder can have, or that another table has but for its case.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake = lake
        self.name = name
        self.path = lake.root / folder_name(name)
        self._check()
        names = _data_names(self.path)
        self._count = len(names)
        self._newest = min(names, default=None)
        self._position = int(self._newest[5:15]) if self._newest else _FIRST + 1

    @property
    def position(self) -> int:
        """Of its newest file. It only goes down, whoever writes, replaces or merges: a folder in which it is higher
        than it was has lost files."""
        return self._position

    def columns(self) -> Columns | None:
        """Its columns, which are those of its newest file; None where it has none."""
        return RowsInFile(self.path / self._newest).types if self._newest else None

    def rows(self) -> Iterable[Rows]:
        """All its rows, the oldest first; no file is opened before its turn."""
        return map(RowsInFile, self._files())

    def has_small_files(self, number: int) -> bool:
        """Whether at least so many of its files are small."""
        return self._count >= number and sum(map(_is_small, self._files())) >= number

    def appended(self, files: Sequence[LandingFile], columns: Columns, form: Format) -> list[Move]:
        """Moves by which files join the table, whose columns are ``columns`` from then on, with their types as yet."""
        relative = self._lake.relative
        return [
            Add(relative(one.path), relative(self.path / self._next_name()))
            for one in self._complete(files, columns, form)
        ]

    def replaced(self, files: Sequence[LandingFile], columns: Columns, form: Format) -> list[Move]:
        """Moves by which files take the place of all there are."""
        folder = self._new_folder()
        return self._swapped(folder, files, columns, form)

    def rebuilt(
        self, files: Sequence[LandingFile], columns: Columns, form: Format, *, merge: bool = False
    ) -> list[Move]:
        """Moves by which files join the table while its own are written anew: those with a column that gets another
        type, and, to be merged into one, those that are small. The others are linked."""
        folder = self._new_folder()
        small = []
        for old in self._files():
            rows = RowsInFile(old)
            wanted = {name: columns[name] for name in rows.types}
            if merge and _is_small(old):
                small.append(rows)
            elif wanted == rows.types:
                _link(old, folder / old.name)
            else:
                write_rows(folder / old.name, [rows], wanted, form)
        merged = [self._written(small, columns, form)] if small else []
        return self._swapped(folder, [*merged, *files], columns, form)

    def _swapped(self, folder: Path, files: Sequence[LandingFile], columns: Columns, form: Format) -> list[Move]:
        marker = ""
        for one in self._complete(files, columns, form):
            marker = self._next_name()
            os.replace(one.path, folder / marker)
        relative = self._lake.relative
        aside = self._lake.landing / f"{folder.name}.old"
        return [Swap(relative(folder), relative(self.path), relative(aside), marker)]

    def _complete(self, files: Sequence[LandingFile], columns: Columns, form: Format) -> list[LandingFile]:
        """The files, and behind them one without rows where the last one lacks some of the columns."""
        if files and files[-1].columns.keys() == columns.keys():
            return list(files)
        return [*files, self._written([], columns, form)]

    def _written(self, rows: Sequence[Rows], columns: Columns, form: Format) -> LandingFile:
        path = self._lake.landing / uuid.uuid4().hex
        write_rows(path, rows, columns, form)
        return LandingFile(path, columns)

    def _files(self) -> list[Path]:
        return [self.path / name for name in sorted(_data_names(self.path), reverse=True)]

    def _new_folder(self) -> Path:
        folder = self._lake.landing / f"{uuid.uuid4().hex}.new"
        folder.mkdir()
        return folder

    def _next_name(self) -> str:
        self._position -= 1
        return f"part-{self._position:010d}-{uuid.uuid4().hex[:12]}.parquet"

    def _check(self) -> None:
        if (self.path / CONTROL).exists():
            raise DestinationError(
                f"table {self.name!r}: its folder {self.path} is a Parquet target of its own, with tables in it: give "
                "the table another name with destination_table"
            )
        there = _names_in(self._lake.root)
        fold = self._lake.fold
        for other in there if self.path.name not in there else ():
            if fold(other) == fold(self.path.name):
                raise DestinationError(
                    f"the folders {self.path.name!r} and {other!r} differ in upper and lower case or in the form of "
                    f"their accents only, which is one folder to this file system: give table {self.name!r} another "
                    "name with destination_table"
                )


def has_data(folder: Path) -> bool:
    """Whether a folder is a table's: it has a data file."""
    return bool(_data_names(folder))


def _data_names(folder: Path) -> list[str]:
    return [name for name in _names_in(folder) if DATA_FILE.fullmatch(name)]


def _is_small(path: Path) -> bool:
    return path.stat().st_size < SMALL


def write_rows(path: Path, rows: Sequence[Rows], columns: Columns, form: Format) -> None:
    """Write a file with these columns, and make it durable."""
    writer = DataFileWriter(path, schema_of(columns), form)
    try:
        for group in _groups(piece for row in rows for piece in row.conformed(columns)):
            writer.write(group)
        writer.close()
    except BaseException:
        writer.abandon()
        path.unlink(missing_ok=True)
        raise


def _groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small pieces together, so that they become one row group."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(one.num_rows for one in waiting) >= MOST_ROWS_IN_A_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _link(old: Path, new: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
        with new.open("rb") as file:
            os.fsync(file.fileno())
