# SPDX-License-Identifier: Apache-2.0
"""The target ``parquet:///folder``: a folder for each table; one rename commits rows and states."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError
from vdk.plugin.datasource_base.parts import (
    EXPECTATIONS,
    RESERVED_PREFIX,
    ColumnChange,
    CommitUnit,
    Comparison,
    ComparisonSpec,
    Destination,
    Expectations,
    RunRecord,
    SchemaChange,
    StateKey,
    StoredState,
    TableBatch,
    TableOwner,
    TableSnapshot,
    TableSpec,
    WriteMode,
    judge,
)

from ..filesystem import disk_errors
from ..names import check_distinct, check_name, folder_name
from ..refused_undo import other_rows
from ..state_encoding import encode_state
from ..targets import TargetUrl, path_identity
from ..values import RefusedValueError, find_refused_rows
from .comparison import ParquetComparison
from .data_file import FileColumns, FileFormat, Rows, RowsInFile, RowsInMemory
from .facts import ParquetTableFacts
from .file_moves import Move
from .run_file import RunFile
from .staging import StagedFile, StagedFiles
from .storage_root import StorageRoot
from .table import LandingFile, TableFolder, changed_types, declared_columns, has_data, settle_columns, write_rows
from .types import TEXT, candidates, fallback_type, file_table

COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
FILE_ROWS = 5_000_000


class ParquetTarget(Destination):
    """A folder with a folder of Parquet files for each table.

    Options: ``schema`` (a folder within the folder, with states of its own), ``compression`` (default ``zstd``),
    ``file_rows`` (rows after which a new file begins), ``merge_files`` (so many small files are merged into one;
    default: never), ``lock_timeout`` (default 30s: how long to wait for another process that is committing).
    """

    write_modes = frozenset[WriteMode](("append", "replace"))
    deletes = False
    transactional = True
    groups = True
    keeps_records = True
    expectations = frozenset(EXPECTATIONS)
    options = ("schema", "compression", "file_rows", "merge_files", "lock_timeout")

    def __init__(self, target: str | None, *, folder: Path) -> None:
        super().__init__(target, folder=folder)
        url = TargetUrl.parse(target)
        url.check_options(self.options)
        self.path = _root_folder(url, folder)
        self._file_format = FileFormat(_compression(url), _number(url, "file_rows", FILE_ROWS, least=1))
        self._merge = _number(url, "merge_files", 0, least=0)
        self._storage = StorageRoot(self.path, lock_timeout=url.lock_timeout())
        self._staging = StagedFiles(self._storage.staged, self._file_format, landing=self._storage.landing)
        self._runs = RunFile(self._storage.control / "runs.json", self._storage.landing / "runs.json")
        self._positions: dict[str, int] = {}
        """Table → the position after this run's last commit."""
        self._rows_before: dict[str, int] = {}

    def identity(self) -> str:
        return f"arrow parquet:///{path_identity(self.path)}"

    def open(self) -> None:
        self._storage.open()

    def close(self) -> None:
        self._staging.close()
        self._storage.close()
        self._positions.clear()
        self._rows_before.clear()

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return [state for key, state in self._storage.commits().states.items() if key.source_id == source_id]

    def compare(self, spec: ComparisonSpec) -> Comparison:
        with self._storage.locked():
            table = TableFolder(self._storage, spec.table)
            columns = table.columns()
        if columns is None:
            raise DestinationError(f"{self.path}: table {spec.table!r} does not exist")
        return ParquetComparison(spec, columns, table)

    def load_owners(self) -> Sequence[TableOwner]:
        owners = self._storage.commits().owners
        return [TableOwner(table, key) for table, keys in owners.items() for key in sorted(keys, key=str)]

    def remove_owner(self, key: StateKey) -> None:
        with self._storage.locked() as log:
            self._storage.commit(log.without_owner(key), ())

    def record_runs(self, records: Sequence[RunRecord]) -> None:
        with self._storage.locked():
            self._runs.add(records)

    def load_records(self, source_ids: Sequence[str]) -> Sequence[RunRecord]:
        with disk_errors(self.path):
            return [record for record in self._runs.load() if record.source_id in source_ids]

    def check(self) -> None:
        """Create and remove what a commit creates."""
        with self._storage.locked():
            for folder in (self._storage.landing, self.path):
                trial = folder / f".{uuid.uuid4().hex}"
                trial.mkdir()
                trial.rmdir()

    def fold(self, name: str) -> str:
        try:
            return self._storage.fold(folder_name(name))
        except DestinationError:
            return name  # check_table refuses it

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

    def count_rows(self, name: str) -> int:
        if not self.has_table(name):
            return 0
        with disk_errors(self.path):
            return TableFolder(self._storage, name).count_rows()

    def columns(self, name: str) -> dict[str, str] | None:
        if not self.has_table(name):
            return None
        with disk_errors(self.path):
            types = TableFolder(self._storage, name).columns()
        return None if types is None else {column: str(type_) for column, type_ in types.items()}

    def column_types(self, spec: TableSpec) -> dict[str, str]:
        return {name: str(type_) for name, type_ in declared_columns(spec).items()}

    def column_changes(self, spec: TableSpec) -> list[ColumnChange]:
        existing: FileColumns = {}
        if self.has_table(spec.name):
            with disk_errors(self.path):
                existing = TableFolder(self._storage, spec.name).columns() or {}
        changes = []
        for name, type_ in declared_columns(spec).items():
            before = existing.get(name)
            after = type_ if before is None else next(iter(candidates(before, type_)), fallback_type(before, type_))
            if before != after:
                changes.append(ColumnChange(name, None if before is None else str(before), str(after)))
        return changes

    def first_values(self, table: str, column: str, count: int) -> list[object]:
        with disk_errors(self.path):
            return TableFolder(self._storage, table).first_values(column, count)

    def exists(self) -> bool:
        return self._storage.control.exists()

    def commit(self, unit: CommitUnit) -> int:
        return self._commit([unit], unit.batches)[0]

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        return self._commit(units, batches)

    def _commit(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        for unit in units:
            encode_state(unit)  # refused before anything is written
        incoming = _all_in_memory(batches)
        with self._storage.locked() as log:
            change, versions = log.compare_and_swap(units)
            staged = [file for unit in units for file in self._staging.finished(unit.key)]
            specs = {spec.name: spec for spec in (*(file.spec for file in staged), *(spec for spec, _ in incoming))}
            moves: list[Move] = []
            changes: list[SchemaChange] = []
            tables = [self._table(name) for name in specs]
            for table, spec in zip(tables, specs.values(), strict=True):
                files = [RowsInFile(file.path) for file in staged if file.spec.name == spec.name]
                rows = [rows for other, rows in incoming if other.name == spec.name]
                added, changed = self._append(table, spec, files, rows)
                moves += added
                changes += changed
            new = [RowsInFile(file.path) for file in staged if _is_judged(file.spec, units[-1].expect)]
            landing = [rows for spec, rows in incoming if _is_judged(spec, units[-1].expect)]
            self._judge(units[-1].expect, [*new, *landing], replaces=False)
            created = [table.name for table in tables if table.is_empty]
            change = log.change_owners(change, units[0].key, specs, alone=created)
            self._storage.commit(change, moves)
        self.schema_changes = changes
        self._positions.update({table.name: table.position for table in tables})
        for unit in units:
            self._staging.landed(unit.key)
        return versions

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        incoming = [(spec, rows) for spec, rows in _all_in_memory(batches) if rows.count or rows.types]
        self._storage.check_same()
        with disk_errors(self.path):
            self._staging.add(key, incoming, run_id)

    def discard(self, key: StateKey) -> None:
        with self._storage.locked():
            self._staging.discard(key)

    def has_staged(self, key: StateKey, run_id: str) -> bool:
        return self._staging.has(key, run_id)

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        for unit in snapshot.units:
            encode_state(unit)  # refused before anything is written
        with self._storage.locked() as log:
            change, versions = log.compare_and_swap(snapshot.units)
            staged: list[StagedFile] = []
            for unit in snapshot.units:
                self._staging.check_unpublished(unit.key)
                staged += self._staging.finished(unit.key)
            names = {table.name for table in snapshot.tables}
            if stray := sorted({file.spec.name for file in staged} - names):
                raise DestinationError(f"rows are staged for the tables {stray}, which are not among those to publish")
            moves: list[Move] = []
            changes: list[SchemaChange] = []
            tables = [TableFolder(self._storage, spec.name) for spec in snapshot.tables]
            for table, spec in zip(tables, snapshot.tables, strict=True):
                files = [RowsInFile(file.path) for file in staged if file.spec.name == spec.name]
                self._judge(snapshot.expect if _is_judged(spec, snapshot.expect) else None, files, replaces=True)
                added, changed = self._replace(table, spec, files)
                moves += added
                changes += changed
            change = log.change_owners(change, snapshot.owner, names, alone=names)
            self._storage.commit(change, moves)
        self.schema_changes = changes
        self._positions.update({table.name: table.position for table in tables})
        for unit in snapshot.units:
            self._staging.published(unit.key)
        return versions

    def check_expectations(self, expected: Expectations) -> None:
        with self._storage.locked():
            self._judge(expected, [], replaces=False)

    def _judge(self, expected: Expectations | None, incoming: Sequence[Rows], *, replaces: bool) -> None:
        """Raise ``ExpectationError`` unless the table meets the expectations with the incoming rows.

        :param replaces: the rows replace the table.
        """
        if expected is None:
            return
        table = TableFolder(self._storage, expected.table)
        before = self._rows_before.setdefault(expected.table, table.count_rows())
        columns = {
            **(table.columns() or {}),
            **{name: type_ for rows in incoming for name, type_ in rows.types.items()},
        }
        judge(
            expected,
            ParquetTableFacts(columns, lambda: [*(() if replaces else table.rows()), *incoming], before),
        )

    def undo(self, units: Sequence[CommitUnit], table: str, run_id: str, rows: int) -> None:
        with self._storage.locked() as log:
            change, _ = log.compare_and_swap(units)
            folder = TableFolder(self._storage, table)
            if (deleted := folder.count_where(f"{RESERVED_PREFIX}run_id", run_id)) != rows:
                raise other_rows(table, run_id, deleted, rows)
            moves = folder.without(f"{RESERVED_PREFIX}run_id", run_id, self._file_format) if rows else []
            rejected = TableFolder(self._storage, f"{table}__rejected")
            if rejected.count_where("run_id", run_id):
                moves += rejected.without("run_id", run_id, self._file_format)
            self._storage.commit(change, moves)
        self._positions.clear()

    def _table(self, name: str) -> TableFolder:
        """A table that rows are appended to.

        :raises DestinationError: it has lost files of this run.
        """
        table = TableFolder(self._storage, name)
        if table.position > self._positions.get(name, table.position):
            raise DestinationError(
                f"{table.path}: files of table {name!r} were deleted during the run, and this run's rows were in them; "
                "nothing of this commit was kept. To load the rows again, reset the stream's state "
                "(vdk datasource state reset FLOW --stream NAME), and run again"
            )
        return table

    def _append(
        self, table: TableFolder, spec: TableSpec, staged: Sequence[RowsInFile], rows: Sequence[RowsInMemory]
    ) -> tuple[list[Move], list[SchemaChange]]:
        """Moves that land rows in a table: one new file, unless rows are staged or a column changes its type."""
        if spec.write_mode == "replace":
            raise DestinationError(f"table {spec.name!r}: a replaced table is staged and published")
        if spec.write_mode == "upsert":
            raise DestinationError(
                f'table {spec.name!r}: a Parquet target cannot upsert rows: use write_mode = "append" or "replace"'
            )
        existing = table.columns() or {}
        declared = {name: type_ for name, type_ in declared_columns(spec).items() if name not in existing}
        columns = settle_columns(spec, {**existing, **declared}, [*staged, *rows], table.rows)
        columns = _columns_or_text(columns, [*staged, *rows])
        if not columns:
            return [], []
        landing = [self._conformed(file, columns) for file in staged]
        if any(part.count for part in rows):
            path = self._storage.landing / uuid.uuid4().hex
            write_rows(path, rows, columns, self._file_format)
            landing.append(LandingFile(path, columns))
        if not landing and columns == existing:
            return [], []
        merge = self._merge > 0 and table.has_small_files(self._merge)
        if merge or any(columns[name] != type_ for name, type_ in existing.items()):
            changes = changed_types(spec, existing, columns)
            return table.rebuilt(landing, columns, self._file_format, merge=merge), changes
        return table.appended(landing, columns, self._file_format), []

    def _replace(
        self, table: TableFolder, spec: TableSpec, staged: Sequence[RowsInFile]
    ) -> tuple[list[Move], list[SchemaChange]]:
        """Moves that put a snapshot in the place of a table. Known columns stay, also without a value this time."""
        existing = table.columns() or {}
        declared = declared_columns(spec)
        columns = settle_columns(spec, declared if spec.evolve or not existing else existing, staged)
        untyped = {field.name for field in spec.schema or () if field.name not in declared}
        known = declared | {
            name: type_
            for name, type_ in existing.items()
            if name in untyped or not (declared or name.startswith(RESERVED_PREFIX))
        }
        columns = {**columns, **{name: type_ for name, type_ in known.items() if name not in columns}}
        columns = _columns_or_text(columns, staged)
        if not columns:
            return [], []
        moves = table.replaced([self._conformed(file, columns) for file in staged], columns, self._file_format)
        return moves, changed_types(spec, existing, columns)

    def _conformed(self, rows: RowsInFile, columns: FileColumns) -> LandingFile:
        """A staged file as it can land: itself, or rewritten where a column has another type."""
        types = {name: columns[name] for name in rows.types} or columns
        if types == rows.types:
            return LandingFile(rows.path, types)
        path = self._storage.landing / uuid.uuid4().hex
        write_rows(path, [rows], types, self._file_format)
        return LandingFile(path, types)


def _is_judged(spec: TableSpec, expected: Expectations | None) -> bool:
    return expected is not None and spec.name == expected.table


def _all_in_memory(batches: Sequence[TableBatch]) -> list[tuple[TableSpec, RowsInMemory]]:
    """Raises ``RefusedRowsError`` where some rows have values that files do not store."""
    try:
        return [(batch.table, _in_memory(batch)) for batch in batches]
    except RefusedValueError as error:
        raise find_refused_rows(batches, _in_memory, error) from error.__cause__


def _in_memory(batch: TableBatch) -> RowsInMemory:
    if batch.kind != "rows":
        raise DestinationError(
            f"table {batch.table.name!r}: a Parquet target cannot delete rows by key: append the deletes, or use "
            'write_mode = "replace"'
        )
    if batch.data.num_rows and not batch.data.num_columns:
        raise DestinationError(f"table {batch.table.name!r}: rows without any column cannot land")
    check_distinct(batch.data.schema.names, batch.table.name)
    return RowsInMemory(file_table(batch.data, batch.table.name))


def _columns_or_text(columns: FileColumns, rows: Sequence[Rows]) -> FileColumns:
    """Rows without any value are rows too, and a table needs a column."""
    return columns or dict.fromkeys((name for part in rows if part.count != 0 for name in part.untyped), TEXT)


def _root_folder(url: TargetUrl, folder: Path) -> Path:
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
        raise ConfigurationError(f"the target's option 'schema' is not a folder name: {error}") from None


def _compression(url: TargetUrl) -> str:
    compression = url.options.get("compression", COMPRESSIONS[0]).lower()
    if compression not in COMPRESSIONS:
        raise ConfigurationError(
            f"the target's option 'compression' is {compression!r}, and must be one of {', '.join(COMPRESSIONS)}"
        )
    return compression


def _number(url: TargetUrl, option: str, default: int, *, least: int) -> int:
    text = url.options.get(option, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ConfigurationError(
            f"the target's option {option!r} is {text!r}, and must be a whole number of at least {least}"
        )
    return int(text)
