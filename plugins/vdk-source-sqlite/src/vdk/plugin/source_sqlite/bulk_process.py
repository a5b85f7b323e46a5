# SPDX-License-Identifier: Apache-2.0
"""A process that reads pages of one SQLite database as Arrow. It imports no other module of this project.

A process, because it does not hold Python's lock, and because the driver has an SQLite library of its own. Two
libraries in one process undo each other's locks, since POSIX gives those to the process, and drops them when any of
its handles on the file is closed (https://www.sqlite.org/howtocorrupt.html, section 2.2.1).

It takes a request from its standard input and answers with frames: a letter, the size, and that many bytes.

====== ==============================================================
``P``  a page, as an Arrow stream
``E``  the end: no row is left
``G``  it gave up, with the reason as text; what was sent before is correct
====== ==============================================================
"""

from __future__ import annotations

import pickle
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

HEADER = struct.Struct("<cq")
PAGE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BulkRequest:
    """The pages of one statement.

    :param sql: without its limit; it orders rows by a unique key.
    :param parameters: those at the positions of ``last_row_columns`` are replaced by that column of the last row.
    :param last_row_columns: positions in ``parameters`` → columns.
    :param limit: rows of a page; fewer where they are wide.
    """

    uri: str
    timeout: float
    sql: str
    parameters: list[Any]
    last_row_columns: dict[int, int]
    limit: int


def serve(requests: BinaryIO, output: BinaryIO) -> None:
    """Answer one request. Raises ``BrokenPipeError`` if the parent closes the output, ``EOFError`` without one."""
    import adbc_driver_sqlite.dbapi as dbapi  # the parent imports this module too, and must not load the driver

    request = BulkRequest(**pickle.load(requests))
    try:
        with dbapi.connect(request.uri, autocommit=True) as connection:
            _run(connection, f"PRAGMA busy_timeout = {int(request.timeout * 1000)}", [], 1)
            _answer(connection, request, output)
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever it is, the parent reads row by row
        _send(output, b"G", f"{type(error).__name__}: {error}".encode())


def _answer(connection: Any, request: BulkRequest, output: BinaryIO) -> None:
    parameters, limit = list(request.parameters), request.limit
    while True:
        # A page is a transaction of its own, and ends before the page is sent.
        page = _run(connection, f"{request.sql} LIMIT {limit}", parameters, limit)
        if page.num_rows:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, page.schema) as stream:
                stream.write_table(page)
            _send(output, b"P", sink.getvalue())
        if page.num_rows < limit:
            return _send(output, b"E", b"")
        for position, column in request.last_row_columns.items():
            parameters[position] = page.column(column)[-1].as_py()
        limit = max(1, min(request.limit, PAGE_BYTES * page.num_rows // max(page.nbytes, 1)))


def _run(connection: Any, sql: str, parameters: list[Any], limit: int) -> Any:
    with connection.cursor() as cursor:
        # all in one batch: the driver derives types from the first
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(limit)})
        cursor.execute(sql, parameters or None)
        return cursor.fetch_arrow_table()


def _send(output: BinaryIO, frame: bytes, data: Any) -> None:
    output.write(HEADER.pack(frame, len(data)))
    output.write(data)
    output.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError, EOFError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
