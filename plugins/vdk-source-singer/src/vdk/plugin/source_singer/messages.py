# SPDX-License-Identifier: Apache-2.0
"""The messages of a tap: one JSON object per line (Singer's specification, version 0.3.0, and the SDK's BATCH)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .errors import TapError

_SHOWN = 120


class Message(msgspec.Struct, gc=False):
    """A line of a tap; fields that its type does not have are None.

    :param record: the record of a RECORD, not decoded. :param value: the state of a STATE.
    """

    type: str
    stream: str | None = None
    record: msgspec.Raw = msgspec.Raw(b"")
    schema: msgspec.Raw = msgspec.Raw(b"")
    value: msgspec.Raw = msgspec.Raw(b"")
    key_properties: list[str] | None = None
    version: int | None = None
    encoding: dict[str, Any] | None = None
    manifest: list[str] | None = None


class BadRecord(msgspec.Struct):
    """A RECORD with a value that Python writes and JSON does not have: a bad record, and not a broken line."""

    stream: str
    record: dict[str, Any]
    column: str
    reason: str


_decoder = msgspec.json.Decoder(Message)


class MessageReader:
    """Decodes the lines of one tap, and counts them for errors."""

    def __init__(self, tap: str) -> None:
        self._tap = tap
        self._line = self._first = 0

    def read(self, lines: bytes) -> Iterator[Sequence[Message] | BadRecord]:
        """Yield the messages of complete lines, in their order, many at once.

        :raises TapError: for a line that is not a message.
        """
        try:
            messages = _decoder.decode_lines(lines)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            yield from self._read_each(lines)
            return
        self._first = self._line + 1
        yield messages
        self._line += lines.count(b"\n")

    def _read_each(self, lines: bytes) -> Iterator[Sequence[Message] | BadRecord]:
        for line in lines.splitlines():
            self._line += 1
            self._first = self._line
            if not line.strip():
                continue
            try:
                yield [_decoder.decode(line)]
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                yield self._bad_record(line, error)

    def _bad_record(self, line: bytes, error: Exception) -> BadRecord:
        """Python's own reader accepts such values. Raises ``TapError`` for what it does not accept, either."""
        try:
            message = json.loads(line)
            column, reason = next(_problems(message["record"]))
            return BadRecord(str(message["stream"]), _printable(message["record"]), column, reason)
        except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
            raise self.error(line, str(error)) from None

    def error(self, line: bytes, reason: str) -> TapError:
        """The error for a line that is not a Singer message."""
        shown = line[:_SHOWN].decode("utf-8", "replace") + ("…" if len(line) > _SHOWN else "")
        remedy = "the tap prints to its output what belongs into its log, which is stderr"
        if line.lstrip()[:1] == b"{":
            remedy = "the tap ended in the middle of it, or its messages are not one JSON object per line"
        return TapError(
            f"{self._tap}: line {self._line:,} of its output is not a Singer message ({reason}): {shown!r}. "
            f"Probably {remedy}; report it to its authors, or install another version: pip_url = "
            f'"{self._tap}==VERSION"'
        )

    def place(self, index: int) -> str:
        """The place of one of the messages that were yielded last, for errors."""
        return f"line {self._first + index:,} of {self._tap}"


def _problems(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The paths and the problems of values that are not JSON (RFC 8259, sections 6 and 8.2)."""
    if isinstance(value, (Mapping, list)):
        for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _problems(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "the value is not a number, and JSON has no text for it"
    elif isinstance(value, str) and _escaped(value) != value:
        yield path, "the text has half of a surrogate pair, which is not a character"


def _printable(value: Any) -> Any:
    """The value with texts for what is not JSON."""
    if isinstance(value, Mapping):
        return {name: _printable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _escaped(value) if isinstance(value, str) else value


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
