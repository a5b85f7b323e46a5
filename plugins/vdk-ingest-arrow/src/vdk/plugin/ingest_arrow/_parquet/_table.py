"""One table's folder: which files are its data, and how new ones come in.

The newest file sorts first, and has every column of the table: readers that take the first file for all (pyarrow,
DuckDB, polars) then know all columns, rather than miss the later ones without a word.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdk.plugin.datasource_base.contract import DestinationError

from ._data_file import Columns, DataFileWriter, Format, Rows, RowsInFile, schema_of
from ._lake import CONTROL, Lake
from ._moves import DATA_FILE, Add, Move, Swap
from ._names import folded, folder_name

_FIRST = 9_999_999_999
"""Positions count down from here, so that the newest file sorts first."""


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
        self.files = data_files(self.path)
        self._position = int(self.files[0].name[5:15]) if self.files else _FIRST + 1

    def columns(self) -> Columns | None:
        """Its columns, which are those of its newest file; None where it has none."""
        return RowsInFile(self.files[0]).types if self.files else None

    def rows(self) -> Iterable[Rows]:
        """All its rows, file by file; no file is opened before its turn."""
        return map(RowsInFile, self.files)

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

    def retyped(self, files: Sequence[LandingFile], columns: Columns, form: Format) -> list[Move]:
        """Moves by which files join the table, whose columns get other types: its files are written anew."""
        folder = self._new_folder()
        for old in reversed(self.files):
            rows = RowsInFile(old)
            wanted = {name: columns[name] for name in rows.types}
            if wanted == rows.types:
                _link(old, folder / old.name)
            else:
                write_rows(folder / old.name, [rows], wanted, form)
        return self._swapped(folder, files, columns, form)

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
        path = self._lake.landing / uuid.uuid4().hex
        write_rows(path, [], columns, form)
        return [*files, LandingFile(path, columns)]

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
        for other in there:
            if self.path.name not in there and folded(other) == folded(self.path.name):
                raise DestinationError(
                    f"the folders {self.path.name!r} and {other!r} differ in upper and lower case or in the form of "
                    f"their accents only, which is one folder to some file systems: give table {self.name!r} another "
                    "name with destination_table"
                )


def data_files(folder: Path) -> list[Path]:
    """The data files of a table, the newest first; none where there is no such folder."""
    return [folder / name for name in sorted(_names_in(folder)) if DATA_FILE.fullmatch(name)]


def write_rows(path: Path, rows: Sequence[Rows], columns: Columns, form: Format) -> None:
    """Write a file with these columns, and make it durable."""
    writer = DataFileWriter(path, schema_of(columns), form)
    try:
        for one in rows:
            for piece in one.conformed(columns):
                writer.write(piece)
        writer.close()
    except BaseException:
        writer.abandon()
        path.unlink(missing_ok=True)
        raise


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
