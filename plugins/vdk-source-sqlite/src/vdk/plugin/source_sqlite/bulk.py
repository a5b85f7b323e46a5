# SPDX-License-Identifier: Apache-2.0
"""Reading in bulk with ADBC's SQLite driver, in a process of its own; see ``bulk_process``."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import pysqlite

from vdk.plugin.datasource_base.parts import quoted
from vdk.plugin.datasource_sql import (
    MIN_BULK_ROWS,
    ONE,
    BulkPass,
    Expression,
    SqlSession,
    TableQuery,
    compile_statement,
    last_row_values,
)
from vdk.plugin.datasource_sql.kinds import MISFIT_ERRORS, Kind

from . import bulk_process
from .verified_page import ColumnProof, VerifiedPage

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""Processes that may be started for a table. Each ends at a page that cannot be proven, which is read row by row."""
PIPE_BYTES = 2**20


def bulk_reader(query: TableQuery, kinds: Mapping[str, Kind], uri: str, timeout: float) -> SqliteBulkReader | None:
    """A bulk reader of the query's table; None if the driver is not installed, or values cannot be proven."""
    table, names = query.plan.table, query.names
    if (
        not table.typed
        or query.deleted_index is not None
        or query.cursor_index >= len(names)
        or not set(names) <= set(kinds)
    ):
        return None
    if any(kinds[name].read is not None for name in names):
        return None
    if not sys.executable or find_spec("adbc_driver_sqlite") is None:
        return None
    return SqliteBulkReader(query, kinds, uri, timeout)


class SqliteBulkReader:
    """One process at a time, which reads the rest of a pass."""

    def __init__(self, query: TableQuery, kinds: Mapping[str, Kind], uri: str, timeout: float) -> None:
        self._query, self._kinds, self._uri, self._timeout = query, kinds, uri, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._attempts_left = ATTEMPTS

    @property
    def _columns(self) -> dict[str, ColumnProof]:
        """By the current kinds: one that waited may be resolved meanwhile."""
        kinds, declared = self._kinds, self._query.plan.table.columns
        return {name: ColumnProof(kinds[name], mixes=_mixes(kinds[name], declared[name])) for name in self._query.names}

    def should_use(self, session: SqlSession) -> bool:
        if self._process is None and self._attempts_left:
            is_large = bool(session.all(self._query.all_rows(ONE).limit(1).offset(MIN_BULK_ROWS)))
            self._attempts_left = self._attempts_left - 1 if is_large else 0
            if is_large:
                self._start()
        return self._process is not None

    def _start(self) -> None:
        # -P: nothing is imported from the working directory, as with an installed command.
        # A session of its own: Ctrl-C goes to the parent, which then ends this process.
        command = [sys.executable, "-P", "-m", bulk_process.__name__]
        with suppress(OSError):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            _widen(self._process.stdout)

    def pages(self, bulk_pass: BulkPass) -> Iterator[VerifiedPage | None]:
        process = self._process
        if process is None:
            return
        try:
            yield from self._pages(process, bulk_pass)
        except (OSError, pa.ArrowException, *MISFIT_ERRORS) as error:
            log.debug("%s is read row by row from here: %s", self._query.plan.name, error)
        finally:
            self.close()

    def _pages(self, process: subprocess.Popen[bytes], bulk_pass: BulkPass) -> Iterator[VerifiedPage | None]:
        assert process.stdin is not None
        assert process.stdout is not None
        columns = self._columns
        landing = pa.schema([pa.field(name, columns[name].kind.arrow) for name in self._query.plan.columns])
        process.stdin.write(pickle.dumps(self._request(bulk_pass)))
        process.stdin.close()
        while True:
            frame, size = bulk_process.HEADER.unpack(process.stdout.read(bulk_process.HEADER.size) or b"G" + bytes(8))
            data = process.stdout.read(size)
            if frame == b"E":
                yield None
                return
            if frame != b"P" or len(data) < size:
                reason = data.decode(errors="replace") if frame == b"G" and data else "it ended"
                log.debug("the reader of %s gave up: %s", self._query.plan.name, reason)
                return
            (batch,) = pa.ipc.open_stream(data).read_all().combine_chunks().to_batches()
            yield VerifiedPage(batch, list(columns.values()), self._query.cursor_index, landing)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()

    def _request(self, bulk_pass: BulkPass) -> dict[str, Any]:
        query = self._query
        columns = *query.selected, self._misfits(), self._integers(bulk_pass.window)
        statement = query.select(*columns).where(*bulk_pass.conditions, bulk_pass.next_page).order_by(*bulk_pass.order)
        compiled = compile_statement(statement, pysqlite.dialect())
        return {
            "uri": self._uri,
            "timeout": self._timeout,
            "sql": compiled.sql,
            "parameters": compiled.parameters(last_row_values(bulk_pass.start)),
            "last_row_columns": compiled.last_row_columns(),
            "limit": bulk_pass.limit,
        }

    def _misfits(self) -> Expression:
        """Whether a column that lands from text or bytes holds something else, which the driver would convert.

        Numbers sort below all text, and text below all blobs (https://www.sqlite.org/datatype3.html, section 4.1); the
        plus keeps the comparison from converting anything. ``typeof`` gives the same result in three times the time.
        """
        outside = []
        for name, column in self._columns.items():
            stored = f"+{quoted(name)}"
            if column.kind.waits:
                outside.append(f"{stored} IS NOT NULL")
            elif pa.types.is_binary(column.kind.arrow):
                outside.append(f"{stored} < x''")
            elif not _is_number(column.kind.arrow):
                outside.append(f"{stored} < '' OR {stored} >= x''")
        return sa.literal_column(" OR ".join(outside) or "0")

    def _integers(self, window: Any) -> Expression:
        mixed = [name for name, column in self._columns.items() if column.mixes]
        if window is None or not mixed:
            return sa.null()
        bits = " + ".join(f"((typeof({quoted(name)}) = 'integer') << {bit})" for bit, name in enumerate(mixed))
        return sa.case((self._query.cursor >= self._query.bound(window), sa.literal_column(bits)), else_=sa.null())


def _widen(pipe: Any) -> None:
    """Let the process go on while its page waits: by default 64 KiB do. More than Linux grants leaves it as it was."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _mixes(kind: Kind, declared: str) -> bool:
    """Whether integers and reals may be side by side: not where SQLite makes all numbers reals on their way out."""
    is_real = any(word in declared.upper() for word in ("REAL", "FLOA", "DOUB")) and "INT" not in declared.upper()
    return (pa.types.is_floating(kind.arrow) or pa.types.is_decimal(kind.arrow)) and not is_real


def _is_number(arrow: pa.DataType) -> bool:
    return any(
        is_type(arrow)
        for is_type in (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    )
