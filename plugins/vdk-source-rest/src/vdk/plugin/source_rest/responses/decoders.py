# SPDX-License-Identifier: Apache-2.0
"""Decoders: bodies as values, of JSON, lines of JSON and CSV. Numbers keep all their digits."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import JSON_NUMBERS, json_integer

from ..config import CsvConfig
from ..http.body import body_too_large
from ..http.types import Row

BATCH_ROWS = 1000
"""Records in a list, at most."""
BATCH_TEXT = 256 * 1024
"""Characters of CSV whose records come in one list."""
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


class DecodeError(Exception):
    """A body that is not in its declared format.

    :param cut: whether its end seems to be missing.
    """

    def __init__(self, reason: str, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.cut = cut


def format_of(content_type: str) -> str:
    """``json``, ``ndjson``, ``csv``, ``xml``, ``parquet`` or ``arrow``, by the ``Content-Type``; JSON by default."""
    type_ = content_type.partition(";")[0].strip().lower()
    if type_ in ("text/csv", "application/csv"):
        return "csv"
    if named := re.search(r"parquet|\barrow\b|\bxml$", type_):
        return named[0]
    return "ndjson" if re.search(r"ndjson|jsonl|json-?lines|json-seq", type_) else "json"


@lru_cache(maxsize=8)
def _decoder(numbers: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(float_hook=None if numbers == "double" else JSON_NUMBERS[numbers])


def decode_json(content: bytes, content_type: str, numbers: str) -> Any:
    """The value of a JSON document.

    :raises DecodeError: for anything else.
    """
    try:
        return _decoder(numbers).decode(content)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _decode_slowly(content, content_type, numbers)


def _decode_slowly(content: bytes, content_type: str, numbers: str) -> Any:
    """Decode with the standard library, which reads other encodings, NaN, half surrogate pairs and numbers of any size,
    and names the position of an error."""
    try:
        text = content.decode(_encoding(content, content_type))
        return json.loads(text, parse_float=JSON_NUMBERS[numbers], parse_int=json_integer)
    except json.JSONDecodeError as error:
        cut = not text.strip() or error.pos >= len(text.rstrip()) or "Unterminated" in error.msg
        raise DecodeError(f"it is not valid JSON: {error}", cut=cut) from None
    except RecursionError:
        raise DecodeError("it is nested too deeply") from None
    except (ValueError, LookupError) as error:
        raise DecodeError(f"it cannot be decoded: {error}") from None


def _encoding(content: bytes, content_type: str) -> str:
    """JSON is UTF-8 (RFC 8259); some servers still write UTF-16 or declare another charset."""
    detected = json.detect_encoding(content)
    declared = _CHARSET.search(content_type)
    return declared[1] if declared and detected == "utf-8" else detected


def json_lines(pieces: Iterable[bytes], numbers: str, limit: int) -> Iterator[list[Any]]:
    """Lists of the values of a body with one JSON document a line.

    :raises DecodeError: naming the line.
    """
    decoder, number, blank = _decoder(numbers), 0, 0
    for block in _line_blocks(pieces, limit):
        try:
            values = decoder.decode_lines(block)
        except (msgspec.DecodeError, RecursionError, ValueError):
            lines = enumerate(block.split(b"\n"))
            values = [_decode_line(line, number + index, numbers) for index, line in lines if line.strip()]
        number += block.count(b"\n")
        blank = 0 if values else blank + len(block)
        if blank > limit:
            raise body_too_large(limit)
        for index in range(0, len(values), BATCH_ROWS):
            yield values[index : index + BATCH_ROWS]


def _decode_line(line: bytes, number: int, numbers: str) -> Any:
    try:
        return decode_json(line, "", numbers)
    except DecodeError as error:
        raise DecodeError(f"line {number + 1}: {error}", cut=error.cut) from None


def _line_blocks(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Whole lines, some at a time, without record separators (RFC 7464) and a byte order mark."""
    rest: list[bytes] = []  # joined once its line ends: earlier pieces are not copied with each new one
    size, first = 0, True
    for piece in pieces:
        if first:
            piece, first = piece.removeprefix(codecs.BOM_UTF8), False
        block, newline, tail = piece.rpartition(b"\n")
        if newline:
            yield b"".join([*rest, block, newline]).replace(b"\x1e", b"")
            rest, size = [], 0
        rest.append(tail)
        size += len(tail)
        if size > limit:
            raise body_too_large(limit)
    if (line := b"".join(rest)).strip():
        yield line.replace(b"\x1e", b"")


def csv_rows(pieces: Iterable[bytes], content_type: str, config: CsvConfig, limit: int) -> Iterator[list[Row]]:
    """Lists of records; every value is text, as CSV has no types.

    :raises DecodeError: for a line with more or fewer fields than the header, naming it.
    """
    declared = _CHARSET.search(content_type)
    encoding = config.encoding or (declared[1] if declared else "utf-8")
    csv.field_size_limit(max(csv.field_size_limit(), min(limit, 2**31 - 1)))  # of the process; by default 128 kB
    size = _RecordSize(limit)
    try:
        lines = size.counted(_text_lines(pieces, encoding, limit))
        reader = csv.reader(lines, delimiter=config.delimiter, quotechar=config.quote, strict=True)
        yield from _csv_records(reader, config.null, size)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DecodeError(f"it is not valid CSV in {encoding}: {error}") from None
    except LookupError:
        raise ConfigurationError(
            f'csv.encoding: {encoding!r} is not an encoding that Python knows. Set csv = {{ encoding = "utf-8" }}'
        ) from None


class _RecordSize:
    """Counts the text that the CSV reader consumes, since quotes and empty lines make records of any length."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self.pending = 0
        """The size of the records that are not yielded yet."""

    def counted(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self._open += len(line)
            if self._open > self._limit:
                raise body_too_large(self._limit)
            yield line

    def end_record(self) -> None:
        self.pending += self._open
        self._open = 0


def _csv_records(reader: Any, null: str | None, size: _RecordSize) -> Iterator[list[Row]]:
    header = next(reader, None)
    if header is None:
        return
    size.end_record()
    if doubled := sorted(name for name, count in Counter(header).items() if count > 1):
        raise DecodeError(f"the header names {doubled[0]!r} more than once")
    rows: list[Row] = []
    for fields in reader:
        if not fields:
            continue
        size.end_record()
        if len(fields) != len(header):
            raise DecodeError(f"line {reader.line_num} has {len(fields)} fields, and the header has {len(header)}")
        rows.append(dict(zip(header, (None if field == null else field for field in fields), strict=True)))
        if len(rows) >= BATCH_ROWS or size.pending > BATCH_TEXT:
            yield rows
            rows, size.pending = [], 0
    if rows:
        yield rows


def _text_lines(pieces: Iterable[bytes], encoding: str, limit: int) -> Iterator[str]:
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=False)
    rest: list[str] = []  # joined once its line ends
    size, first = 0, True
    for piece in pieces:
        text = decoder.decode(piece)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        *lines, tail = text.split("\n")
        for line in lines:
            yield "".join([*rest, line, "\n"])
            rest, size = [], 0
        rest.append(tail)
        size += len(tail)
        if size > limit:
            raise body_too_large(limit)
    rest.append(decoder.decode(b"", final=True))
    if last := "".join(rest):
        yield last
