"""Rows set aside in files until the state that covers them comes, or until a snapshot is whole.

Each stream and partition has a folder of its own under ``_vdk/staged``, found again by its name: what a killed run left
there is dropped with it. The files have no suffix, so that no reader takes them for data.
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

from .data_file import DataFileWriter, Format, Rows, schema_of

ALL_PARTITIONS = "*"


@dataclass(slots=True)
class StagedFile:
    """Some staged rows of a table, in a file that may still grow."""

    spec: TableSpec
    writer: DataFileWriter
    run_id: str

    @property
    def path(self) -> Path:
        return self.writer.path


class Staging:
    """What this run has set aside, by key.

    :param landing: the folder that every commit empties first.
    """

    def __init__(self, folder: Path, form: Format, *, landing: Path) -> None:
        self._folder = folder
        self._landing = landing
        self._form = form
        self._files: dict[StateKey, list[StagedFile]] = {}
        self._published: set[StateKey] = set()

    def add(self, key: StateKey, incoming: Sequence[tuple[TableSpec, Rows]], run_id: str) -> None:
        """Write rows behind those that are there: in one file, until its columns change or it has enough rows.

        :raises ConcurrentRunError: where another run drops them at this very moment.
        """
        self._published.discard(key)
        folder = self._folder_of(key)
        for spec, rows in incoming:
            staged = self._files.setdefault(key, [])
            last = next((file for file in reversed(staged) if file.spec.name == spec.name), None)
            # Rows without a value say so, for want of another column.
            schema = schema_of(rows.types or dict.fromkeys(rows.waiting, pa.null()))
            if last is None or last.writer.schema != schema or last.writer.rows >= self._form.file_rows:
                if last is not None:
                    last.writer.close()
                last = StagedFile(spec, self._begun(key, folder / uuid.uuid4().hex, schema), run_id)
                staged.append(last)
            for piece in rows.tables(schema.names):
                last.writer.write(piece)

    def _begun(self, key: StateKey, path: Path, schema: pa.Schema) -> DataFileWriter:
        """Other runs drop the folder under the lock, and rows are set aside without it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return DataFileWriter(path, schema, self._form)
        except FileNotFoundError as error:
            if not self._folder.parent.exists():
                raise
            raise _dropped(key, path) from error

    def finished(self, key: StateKey) -> list[StagedFile]:
        """What is set aside, every file closed and durable.

        :raises ConcurrentRunError: where another run has dropped some of it.
        """
        files = self._files.get(key, [])
        for file in files:
            file.writer.close()
        if gone := [file for file in files if not file.path.exists()]:
            raise _dropped(key, gone[0].path)
        return files

    def has(self, key: StateKey, run_id: str) -> bool:
        """Whether a run has set rows aside that have not landed yet."""
        return any(one.run_id == run_id and one.path.exists() for one in self._files.get(key, ()))

    def landed(self, key: StateKey) -> None:
        """Forget what a commit has taken, and remove what it has written anew instead of taking it. What another run
        has set aside in the same folder is let alone."""
        with suppress(OSError):  # else the next run does it
            for one in self._files.pop(key, ()):
                one.path.unlink(missing_ok=True)
            self._folder_of(key).rmdir()

    def published(self, key: StateKey) -> None:
        """Forget what a snapshot has taken, but that it has: the same again must not publish an empty table."""
        if self._files.get(key):
            self._published.add(key)
        self.landed(key)

    def expect_unpublished(self, key: StateKey) -> None:
        """Raises ``ConcurrentRunError`` where ``published`` was said, and nothing was set aside since."""
        if key in self._published:
            raise ConcurrentRunError(
                f"source {key.source_id!r}, stream {key.stream!r}, partition {key.partition!r}: what was set aside is "
                "published already"
            )

    def discard(self, key: StateKey) -> None:
        """Drop what is set aside for a key, by this run or by another; for ``"*"``, of every partition."""
        for mine in {*self._files, *self._published}:
            same = (mine.source_id, mine.stream, mine.table) == (key.source_id, key.stream, key.table)
            if same and key.partition in (mine.partition, ALL_PARTITIONS):
                self._published.discard(mine)
                for one in self._files.pop(mine, ()):
                    one.writer.abandon()
        folder = self._folder_of(key)
        folder = folder.parent if key.partition == ALL_PARTITIONS else folder
        if folder.exists():
            # in one step: another run may be setting rows aside there
            aside = self._landing / uuid.uuid4().hex
            folder.rename(aside)
            shutil.rmtree(aside)

    def close(self) -> None:
        """Let go of the files. What is set aside stays, for the next run to drop."""
        for files in self._files.values():
            for file in files:
                file.writer.abandon()
        self._files.clear()

    def _folder_of(self, key: StateKey) -> Path:
        return self._folder / _digest(key.source_id, key.stream, key.table) / _digest(key.partition)


def _dropped(key: StateKey, path: Path) -> ConcurrentRunError:
    return ConcurrentRunError(
        f"source {key.source_id!r}, stream {key.stream!r}, partition {key.partition!r}: rows that this run had "
        f"set aside in {path} are gone: another run of the same source has begun and dropped them. "
        "Nothing of this commit was kept. Let one run at a time use this source and destination"
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
