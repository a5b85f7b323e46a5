"""A process that reads pages of one SQLite database as Arrow. It runs as a script and imports nothing else of ours.

Why a process: it leaves Python's lock to the others; and the driver brings an SQLite library of its own. Two
libraries in one process undo each other's locks, since POSIX gives those to the process, and drops them when any of
its handles on the file is closed (https://www.sqlite.org/howtocorrupt.html, section 2.2.1).

Asked through its standard input, it answers with frames: a letter, the size, and that many bytes.

====== ==============================================================
``P``  a page, as an Arrow stream
``E``  the end: no row is left
``G``  it gave up, and why as text; what was sent before is in order
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
class Request:
    """Pages of one statement.

    :param sql: without its limit; it orders rows by a unique key.
    :param parameters: those that are numbers of ``slots`` are replaced by that column of the last row.
    :param slots: positions in ``parameters`` → columns.
    :param limit: rows of a page; fewer where they are wide.
    """

    uri: str
    timeout: float
    sql: str
    parameters: list[Any]
    slots: dict[int, int]
    limit: int


def serve(asked: BinaryIO, output: BinaryIO) -> None:
    """Answer one request. Raises ``BrokenPipeError`` when nobody takes the answer, ``EOFError`` when nobody asks."""
    import adbc_driver_sqlite.dbapi as dbapi  # not for the one who asks, which imports this module too

    request = Request(**pickle.load(asked))
    try:
        with dbapi.connect(request.uri, autocommit=True) as connection:
            _run(connection, f"PRAGMA busy_timeout = {int(request.timeout * 1000)}", [], 1)
            _answer(connection, request, output)
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever it is, the one who asked can do it another way
        _send(output, b"G", f"{type(error).__name__}: {error}".encode())


def _answer(connection: Any, request: Request, output: BinaryIO) -> None:
    parameters, limit = list(request.parameters), request.limit
    while True:
        # A page is a transaction of its own, and over before anyone waits for it to be taken.
        page = _run(connection, f"{request.sql} LIMIT {limit}", parameters, limit)
        if page.num_rows:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, page.schema) as stream:
                stream.write_table(page)
            _send(output, b"P", sink.getvalue())
        if page.num_rows < limit:
            return _send(output, b"E", b"")
        for position, column in request.slots.items():
            parameters[position] = page.column(column)[-1].as_py()
        limit = max(1, min(request.limit, PAGE_BYTES * page.num_rows // max(page.nbytes, 1)))


def _run(connection: Any, sql: str, parameters: list[Any], limit: int) -> Any:
    with connection.cursor() as cursor:
        # all in one batch: the driver tells types by the first
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(limit)})
        cursor.execute(sql, parameters or None)
        return cursor.fetch_arrow_table()


def _send(output: BinaryIO, what: bytes, data: Any) -> None:
    output.write(HEADER.pack(what, len(data)))
    output.write(data)
    output.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError, EOFError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
