# SPDX-License-Identifier: Apache-2.0
"""A connection of ADBC's PostgreSQL driver, which reads results as Arrow by binary ``COPY``.

The driver is trusted as far as it proves itself: each connection reads values of every type that is taken from it as
it is, and is refused if one of them arrives as anything else than today. What PostgreSQL stores beyond the years of
Arrow's types arrives far outside of the years 1 to 9999, where it is noticed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import psycopg
import pyarrow as pa

from vdk.plugin.datasource_base.contract import Secret
from vdk.plugin.datasource_base.parts import one_line, pc

SPAN_BYTES = 64 * 2**20
"""What one statement reads, about: it is fetched whole before the destination is waited for, since a ``COPY`` whose
reader waits is cancelled at ``statement_timeout``."""
_BATCH_BYTES = 8 * 2**20
"""Of a batch that is used before the next one arrives. What is fetched whole is one batch: its pages need no copy."""
_MOST = 4 * SPAN_BYTES

_UTC = pa.timestamp("us", "UTC")
NATIVE: dict[str, pa.DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "character varying": pa.string(),
    "character": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": _UTC,
    "time without time zone": pa.time64("us"),
}
"""Types that the driver reads exactly. All others are read as the text that PostgreSQL writes."""
_DAY = 86_400_000_000
_FIRST, _LAST = (dt.date(1, 1, 1) - dt.date(1970, 1, 1)).days, (dt.date(9999, 12, 31) - dt.date(1970, 1, 1)).days
_PROOF = """SELECT * FROM (VALUES
    (int2 '-32768', int4 '-2147483648', int8 '-9223372036854775808', float4 '0.1', float8 '0.1', true, text 'ö%',
     varchar 'ö', bpchar 'a ', bytea '\\x00ff', date '0001-01-01', timestamp '0001-01-01 00:00:00',
     timestamptz '9999-12-31 23:59:59.999999+00', time '23:59:59.999999'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, date 'infinity', timestamp 'infinity',
     timestamptz 'infinity', time '24:00'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, date '-infinity', timestamp '-infinity',
     timestamptz '-infinity', NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, date '5874897-12-31',
     timestamp '294276-12-31 23:59:59.999999', timestamptz '294276-12-31 23:59:59.999999+00', NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, date '4713-01-01 BC', timestamp '4713-01-01 BC',
     timestamptz '4713-01-01 00:00+00 BC', NULL)) AS v"""
_PROVEN = (
    *(-(2**15), -(2**31), -(2**63), pa.scalar(0.1, pa.float32()).as_py(), 0.1, True, "ö%", "ö", "a ", b"\x00\xff"),
    *(dt.date(1, 1, 1), dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC)),
    dt.time(23, 59, 59, 999999),
)


class UnprovenError(Exception):
    """The driver reads a value as another one than it did when this module was written."""


class SpanTooLargeError(Exception):
    """A statement returned several times what was expected. The connection is closed."""


def is_installed() -> bool:
    return find_spec("adbc_driver_postgresql") is not None


def failures() -> tuple[type[Exception], ...]:
    """What connecting and reading may raise."""
    import adbc_driver_manager

    return (adbc_driver_manager.Error, pa.ArrowException, OSError, UnprovenError, ImportError)


def as_driver_error(error: Exception) -> psycopg.Error:
    """An error of this driver as psycopg's of the same SQLSTATE."""
    text, state = one_line(str(error)), getattr(error, "sqlstate", None)
    try:
        return psycopg.errors.lookup(state)(text) if state else psycopg.OperationalError(text)
    except KeyError:
        return psycopg.DatabaseError(text)


class AdbcConnection:
    """One connection, used by one thread at a time.

    :param settings: of the session.
    :raises Exception: one of ``failures``.
    """

    def __init__(self, conninfo: Secret, settings: dict[str, str]) -> None:
        # Not the DB-API: it imports polars, where that is installed, and prepares each statement once more. Its reader,
        # which has no public name, is the only one whose errors have their SQLSTATE.
        import adbc_driver_manager
        import adbc_driver_postgresql
        from adbc_driver_manager._reader import AdbcRecordBatchReader

        self._reader = AdbcRecordBatchReader._import_from_c
        self._batch_size = adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value
        self._opened: list[Any] = [adbc_driver_postgresql.connect(conninfo.reveal())]
        try:
            self._opened.append(adbc_driver_manager.AdbcConnection(self._opened[-1]))
            self._opened.append(adbc_driver_manager.AdbcStatement(self._opened[-1]))
            self._statement = self._opened[-1]
            values = {**settings, "standard_conforming_strings": "on"}
            self.fetch(
                "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in values.items())
            )
            _check(self.fetch(_PROOF))
        except BaseException:
            self.close()
            raise

    def execute(self, sql: str) -> None:
        self._statement.set_sql_query(sql)
        self._statement.execute_update()

    def fetch(self, sql: str) -> pa.Table:
        """All rows of a query. Raises ``SpanTooLargeError``."""
        batches, size = [], 0
        for batch in self.stream(sql, SPAN_BYTES):
            batches.append(batch)
            size += batch.nbytes
            if size > _MOST:
                self.close()
                raise SpanTooLargeError(f"{size} bytes")
        return pa.concat_tables(batches)

    def stream(self, sql: str, batch_bytes: int | None = None) -> Iterator[pa.Table]:
        """The rows of a query as they arrive, at least one table."""
        self._statement.set_options(**{self._batch_size: str(batch_bytes or _BATCH_BYTES)})
        self._statement.set_sql_query(sql)
        stream, _ = self._statement.execute_query()
        reader = self._reader(stream.address)
        try:
            yield reader.schema.empty_table()
            for batch in reader:
                yield pa.Table.from_batches([batch])
        finally:
            reader.close()

    def close(self) -> None:
        """Idempotent."""
        while self._opened:
            self._opened.pop().close()


def is_in_range(values: pa.ChunkedArray) -> bool:
    """Whether all times are such that Arrow has them too: from the year 1 to 9999, and below 24:00."""
    if pa.types.is_date(values.type):
        stored, first, last = pa.int32(), _FIRST, _LAST
    elif pa.types.is_timestamp(values.type):
        stored, first, last = pa.int64(), _FIRST * _DAY, (_LAST + 1) * _DAY - 1
    elif pa.types.is_time(values.type):
        stored, first, last = pa.int64(), 0, _DAY - 1
    else:
        return True
    bounds = [pc.min_max(chunk.view(stored)).as_py() for chunk in values.chunks if chunk.null_count < len(chunk)]
    return all(first <= bound["min"] and bound["max"] <= last for bound in bounds)


def _check(table: pa.Table) -> None:
    types = tuple(table.schema.types)
    if types != tuple(NATIVE.values()):
        raise UnprovenError(f"types are {types}")
    if tuple(table.slice(0, 1).to_pylist()[0].values()) != _PROVEN:
        raise UnprovenError("values of the first row")
    for row in range(1, table.num_rows):
        for name, type_ in zip(table.column_names, types, strict=True):
            value = table.column(name).slice(row, 1)
            is_beyond = pa.types.is_temporal(type_) and not (pa.types.is_time(type_) and row > 1)
            if value.null_count != (not is_beyond) or is_in_range(value) == is_beyond:
                raise UnprovenError(f"{name} of row {row} is {value}")
