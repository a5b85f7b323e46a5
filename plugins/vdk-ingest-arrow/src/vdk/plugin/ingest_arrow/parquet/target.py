"""The target ``parquet:///folder``: a folder for each table, rows and states committed by one rename."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError
from vdk.plugin.datasource_base.parts import (
    RESERVED_PREFIX,
    CommitUnit,
    Destination,
    SchemaChange,
    StateKey,
    StoredState,
    TableBatch,
    TableSnapshot,
    TableSpec,
    WriteMode,
)

from ..refused_rows import refusal
from ..sql.names import check_distinct, check_name
from ..url import TargetUrl, file_identity
from ..values import UnfitValueError
from .columns import changed_types, declared_columns, settled
from .commit_log import check_state
from .data_file import Columns, Format, Rows, RowsInFile, RowsInMemory
from .file_moves import Move, disk_errors
from .staging import StagedFile, Staging
from .storage_root import Lake, folder_name
from .table import LandingFile, TableFolder, has_data, write_rows
from .types import TEXT, stored_table

OPTIONS = ("schema", "compression", "file_rows", "merge_files", "lock_timeout")
COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
FILE_ROWS = 5_000_000


class ParquetTarget(Destination):
    """A folder with a folder of Parquet files for each table.

    Options: ``schema`` (a folder within the folder, with states of its own), ``compression`` (default ``zstd``),
    ``file_rows`` (rows that end a file), ``merge_files`` (so many small files are merged into one; default: never),
    ``lock_timeout`` (default 30s: how long to wait for another process that is committing).
    """

    write_modes = frozenset[WriteMode](("append", "replace"))
    deletes = False
    transactional = True
    groups = True

    def __init__(self, target: str | None, *, folder: Path) -> None:
        super().__init__(target, folder=folder)
        url = TargetUrl.parse(target)
        url.option_names_within(OPTIONS)
        self.path = _folder(url, folder)
        self._form = Format(_compression(url), _number(url, "file_rows", FILE_ROWS, least=1))
        self._merge = _number(url, "merge_files", 0, least=0)
        self._lake = Lake(self.path, lock_timeout=url.lock_timeout())
        self._staging = Staging(self._lake.staged, self._form, landing=self._lake.landing)
        self._positions: dict[str, int] = {}
        """Where this run's commits have left each table."""

    def identity(self) -> str:
        return f"arrow parquet:///{file_identity(self.path)}"

    def open(self) -> None:
        self._lake.open()

    def close(self) -> None:
        self._staging.close()
        self._lake.close()
        self._positions.clear()

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return [state for key, state in self._lake.record().states.items() if key.source_id == source_id]

    def check(self) -> None:
        """Make and remove what a commit makes."""
        with self._lake.locked():
            for folder in (self._lake.landing, self.path):
                trial = folder / f".{uuid.uuid4().hex}"
                trial.mkdir()
                trial.rmdir()

    def fold(self, name: str) -> str:
        try:
            return self._lake.fold(folder_name(name))
        except DestinationError:
            return name  # the table is refused by its name

    def check_table(self, spec: TableSpec) -> None:
        folder_name(spec.name)
        names = spec.schema.names if spec.schema is not None else []
        for name in names:
            check_name(name, f"table {spec.name!r}: a column named")
        check_distinct(names, spec.name)

    def has_table(self, name: str) -> bool:
        try:
            folder_name(name)
        except DestinationError:
            return False
        with disk_errors(self.path):
            return has_data(self.path / folder_name(name))

    def commit(self, unit: CommitUnit) -> int:
        return self._commit([unit], unit.batches)[0]

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        return self._commit(units, batches)

    def _commit(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        for unit in units:
            check_state(unit)
        rows = _all_in_memory(batches)
        with self._lake.locked() as record:
            change, versions = record.swapped(units)
            staged = [one for unit in units for one in self._staging.finished(unit.key)]
            specs = {spec.name: spec for spec in (*(one.spec for one in staged), *(spec for spec, _ in rows))}
            moves: list[Move] = []
            changes = []
            tables = [self._table(name) for name in specs]
            for table, spec in zip(tables, specs.values(), strict=True):
                mine = [RowsInFile(one.path) for one in staged if one.spec.name == spec.name]
                added, changed = self._append(table, spec, mine, [data for its, data in rows if its.name == spec.name])
                moves += added
                changes += changed
            self._lake.commit(change, moves)
        self.schema_changes = changes
        self._positions.update({table.name: table.position for table in tables})
        for unit in units:
            self._staging.landed(unit.key)
        return versions

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        incoming = [(spec, rows) for spec, rows in _all_in_memory(batches) if rows.count or rows.types]
        self._lake.check_place()
        with disk_errors(self.path):
            self._staging.add(key, incoming, run_id)

    def discard(self, key: StateKey) -> None:
        with self._lake.locked():
            self._staging.discard(key)

    def has_staged(self, key: StateKey, run_id: str) -> bool:
        return self._staging.has(key, run_id)

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        for unit in snapshot.units:
            check_state(unit)
        with self._lake.locked() as record:
            change, versions = record.swapped(snapshot.units)
            staged: list[StagedFile] = []
            for unit in snapshot.units:
                self._staging.expect_unpublished(unit.key)
                staged += self._staging.finished(unit.key)
            names = {table.name for table in snapshot.tables}
            if stray := sorted({one.spec.name for one in staged} - names):
                raise DestinationError(f"rows are staged for the tables {stray}, which are not among those to publish")
            moves: list[Move] = []
            changes = []
            tables = [TableFolder(self._lake, spec.name) for spec in snapshot.tables]
            for table, spec in zip(tables, snapshot.tables, strict=True):
                mine = [RowsInFile(one.path) for one in staged if one.spec.name == spec.name]
                added, changed = self._replace(table, spec, mine)
                moves += added
                changes += changed
            self._lake.commit(change, moves)
        self.schema_changes = changes
        self._positions.update({table.name: table.position for table in tables})
        for unit in snapshot.units:
            self._staging.published(unit.key)
        return versions

    def _table(self, name: str) -> TableFolder:
        """A table that rows are appended to.

        :raises DestinationError: it has lost what this run has landed there.
        """
        table = TableFolder(self._lake, name)
        if table.position > self._positions.get(name, table.position):
            raise DestinationError(
                f"{table.path}: the files of table {name!r} were deleted while the run was at work; this run's rows "
                "are gone with them, and nothing of this commit was kept. To load them again, reset the stream's state "
                "(vdk datasource state reset FLOW --stream NAME), and run again"
            )
        return table

    def _append(
        self, table: TableFolder, spec: TableSpec, staged: Sequence[RowsInFile], rows: Sequence[RowsInMemory]
    ) -> tuple[list[Move], list[SchemaChange]]:
        """What lands rows in a table: one new file, unless rows were staged or another type came."""
        if spec.write_mode == "replace":
            raise DestinationError(f"table {spec.name!r}: a replaced table is staged and published")
        if spec.write_mode == "upsert":
            raise DestinationError(f"table {spec.name!r}: rows are only appended here, not upserted")
        there = table.columns() or {}
        declared = {name: type_ for name, type_ in declared_columns(spec).items() if name not in there}
        columns = _columns_or_text(settled(spec, {**there, **declared}, [*staged, *rows], table.rows), [*staged, *rows])
        if not columns:
            return [], []
        landing = [self._conformed(one, columns) for one in staged]
        if any(row.count for row in rows):
            path = self._lake.landing / uuid.uuid4().hex
            write_rows(path, rows, columns, self._form)
            landing.append(LandingFile(path, columns))
        if not landing and columns == there:
            return [], []
        merge = self._merge > 0 and table.has_small_files(self._merge)
        if merge or any(columns[name] != type_ for name, type_ in there.items()):
            changes = changed_types(spec, there, columns)
            return table.rebuilt(landing, columns, self._form, merge=merge), changes
        return table.appended(landing, columns, self._form), []

    def _replace(
        self, table: TableFolder, spec: TableSpec, staged: Sequence[RowsInFile]
    ) -> tuple[list[Move], list[SchemaChange]]:
        """What puts a snapshot in the place of a table. Columns it has no value for stay, if they are known."""
        there = table.columns() or {}
        declared = declared_columns(spec)
        columns = settled(spec, declared if spec.evolve or not there else there, staged)
        waiting = {field.name for field in spec.schema or () if field.name not in declared}
        known = declared | {
            name: type_
            for name, type_ in there.items()
            if name in waiting or not (declared or name.startswith(RESERVED_PREFIX))
        }
        columns = {**columns, **{name: type_ for name, type_ in known.items() if name not in columns}}
        columns = _columns_or_text(columns, staged)
        if not columns:
            return [], []
        moves = table.replaced([self._conformed(one, columns) for one in staged], columns, self._form)
        return moves, changed_types(spec, there, columns)

    def _conformed(self, rows: RowsInFile, columns: Columns) -> LandingFile:
        """A staged file as it can land: as it is, or written anew where a column has another type."""
        wanted = {name: columns[name] for name in rows.types} or columns
        if wanted == rows.types:
            return LandingFile(rows.path, wanted)
        path = self._lake.landing / uuid.uuid4().hex
        write_rows(path, [rows], wanted, self._form)
        return LandingFile(path, wanted)


def _all_in_memory(batches: Sequence[TableBatch]) -> list[tuple[TableSpec, RowsInMemory]]:
    """Raises ``RefusedRowsError`` where some of them have values that files do not keep."""
    try:
        return [(batch.table, _in_memory(batch)) for batch in batches]
    except UnfitValueError as error:
        raise refusal(batches, _in_memory, error) from error.__cause__


def _in_memory(one: TableBatch) -> RowsInMemory:
    _check_rows(one)
    return RowsInMemory(stored_table(one.data, one.table.name))


def _columns_or_text(columns: Columns, rows: Sequence[Rows]) -> Columns:
    """Rows whose every value is missing are rows all the same, and a table needs a column."""
    return columns or dict.fromkeys((name for row in rows if row.count != 0 for name in row.waiting), TEXT)


def _check_rows(one: TableBatch) -> None:
    if one.kind != "rows":
        raise DestinationError(
            f"table {one.table.name!r}: rows in files cannot be deleted by key: append the deletes, or replace it"
        )
    if one.data.num_rows and not one.data.num_columns:
        raise DestinationError(f"table {one.table.name!r}: rows without any column cannot land")
    check_distinct(one.data.schema.names, one.table.name)


def _folder(url: TargetUrl, folder: Path) -> Path:
    path = unquote(url.rest.removeprefix("/"))
    if not url.rest.startswith("/") or not path or "\0" in path:
        raise ConfigurationError(
            "the target's folder needs three slashes before it ('parquet:///lake'), or four if it is absolute"
        )
    root = Path.cwd() / folder / path
    if "schema" not in url.options:
        return root
    try:
        return root / folder_name(url.options["schema"])
    except DestinationError as error:
        raise ConfigurationError(f"the target's option 'schema' names no folder: {error}") from None


def _compression(url: TargetUrl) -> str:
    said = url.options.get("compression", COMPRESSIONS[0]).lower()
    if said not in COMPRESSIONS:
        raise ConfigurationError(f"the target's option 'compression' is {said!r}, and can be {', '.join(COMPRESSIONS)}")
    return said


def _number(url: TargetUrl, option: str, default: int, *, least: int) -> int:
    said = url.options.get(option, str(default))
    if not said.isascii() or not said.isdigit() or int(said) < least:
        raise ConfigurationError(f"the target's option {option!r} is {said!r}, and must be a number, at least {least}")
    return int(said)
