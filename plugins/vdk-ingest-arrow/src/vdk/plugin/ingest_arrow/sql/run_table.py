# SPDX-License-Identifier: Apache-2.0
"""The table of runs: a row per run and stream, updated in the transaction of the rows that it counts."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vdk.plugin.datasource_base.contract import ConnectionFailedError
from vdk.plugin.datasource_base.parts import KEPT_RECORDS, KEPT_RUNS, RECORD_FIELDS, RECORD_KEY, RunRecord

from ..names import RUN_TABLE
from .database import Database
from .framework_table import FrameworkTable
from .types import Columns

log = logging.getLogger(__name__)

_TIMES = ("started_at", "ended_at")
_COUNTS = ("rows_read", "rows_landed", "rows_dropped", "rows_rejected", "rows_deleted", "bytes", "retries")
_ADDED = ("verification",)
"""Columns of text that tables of earlier releases lack; they are NULL in earlier rows."""
_STREAM = RECORD_KEY[:-1]
"""A run and a stream, whose record may be there with the time that it began at."""
_INSERTED_TOGETHER = 100
_CHANGED = tuple(name for name in RECORD_FIELDS if name not in (*RECORD_KEY, "state_before"))
"""What the update of a row changes."""


class NotRecorded(Exception):
    """The record could not be stored, so the transaction is repeated without it. Its cause is the driver's error."""


class RunTable:
    """The table ``_vdk_datasource_runs``. What fails here ends the recording, and never the run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = FrameworkTable(database, RUN_TABLE, stamp="updated_at", times=_TIMES)
        self._prepared = False
        self._failed = False

    def reset(self) -> None:
        """The connection is closed: another run may find another table."""
        self._prepared = self._failed = False

    def prepare(self) -> bool:
        """Create the table where it is missing, in a transaction of its own. Returns whether records can be stored."""
        if not self._prepared and not self._failed:
            try:
                self._database.transaction(self._create)
                self._prepared = True
            except Exception as error:
                self._give_up(error)
        return not self._failed

    def _create(self) -> None:
        existing = self._table.columns()
        if existing is not None:
            missing = [name for name in RECORD_FIELDS if name not in existing]
            if unknown := [name for name in missing if name not in _ADDED]:
                raise ValueError(f"its columns {unknown} are missing, so another version created it")
            self._database.add_columns(RUN_TABLE, dict.fromkeys(missing, self._database.types.text))
            return
        self._database.create_schema()
        self._database.lock_table(RUN_TABLE)
        types = self._database.types
        columns: Columns = dict.fromkeys(RECORD_FIELDS, types.text)
        columns |= dict.fromkeys(_COUNTS, types.bigint) | dict.fromkeys(_TIMES, types.timestamp_tz)
        self._table.create(columns, primary_key=RECORD_KEY, nullable=("ended_at",))

    def attempt(self, work: Callable[[], Any]) -> None:
        """Do work on the table within the transaction of rows.

        :raises NotRecorded: it failed, and the transaction with it. An unreachable or busy database is not that.
        """
        try:
            work()
        except self._database.driver_error as error:
            if isinstance(self._database.translated(error), ConnectionFailedError):
                raise
            raise NotRecorded from error

    def store(self, record: RunRecord, rows_swept: int = 0) -> None:
        """Update the row of the record, or insert it. Called within a transaction, by ``attempt``."""
        record = replace(record, rows_deleted=record.rows_deleted + rows_swept)
        values = {name: _value(record, name) for name in RECORD_FIELDS}
        changes, criteria = ({name: values[name] for name in names} for names in (_CHANGED, RECORD_KEY))
        if not self._table.update(changes, criteria):
            self._table.insert(RECORD_FIELDS, [tuple(values.values())])

    def store_ended(self, records: Sequence[RunRecord]) -> None:
        """Store the records of streams that have ended, and delete old ones, in a transaction of its own."""
        if self.prepare():
            try:
                self._database.transaction(partial(self._store_all, records))
            except Exception as error:
                self._give_up(error)

    def _store_all(self, records: Sequence[RunRecord]) -> None:
        runs = sorted({record.run_id for record in records})
        stored = {tuple(row) for row in self._table.select(_STREAM, {"run_id": runs})} if runs else set()
        new = []
        for record in records:
            if tuple(getattr(record, name) for name in _STREAM) in stored:
                self.store(record)
            else:
                new.append([_value(record, name) for name in RECORD_FIELDS])
        for first in range(0, len(new), _INSERTED_TOGETHER):
            self._table.insert(RECORD_FIELDS, new[first : first + _INSERTED_TOGETHER])
        key = ", ".join(RECORD_KEY)
        self._database.execute(
            f"DELETE FROM {self._qualified} WHERE ({key}) IN (SELECT {key} FROM (SELECT {key}, "
            "ROW_NUMBER() OVER (PARTITION BY source_id, stream, destination_table ORDER BY started_at DESC) AS age, "
            f"ROW_NUMBER() OVER (ORDER BY started_at DESC) AS place FROM {self._qualified}) AS numbered "
            f"WHERE age > {KEPT_RUNS} OR place > {KEPT_RECORDS})"
        )

    def load(self, source_ids: Sequence[str]) -> list[RunRecord]:
        """The records of these sources' streams, newest first."""
        existing = self._table.columns()
        if not source_ids or existing is None:
            return []
        selected = [self._selected(name, existing) for name in RECORD_FIELDS]
        rows = self._table.select(selected, {"source_id": list(source_ids)}, order=("started_at DESC",))
        return [_record(dict(zip(RECORD_FIELDS, row, strict=True))) for row in rows]

    def _selected(self, name: str, existing: Columns) -> str:
        if name not in existing:
            return "NULL"
        return self._database.epoch(name) if name in _TIMES else name

    def give_up(self, error: NotRecorded) -> None:
        """Store no further record: the rows must land."""
        self._give_up(error.__cause__ or error)

    def _give_up(self, error: BaseException) -> None:
        self._failed = True
        if isinstance(error, self._database.driver_error):
            error = self._database.translated(error)
        log.warning(
            "%s, table %s: this run is not recorded, while its rows land as usual: %s",
            self._database.location, RUN_TABLE, error,
        )  # fmt: skip

    @property
    def _qualified(self) -> str:
        return self._database.qualified(RUN_TABLE)


def _value(record: RunRecord, name: str) -> object:
    value = getattr(record, name)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(sep=" ", timespec="microseconds")
    # no database stores a NUL character, nor half of a surrogate pair
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0") if isinstance(value, str) else value


def _record(values: dict[str, Any]) -> RunRecord:
    # in milliseconds, which is what SQLite calculates with
    seconds = {name: round(float(values[name]), 3) for name in _TIMES if values[name] is not None}
    times = {name: dt.datetime.fromtimestamp(second, dt.UTC) for name, second in seconds.items()}
    counts = {name: int(values[name]) for name in _COUNTS}
    added = {name: values[name] or "" for name in _ADDED}
    return RunRecord(**{**values, **counts, **times, **added})
