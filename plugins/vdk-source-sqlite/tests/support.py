"""What the tests share: a source on a database, and the smallest destination there is."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    DataSourcePayload,
    DataSourceState,
    RejectedRows,
    decode_config,
)
from vdk.plugin.datasource_sql import SqlStream
from vdk.plugin.source_sqlite import bulk, bulk_process
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)


def execute(database: Path, *statements: str | tuple[str, Any]) -> None:
    """Run and commit statements; a tuple has parameters, or a list of them."""
    with closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            if isinstance(statement, str):
                connection.execute(statement)
            elif isinstance(statement[1], list):
                connection.executemany(*statement)
            else:
                connection.execute(*statement)
        connection.commit()


def rows_of(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def source_of(database: Path, state: Mapping[str, Any] | None = None, **config: Any) -> SqliteSource:
    source = SqliteSource(decode_config({"database": str(database), **config}, SqliteConfig, location="config"))
    source.connect(DataSourceState(state))
    return source


def stream_of(
    database: Path, name: str = "t", *, options: dict[str, Any] | None = None, now: dt.datetime = NOW, **config: Any
) -> SqlStream:
    """One stream; ``options`` are the table's own."""
    if options is not None:
        config["tables"] = {name: options}
    stream = next(one for one in source_of(database, **config).streams() if one.name == name)
    stream.now = lambda: now
    return stream


class Landed:
    """Rows in the order they came, deleted keys, the rejected, counters, and the state behind them all."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.rejected: list[Any] = []
        self.counters: dict[str, int] = {}
        self.state: dict[str, Any] = dict(state or {})
        self.states = 0
        self.payloads = 0

    def take(self, payload: DataSourcePayload) -> None:
        self.payloads += 1
        data = payload.data
        if isinstance(data, RejectedRows):
            self.rejected += data.rows
        elif isinstance(data, pa.Table):
            rows = data.to_pylist()
            self.events += [(payload.kind, row) for row in rows]
            if payload.kind == "rows":
                self.rows += rows
        else:
            assert data is None
        for name, count in payload.metadata.items():
            name = name.removeprefix(COUNTER_PREFIX)
            # type ignored: counters are numbers
            self.counters[name] = self.counters.get(name, 0) + int(count)  # type: ignore[arg-type]
        if payload.state is not None:
            self.states += 1
            self.state = json.loads(json.dumps(payload.state))

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    def upserted(self, *key: str) -> dict[Any, dict[str, Any]]:
        """What a table with this primary key holds in the end."""
        table: dict[Any, dict[str, Any]] = {}
        for kind, row in self.events:
            identity = tuple(row[name] for name in key)
            if kind == "rows":
                table[identity] = row
            else:
                table.pop(identity, None)
        return table


def run(stream: SqlStream, state: Mapping[str, Any] | None = None) -> Landed:
    """One whole run."""
    landed = Landed(state)
    for payload in stream.read(landed.state):
        landed.take(payload)
    return landed


def interrupted(stream: SqlStream, after: int, state: Mapping[str, Any] | None = None) -> Landed:
    """A run that dies behind ``after`` payloads; rows that no state covers are lost, as in a destination."""
    landed, pending = Landed(state), []
    reading = stream.read(landed.state)
    for _, payload in zip(range(after), reading, strict=False):
        pending.append(payload)
        if payload.state is not None:
            for one in pending:
                landed.take(one)
            pending = []
    reading.close()  # type: ignore[attr-defined]  # a generator
    return landed


class ReaderInThread:
    """Stands in for the process that reads in bulk, and runs the same code: a process for each of thousands of small
    tables would take minutes."""

    def __init__(self) -> None:
        (asked, ask), (read, answer) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(ask, "wb"), os.fdopen(read, "rb")
        self._thread = threading.Thread(target=self._run, args=(os.fdopen(asked, "rb"), os.fdopen(answer, "wb")))
        self._thread.start()

    def _run(self, asked: BinaryIO, answer: BinaryIO) -> None:
        with asked, suppress(BrokenPipeError), closing(answer), suppress(EOFError):
            bulk_process.serve(asked, answer)

    def kill(self) -> None:
        self.stdin.close()
        self.stdout.close()

    def wait(self) -> None:
        self._thread.join()


def in_bulk(patch: pytest.MonkeyPatch) -> None:
    """Read even the smallest table in bulk from its second page on, in this process."""
    patch.setattr(bulk, "MIN_BULK_ROWS", 0)
    patch.setattr(bulk.SqliteBulkReader, "_start", lambda self: setattr(self, "_process", ReaderInThread()))


def payloads(stream: SqlStream, state: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
    return stream.read(dict(state or {}))
