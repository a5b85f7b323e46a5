# SPDX-License-Identifier: Apache-2.0
"""Response bodies: received within limits of time and size, decompressed, and known to be whole.

``requests`` has a timeout only between two pieces of a response, headers included: a server that sends a byte now and
then holds a reader as long as it likes. So does one that floods: ``http.client`` reads and drops any number of interim
responses, chunk extensions and trailers. A ``LimitedReader`` below it counts every byte and every second.
"""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

from .zip import UnreadableZip, unzipped

MAX_HEAD = 1024 * 1024
"""Bytes that may come before a body: interim responses, a status line and headers."""
_FRAMING = 4 * 1024 * 1024
"""Bytes that may come with a body: the borders of its chunks, trailers, and of lines those that are read ahead."""
_CHUNK = 256 * 1024
_MAX_PIECE = 1024 * 1024
_SMALL_CHUNK = 4 * 1024
_MAX_EMPTY_MEMBERS = 1000
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_SMALLER = "request smaller pages, or raise max_response_bytes"


class LimitExceeded(Exception):
    """A response has more bytes than it may have."""


class UnacceptableBody(ConfigurationError):
    """A body that is refused: too large, or in an encoding that was not requested."""


class IncompleteBody(ConnectionFailedError):
    """A body whose end is missing."""


class LimitedReader(io.RawIOBase):
    """The stream of a socket that raises an error after a time, or after a number of bytes.

    :param seconds: for the whole response.
    :param allowed: bytes until ``allow`` is called.
    """

    def __init__(self, raw: Any, seconds: float, allowed: int) -> None:
        self._raw = raw
        self._seconds = seconds
        self._received = 0
        self._waited = 0.0
        self._started = time.monotonic()
        self._counted = "headers have"
        self._allowed = self._limit = allowed
        self.pauses = False
        """Whether the reader pauses: then only the time that it waits for the server counts."""

    def allow(self, limit: int) -> None:
        """The headers are read: let a body of this many bytes come."""
        self._counted, self._limit = "body has", limit
        self._allowed = self._received + limit + _FRAMING

    def allow_again(self) -> None:
        """A record was read: let as many bytes come until the next one."""
        self._allowed = self._received + self._limit + _FRAMING

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        started = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        now = time.monotonic()
        self._received += count or 0
        self._waited += now - started
        if (self._waited if self.pauses else now - self._started) > self._seconds:
            raise TimeoutError("the whole response took too long")
        if self._received > self._allowed:
            raise LimitExceeded(f"the response's {self._counted} more than {self._limit} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def reader_of(response: requests.Response) -> LimitedReader:
    """The reader that a response of a ``LimitedSession`` is received through."""
    # requests itself finds headers by this attribute of urllib3's responses
    original: Any = response.raw._original_response
    reader: LimitedReader = original.limited
    return reader


def iter_body(response: requests.Response, *, pauses: bool = False) -> Iterator[bytes]:
    """The body in pieces, without its content encoding, and without gzip or zip if the file itself is compressed.

    :param pauses: the time between two pieces does not count: it is not the server's.
    :raises IncompleteBody: if the connection, a chunk or the compressed data ends early.
    """
    reader_of(response).pauses = pauses
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    body = _received(response)
    if encoding in ("gzip", "x-gzip"):
        body = _decompressed(body, zlib.MAX_WBITS | 16)
    elif encoding == "deflate":
        body = _decompressed(body, zlib.MAX_WBITS)
    elif encoding not in ("", "identity"):
        raise UnacceptableBody(f"the response has the Content-Encoding {encoding!r}, which was not requested")
    first = next(body, b"")
    body = chain([first], body) if first else body
    if first.startswith(_ZIP):
        try:
            yield from unzipped(body)
        except UnreadableZip as error:
            raise UnacceptableBody(str(error)) from None
    else:
        yield from _decompressed(body, zlib.MAX_WBITS | 16) if first.startswith(_GZIP) else body


def read_body(response: requests.Response, limit: int, *, hint: bool = True) -> bytes:
    """The whole body.

    :param hint: name the option that sets the limit.
    :raises UnacceptableBody: if it has more than ``limit`` bytes, decompressed.
    """
    parts: list[bytes] = []
    size = 0
    for piece in iter_body(response):
        parts.append(piece)
        size += len(piece)
        if size > limit:
            raise body_too_large(limit) if hint else UnacceptableBody(f"the response has more than {limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def body_too_large(limit: int) -> UnacceptableBody:
    return UnacceptableBody(f"the response has more than {limit} bytes: {_SMALLER}")


def _received(response: requests.Response) -> Iterator[bytes]:
    raw, ended = response.raw, False
    try:
        while data := raw.read(_CHUNK, decode_content=False):
            yield data
        ended = True
    except LimitExceeded as error:
        raise UnacceptableBody(f"{error}: {_SMALLER}") from None
    except TimeoutError as error:
        raise ConnectionFailedError(f"the response did not end in time: {error}") from None
    except (HTTPError, OSError) as error:
        if "timed out" in str(error).lower():
            raise ConnectionFailedError("the response did not end in time") from None
        raise IncompleteBody(f"the response was cut off: {type(error).__name__}") from None
    finally:
        if ended:
            raw.release_conn()
        else:
            raw.close()  # the unread rest must not become the start of the next response


def _decompressed(compressed: Iterator[bytes], bits: int) -> Iterator[bytes]:
    """Decompressed in pieces of at most a mebibyte, whatever the data expands to."""
    members = _Members(bits)
    for data in compressed:
        position, size = 0, _CHUNK
        while position < len(data):
            part = data[position : position + size]
            piece, used = members.decompress(part)
            position += used
            # zlib copies the data after a member, so that many small members are read in small chunks
            size = min(2 * size, _CHUNK) if used == len(part) else _SMALL_CHUNK
            if piece:
                yield piece
    if not members.are_whole:
        raise IncompleteBody("the compressed response was cut off")


class _Members:
    """Compressed data: one member or several in a row, maybe with zeros after them (RFC 1952, section 2.2)."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._decoder: zlib._Decompress | None = None
        self._is_empty = True
        self._empty_count = 0
        self._is_later = False
        self.are_whole = True

    def decompress(self, part: bytes) -> tuple[bytes, int]:
        """At most a mebibyte of content, and how many bytes of ``part`` it used."""
        if self._decoder is None:
            zeros = len(part) - len(part.lstrip(b"\0")) if self._is_later else 0
            if zeros:
                return b"", zeros
            self._decoder, self._is_empty, self.are_whole = zlib.decompressobj(self._bits), True, False
        decoder = self._decoder
        try:
            piece = decoder.decompress(part, _MAX_PIECE)
        except zlib.error as error:
            raise IncompleteBody(f"the compressed response is damaged: {error}") from None
        self._is_empty = self._is_empty and not piece
        if decoder.eof:
            self._end()
        return piece, len(part) - len(decoder.unconsumed_tail or decoder.unused_data)

    def _end(self) -> None:
        self._decoder, self.are_whole, self._is_later = None, True, True
        self._empty_count = self._empty_count + 1 if self._is_empty else 0
        if self._empty_count > _MAX_EMPTY_MEMBERS:
            raise UnacceptableBody(f"the compressed response has more than {_MAX_EMPTY_MEMBERS} empty parts in a row")
