"""Reading in bulk with ADBC's SQLite driver, in a process of its own; see ``_reader``."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vdk.plugin.datasource_base.parts import quoted

from .. import _reader
from ..sql._bulk import WORTHWHILE_ROWS, BulkPass, Column, Proven, Slot
from ..sql._expression import NULL, ONE, Expression, case, value
from ..sql._kinds import UNFIT, Kind
from ..sql._query import Query

if TYPE_CHECKING:
    from ..sql._session import Session

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""Processes that may be begun for a table. Each gives up at the first odd page, and that page is read row by row."""


def bulk_of(query: Query, kinds: Mapping[str, Kind], uri: str, timeout: float) -> SqliteBulk | None:
    """A bulk reader of the query's table; None where there is no driver, or values cannot be proven."""
    table, names = query.plan.table, query.names
    if (
        not table.typed
        or query.deleted_at is not None
        or query.cursor_index >= len(names)
        or not set(names) <= set(kinds)
    ):
        return None
    if any(kinds[name].read is not None for name in names):
        return None
    if not sys.executable or find_spec("adbc_driver_sqlite") is None:
        return None
    return SqliteBulk(query, kinds, uri, timeout)


class SqliteBulk:
    """One process at a time, that reads the rest of a pass."""

    def __init__(self, query: Query, kinds: Mapping[str, Kind], uri: str, timeout: float) -> None:
        self._query, self._kinds, self._uri, self._timeout = query, kinds, uri, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._left = ATTEMPTS

    @property
    def _columns(self) -> dict[str, Column]:
        """As the kinds are now: one that waited may be settled meanwhile."""
        kinds, declared = self._kinds, self._query.plan.table.columns
        return {name: Column(kinds[name], mixes=_mixes(kinds[name], declared[name])) for name in self._query.names}

    def worthwhile(self, session: Session) -> bool:
        if self._process is None and self._left:
            is_large = bool(session.all(self._query.all_rows(ONE).limit(1, offset=WORTHWHILE_ROWS)))
            self._left = self._left - 1 if is_large else 0
            if is_large:
                self._start()
        return self._process is not None

    def _start(self) -> None:
        # -P: as with an installed command, the working directory is no place to import from.
        # A session of its own: Ctrl-C goes to the one who asked, which then ends this one.
        command = [sys.executable, "-P", "-m", _reader.__name__]
        with suppress(OSError):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def pages(self, wanted: BulkPass) -> Iterator[Proven | None]:
        process = self._process
        if process is None:
            return
        try:
            yield from self._pages(process, wanted)
        except (OSError, pa.ArrowException, *UNFIT) as error:
            log.debug("%s is read row by row from here on: %s", self._query.plan.name, error)
        finally:
            self.close()

    def _pages(self, process: subprocess.Popen[bytes], wanted: BulkPass) -> Iterator[Proven | None]:
        assert process.stdin is not None
        assert process.stdout is not None
        columns = self._columns
        landing = pa.schema([pa.field(name, columns[name].kind.arrow) for name in self._query.plan.columns])
        process.stdin.write(pickle.dumps(self._request(wanted)))
        process.stdin.close()
        while True:
            what, size = _reader.HEADER.unpack(process.stdout.read(_reader.HEADER.size) or b"G" + bytes(8))
            data = process.stdout.read(size)
            if what == b"E":
                yield None
                return
            if what != b"P" or len(data) < size:
                why = data.decode(errors="replace") if what == b"G" and data else "it ended"
                log.debug("the reader of %s gave up: %s", self._query.plan.name, why)
                return
            (batch,) = pa.ipc.open_stream(data).read_all().combine_chunks().to_batches()
            yield Proven(batch, list(columns.values()), self._query.cursor_index, landing)

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

    def _request(self, wanted: BulkPass) -> dict[str, Any]:
        query = self._query
        columns = *query.selected, self._misfits(), self._integers(wanted.window)
        statement = query.select(*columns).where(*wanted.conditions, wanted.behind).order_by(*wanted.order)
        sql, parameters = statement.compiled()
        return {
            "uri": self._uri,
            "timeout": self._timeout,
            "sql": sql,
            "parameters": [
                wanted.after[parameter.column] if isinstance(parameter, Slot) else parameter for parameter in parameters
            ],
            "slots": {index: one.column for index, one in enumerate(parameters) if isinstance(one, Slot)},
            "limit": wanted.limit,
        }

    def _misfits(self) -> Expression:
        """Whether a column that lands from text or bytes holds something else, which the driver would convert.

        Numbers sort below all text, and text below all blobs (https://www.sqlite.org/datatype3.html, section 4.1); the
        plus keeps the comparison from converting anything. ``typeof`` says the same and takes three times as long.
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
        return Expression(" OR ".join(outside) or "0")

    def _integers(self, window: Any) -> Expression:
        mixed = [name for name, column in self._columns.items() if column.mixes]
        if window is None or not mixed:
            return NULL
        bits = " + ".join(f"((typeof({quoted(name)}) = 'integer') << {bit})" for bit, name in enumerate(mixed))
        return case(self._query.cursor >= value(window), Expression(bits))


def _mixes(kind: Kind, declared: str) -> bool:
    """Whether integers and reals may be side by side: not where SQLite makes all numbers reals on their way out."""
    is_real = any(word in declared.upper() for word in ("REAL", "FLOA", "DOUB")) and "INT" not in declared.upper()
    return (pa.types.is_floating(kind.arrow) or pa.types.is_decimal(kind.arrow)) and not is_real


def _is_number(arrow: pa.DataType) -> bool:
    return any(
        is_(arrow) for is_ in (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    )
