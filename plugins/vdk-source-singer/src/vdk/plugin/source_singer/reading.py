# SPDX-License-Identifier: Apache-2.0
"""One run of a tap: its messages as payloads, each state behind every record that the tap wrote before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from vdk.plugin.datasource_base import BadRecordError, DataSourcePayload
from vdk.plugin.datasource_base.parts import REJECT_REMEDY

from .errors import TapError
from .messages import BadRecord, Message, MessageReader
from .records.batches import batch_files
from .records.tables import Records, Table
from .state import PROGRESS, TapState, is_object, is_resumable

_BATCH_BYTES = 16 * 1024 * 1024
_FLUSH_SECONDS = 1.0
"""Records that a state covers are handed on at least this often while the tap writes."""

MakeTable = Callable[[str, Mapping[str, Any], Sequence[str], Table | None], Table | None]
"""Makes the table for a SCHEMA: its stream, schema and keys, and the table before; None: the stream is not wanted."""


class TapReading:
    """Turns the lines of one process of a tap into payloads.

    :param state: where the tap started. :param make_table: decides which streams are read.
    :param batch_rows: records that are decoded at once.
    :param versions: whether ACTIVATE_VERSION replaces rows; false for a stream whose table is replaced anyway.
    :param stateful: whether payloads carry states.
    """

    def __init__(
        self,
        tap: str,
        state: TapState,
        make_table: MakeTable,
        *,
        batch_rows: int,
        versions: bool = True,
        stateful: bool = True,
    ) -> None:
        self._tap, self._make_table, self._batch_rows, self._stateful = tap, make_table, batch_rows, stateful
        self._uses_versions = versions
        self._reader = MessageReader(tap)
        self._start = state
        self._tables: dict[str, Table | None] = {}
        self._schemas: dict[str, bytes] = {}
        self._value: msgspec.Raw | None = None  # of the last STATE
        self._versions = dict(state.versions)
        self._replacing: dict[str, int] = {}  # table → the version that is read, to replace the rows of another
        self._activated: set[str] = set()  # of these, the tables whose version becomes active when the tap has ended
        self._covered = _Waiting()  # before the state below
        self._state: msgspec.Raw | None = None
        self._open = _Waiting()  # behind it
        self._held = False  # the last state, which a replacement holds back
        self._rows = self._bytes = self._index = 0
        self._flushed = time.monotonic()

    def payloads(self, chunks: Iterator[bytes]) -> Iterator[DataSourcePayload]:
        """Yield what the tap writes. What a state covers is yielded even if the tap fails later."""
        try:
            for chunk in chunks:
                if not chunk:
                    yield from self._flush_covered()
                    yield DataSourcePayload(None)  # the run may stop here
                    continue
                for messages in self._reader.read(chunk):
                    yield from self._take(messages)
                if self._covered and time.monotonic() - self._flushed > _FLUSH_SECONDS:
                    yield from self._flush_covered()
        except Exception as error:
            yield from self._flush_covered()
            if isinstance(error, TapError):
                error.add_note("What the tap wrote before its last state has landed, and the next run continues there.")
            raise
        yield from self._end()

    def _take(self, messages: Sequence[Message] | BadRecord) -> Iterator[DataSourcePayload]:
        if isinstance(messages, BadRecord):
            self._reject(messages)
            return
        for self._index, message in enumerate(messages):
            match message.type:
                case "RECORD":
                    self._add_record(message)
                    if self._rows >= self._batch_rows or self._bytes >= _BATCH_BYTES:
                        yield from self._flush()
                case "STATE":
                    self._add_state(message)
                case "SCHEMA":
                    self._add_schema(message)
                case "ACTIVATE_VERSION":
                    yield from self._activate(message)
                case "BATCH":
                    self._add_files(message)
                    yield from self._flush()
                case _:
                    raise TapError(
                        f"{self._place()}: a message of the unknown type {message.type!r}, expected SCHEMA, "
                        "RECORD, STATE, ACTIVATE_VERSION or BATCH; install another version of the tap"
                    )

    def _place(self) -> str:
        return self._reader.place(self._index)

    def _table(self, message: Message | BadRecord, type_: str) -> Table | None:
        name = message.stream
        if name is None:
            raise TapError(f"{self._place()}: a {type_} without a stream; install another version of the tap")
        if name not in self._tables:
            raise TapError(
                f"{self._place()}: a {type_} of stream {name!r}, whose SCHEMA the tap has not written; install "
                "another version of the tap, or leave the stream out with select"
            )
        return self._tables[name]

    def _add_schema(self, message: Message) -> None:
        name, raw = message.stream, bytes(message.schema)
        if name is None or not raw:
            raise TapError(f"{self._place()}: a SCHEMA without stream or schema; install another version of the tap")
        raw += repr(message.key_properties).encode()
        if self._schemas.get(name) == raw:  # taps repeat it, for example for each parent
            return
        schema = msgspec.json.decode(message.schema)
        if not isinstance(schema, dict):
            raise TapError(f"{self._place()}: the SCHEMA of {name!r} is not an object; install another version")
        self._tables[name] = self._make_table(name, schema, message.key_properties or (), self._tables.get(name))
        self._schemas[name] = raw

    def _add_record(self, message: Message) -> None:
        table = self._tables.get(message.stream or "") or self._table(message, "RECORD")
        if table is None:
            return
        tracked = message.version is not None and self._is_replacing(table, message.version)
        self._open.of(table, tracked).append(message.record)
        self._rows += 1
        self._bytes += len(message.record)

    def _reject(self, message: BadRecord) -> None:
        table = self._table(message, "RECORD")
        if table is None:
            return
        error = BadRecordError(
            f"{message.reason}{REJECT_REMEDY}",
            stream=table.name,
            column=message.column,
            key={name: message.record.get(name) for name in table.keys} or None,
        )
        self._open.add(Records(table, rejected=[(message.record, error)]))

    def _add_files(self, message: Message) -> None:
        table = self._table(message, "BATCH")
        if table is None:
            return
        files = batch_files(self._tap, table.name, message.encoding, message.manifest)
        tracked = message.version is not None and self._is_replacing(table, message.version)
        self._open.add(Records(table, files=files, tracked=tracked))

    def _add_state(self, message: Message) -> None:
        if not message.value:
            raise TapError(f"{self._place()}: a STATE without a value; install another version of the tap")
        self._value = message.value
        self._held = bool(self._replacing)
        if self._held or (PROGRESS in bytes(message.value) and not is_resumable(msgspec.json.decode(message.value))):
            return  # the tap would read these records again
        self._covered.take(self._open)
        self._state = message.value

    def _is_replacing(self, table: Table, version: int) -> bool:
        """Whether records of a version replace those of another that has landed, when all of them are read."""
        if not self._uses_versions:
            return False
        active = self._versions.setdefault(table.name, version)
        if active == version:
            return False
        if not table.keys:
            raise TapError(
                f"{self._place()}: version {version} of stream {table.name!r} replaces version {active}, and the "
                "stream has no key by which rows are deleted; replace its table: vdk datasource run FLOW --full-refresh"
            )
        if self._replacing.get(table.name) != version:
            table.seen.clear()
            self._replacing[table.name] = version
        return True

    def _activate(self, message: Message) -> Iterator[DataSourcePayload]:
        table = self._table(message, "ACTIVATE_VERSION")
        if table is None or message.version is None or not self._is_replacing(table, message.version):
            return
        yield from self._flush()
        self._activated.add(table.name)
        if table.seen:  # otherwise its records follow
            yield from self._replace(table, message.version)

    def _replace(self, table: Table, version: int) -> Iterator[DataSourcePayload]:
        """Delete the rows of the version before, together with the records of the new one."""
        del self._replacing[table.name]
        self._activated.discard(table.name)
        self._versions[table.name] = version
        self._held &= bool(self._replacing)
        value = self._value if not self._replacing else None
        yield from table.key_payloads(self._wrapped(value))

    def _wrapped(self, value: msgspec.Raw | None) -> Mapping[str, Any]:
        """The state to store; without a value of the tap, that with which it started."""
        text = bytes(value).decode() if value is not None else self._start.value
        if value is not None and not is_object(text):
            raise TapError(
                f"{self._place()}: the value of a STATE is not an object; install another version of the tap"
            )
        return TapState(value=text, versions=self._versions).dump()

    def _flush_covered(self) -> Iterator[DataSourcePayload]:
        """What a state covers, and the state."""
        covered, state = self._covered.all(), self._state
        self._state = None
        self._flushed = time.monotonic()
        self._rows -= sum(len(records.raws) for records in covered)
        self._bytes = self._bytes if self._open else 0
        for records in covered:
            yield from records.table.payloads(records, self._tap)
        if state is not None and self._stateful:
            yield DataSourcePayload(None, state=self._wrapped(state))

    def _flush(self) -> Iterator[DataSourcePayload]:
        """Everything; what no state covers waits at the destination."""
        yield from self._flush_covered()
        self._rows = self._bytes = 0
        for records in self._open.all():
            yield from records.table.payloads(records, self._tap)

    def _end(self) -> Iterator[DataSourcePayload]:
        """The tap has ended well: versions that were activated before their records replace the others now."""
        yield from self._flush()
        for name in sorted(self._activated):
            table = next(table for table in self._tables.values() if table is not None and table.name == name)
            yield from self._replace(table, self._replacing[name])
        if self._held and self._stateful:
            yield DataSourcePayload(None, state=self._wrapped(self._value))


class _Waiting:
    """Records that wait, in the order of each table."""

    def __init__(self) -> None:
        self._all: list[Records] = []
        self._last: dict[str, Records] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def of(self, table: Table, tracked: bool) -> list[msgspec.Raw]:
        """The list to which a record of a table is added."""
        last = self._last.get(table.name)
        if last is None or last.table is not table or last.tracked != tracked or not last.is_plain:
            last = Records(table, tracked=tracked)
            self.add(last)
        return last.raws

    def add(self, records: Records) -> None:
        self._all.append(records)
        self._last[records.table.name] = records

    def take(self, others: _Waiting) -> None:
        """Add those that wait in another place, which is empty then."""
        for records in others.all():
            if records.is_plain:
                self.of(records.table, records.tracked).extend(records.raws)
            else:
                self.add(records)

    def all(self) -> list[Records]:
        """All of them, which do not wait any more."""
        waited, self._all, self._last = self._all, [], {}
        return waited
