# SPDX-License-Identifier: Apache-2.0
"""Staged rows: they wait in files for the state that covers them, or for a complete snapshot.

Each stream and partition has a folder of its own under ``_vdk/staged``, which the next run finds by its name and drops.
The files have no suffix, so that no reader mistakes them for data.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConcurrentRunError
from vdk.plugin.datasource_base.parts import StateKey, TableSpec

from ..names import ALL_PARTITIONS, covers
from ..state_encoding import staged_rows_dropped
from .data_file import DataFileWriter, FileFormat, Rows, schema_of


@dataclass(slots=True)
class StagedFile:
    """Staged rows of one table, in a file that may still grow."""

    spec: TableSpec
    writer: DataFileWriter
    run_id: str

    @property
    def path(self) -> Path:
        return self.writer.path


class StagedFiles:
    """The files that this run has staged, by key.

    :param landing: the folder that every commit empties first.
    """

    def __init__(self, folder: Path, file_format: FileFormat, *, landing: Path) -> None:
        self._folder = folder
        self._landing = landing
        self._file_format = file_format
        self._files: dict[StateKey, list[StagedFile]] = {}
        self._published: set[StateKey] = set()

    def add(self, key: StateKey, incoming: Sequence[tuple[TableSpec, Rows]], run_id: str) -> None:
        """Stage rows after the earlier ones: in one file, until its columns change or it has enough rows.

        :raises ConcurrentRunError: another run drops them at the same moment.
        """
        self._published.discard(key)
        folder = self._folder_of(key)
        for spec, rows in incoming:
            staged = self._files.setdefault(key, [])
            last = next((file for file in reversed(staged) if file.spec.name == spec.name), None)
            # Rows without any value need a column too.
            schema = schema_of(rows.types or dict.fromkeys(rows.untyped, pa.null()))
            if last is None or last.writer.schema != schema or last.writer.rows >= self._file_format.file_rows:
                if last is not None:
                    last.writer.close()
                last = StagedFile(spec, self._new_file(key, folder / uuid.uuid4().hex, schema), run_id)
                staged.append(last)
            for table in rows.tables(schema.names):
                last.writer.write(table)

    def _new_file(self, key: StateKey, path: Path, schema: pa.Schema) -> DataFileWriter:
        """Rows are staged without the lock under which another run drops the folder."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return DataFileWriter(path, schema, self._file_format)
        except FileNotFoundError as error:
            if not self._folder.parent.exists():
                raise
            raise staged_rows_dropped(key, path) from error

    def finished(self, key: StateKey) -> list[StagedFile]:
        """The files of a key, each closed and durable.

        :raises ConcurrentRunError: another run has dropped some of them.
        """
        files = self._files.get(key, [])
        for file in files:
            file.writer.close()
        if missing := [file for file in files if not file.path.exists()]:
            raise staged_rows_dropped(key, missing[0].path)
        return files

    def has(self, key: StateKey, run_id: str) -> bool:
        """Whether a run has staged rows that have not landed yet."""
        return any(file.run_id == run_id and file.path.exists() for file in self._files.get(key, ()))

    def landed(self, key: StateKey) -> None:
        """Forget the files that a commit has moved into tables, and remove those that it rewrote instead. Files of
        another run in the same folder stay."""
        with suppress(OSError):  # what is left, the next run removes
            for file in self._files.pop(key, ()):
                file.path.unlink(missing_ok=True)
            self._folder_of(key).rmdir()

    def published(self, key: StateKey) -> None:
        """As ``landed``, and remember it: the same snapshot again must not publish an empty table."""
        if self._files.get(key):
            self._published.add(key)
        self.landed(key)

    def check_unpublished(self, key: StateKey) -> None:
        """Raises ``ConcurrentRunError`` where the key is published, and nothing was staged since."""
        if key in self._published:
            raise ConcurrentRunError(f"{key.place}: the staged rows are published already: run again")

    def discard(self, key: StateKey) -> None:
        """Drop the staged files of a key, of this run or an earlier one; for ``"*"``, of every partition."""
        for staged in {*self._files, *self._published}:
            if covers(key, staged):
                self._published.discard(staged)
                for file in self._files.pop(staged, ()):
                    file.writer.abandon()
        folder = self._folder_of(key)
        folder = folder.parent if key.partition == ALL_PARTITIONS else folder
        if folder.exists():
            # in one step: another run may be staging rows there
            aside = self._landing / uuid.uuid4().hex
            folder.rename(aside)
            shutil.rmtree(aside)

    def close(self) -> None:
        """Close the files. They stay on the disk, for the next run to drop."""
        for files in self._files.values():
            for file in files:
                file.writer.abandon()
        self._files.clear()

    def _folder_of(self, key: StateKey) -> Path:
        return self._folder / _digest(key.source_id, key.stream, key.table) / _digest(key.partition)


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
