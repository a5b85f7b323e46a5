"""The destination ``arrow``: one method, and a target for each kind of URL."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import (
    CommitUnit,
    Destination,
    StateKey,
    StoredState,
    TableBatch,
    TableSnapshot,
    TableSpec,
)

from .url import TargetUrl

_HERE = "vdk.plugin.ingest_arrow"
TARGETS = {
    "duckdb": f"{_HERE}.duckdb.target:DuckDBTarget",
    "parquet": f"{_HERE}.parquet.target:ParquetTarget",
    "postgres": f"{_HERE}.postgresql.target:PostgresqlTarget",
    "postgresql": f"{_HERE}.postgresql.target:PostgresqlTarget",
    "sqlite": f"{_HERE}.sqlite.target:SqliteTarget",
}
"""URL scheme → the target's class, imported when a flow names it: each brings its own client library."""

EXTRAS = {"adbc_driver_postgresql": "postgresql", "adbc_driver_manager": "postgresql"}
"""The package that a target may lack → the extra of this distribution that brings it."""


class ArrowDestination(Destination):
    """Lands Arrow tables in the database that the target's URL names.

    ``duckdb:///lake.duckdb`` is a file relative to ``folder``, ``duckdb:////data/lake.duckdb`` an absolute one, and
    ``parquet:///lake`` a folder. Rows and state commit together: each row lands exactly once, whenever the run is
    killed.
    """

    def __init__(self, target: str | None, *, folder: Path) -> None:
        super().__init__(target, folder=folder)
        scheme = TargetUrl.parse(target).scheme
        if scheme not in TARGETS:
            known = ", ".join(f"{name}://" for name in sorted(TARGETS))
            raise ConfigurationError(f"the method 'arrow' has no target for {scheme}:// URLs; there are {known}")
        self._target = _target_class(scheme)(target, folder=folder)
        self.write_modes = self._target.write_modes
        self.deletes = self._target.deletes
        self.transactional = self._target.transactional
        self.groups = self._target.groups

    def identity(self) -> str:
        return self._target.identity()

    def open(self) -> None:
        self._target.open()

    def close(self) -> None:
        self._target.close()

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return self._target.load_states(source_id)

    def check(self) -> None:
        self._target.check()

    def fold(self, name: str) -> str:
        return self._target.fold(name)

    def check_table(self, spec: TableSpec) -> None:
        self._target.check_table(spec)

    def has_table(self, name: str) -> bool | None:
        return self._target.has_table(name)

    def commit(self, unit: CommitUnit) -> int:
        version = self._target.commit(unit)
        self.rows_swept, self.schema_changes = self._target.rows_swept, self._target.schema_changes
        return version

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        return self._target.commit_group(units, batches)

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        self._target.stage(key, batches, run_id)

    def discard(self, key: StateKey) -> None:
        self._target.discard(key)

    def has_staged(self, key: StateKey, run_id: str) -> bool | None:
        return self._target.has_staged(key, run_id)

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        versions = self._target.publish(snapshot)
        self.schema_changes = self._target.schema_changes
        return versions


def _target_class(scheme: str) -> type[Destination]:
    module, _, name = TARGETS[scheme].partition(":")
    try:
        target_class: type[Destination] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        extra = EXTRAS[missing]
        raise ConfigurationError(
            f"a target {scheme}://… needs the package {missing.replace('_', '-')}, which is not installed: "
            f"pip install 'vdk-ingest-arrow[{extra}]'"
        ) from error
    return target_class
