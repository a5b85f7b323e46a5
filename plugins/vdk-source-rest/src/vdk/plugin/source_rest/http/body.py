"""Bodies as bytes: decompressed within limits, and known to be whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import requests
from urllib3.exceptions import HTTPError

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

from .connections import TooMuch, reader_of

_CHUNK = 256 * 1024
_PIECE = 1024 * 1024
_SLICE = 4 * 1024
_EMPTY_MEMBERS = 1000
_GZIP = b"\x1f\x8b"


class Unfit(ConfigurationError):
    """An answer that is not taken as it is."""


class Truncated(ConnectionFailedError):
    """An answer that ended before its end."""


def pieces(response: requests.Response, *, pauses: bool = False) -> Iterator[bytes]:
    """The body in pieces, without its content encoding, and without gzip where the file itself is compressed.

    :param pauses: the time between two pieces does not count: it is not the server's.
    :raises Truncated: where the connection, a chunk or the compressed data ended early.
    """
    reader_of(response).pauses = pauses
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    found = _received(response)
    if encoding in ("gzip", "x-gzip"):
        found = _inflated(found, zlib.MAX_WBITS | 16)
    elif encoding == "deflate":
        found = _inflated(found, zlib.MAX_WBITS)
    elif encoding not in ("", "identity"):
        raise Unfit(f"the answer has the Content-Encoding {encoding!r}, which was not asked for")
    first = next(found, b"")
    rest = _prepended(first, found)
    yield from _inflated(rest, zlib.MAX_WBITS | 16) if first.startswith(_GZIP) else rest


def whole(response: requests.Response, limit: int, *, remedy: bool = True) -> bytes:
    """The body.

    :param remedy: name the option that sets the limit.
    :raises Unfit: where it has more than ``limit`` bytes, decompressed.
    """
    parts: list[bytes] = []
    size = 0
    for piece in pieces(response):
        parts.append(piece)
        size += len(piece)
        if size > limit:
            raise too_large(limit) if remedy else Unfit(f"the answer has more than {limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(limit: int) -> Unfit:
    return Unfit(f"the answer has more than {limit} bytes: {_REMEDY}")


_REMEDY = "ask for smaller pages, or raise max_response_bytes"


def _received(response: requests.Response) -> Iterator[bytes]:
    raw, ended = response.raw, False
    try:
        while data := raw.read(_CHUNK, decode_content=False):
            yield data
        ended = True
    except TooMuch as error:
        raise Unfit(f"{error}: {_REMEDY}") from None
    except TimeoutError as error:
        raise ConnectionFailedError(f"the answer did not end in time: {error}") from None
    except (HTTPError, OSError) as error:
        if "timed out" in str(error).lower():
            raise ConnectionFailedError("the answer did not end in time") from None
        raise Truncated(f"the answer was cut off: {type(error).__name__}") from None
    finally:
        if ended:
            raw.release_conn()
        else:
            raw.close()  # what is left unread must not be taken for the answer to the next request


def _prepended(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _inflated(compressed: Iterator[bytes], bits: int) -> Iterator[bytes]:
    """Decompressed in pieces of at most a mebibyte, whatever the data would blow up to."""
    members = _Members(bits)
    for data in compressed:
        position, size = 0, _CHUNK
        while position < len(data):
            part = data[position : position + size]
            piece, read = members.decompress(part)
            position += read
            # zlib copies what follows a member, so that many small members are read in small slices
            size = min(2 * size, _CHUNK) if read == len(part) else _SLICE
            if piece:
                yield piece
    if not members.are_whole:
        raise Truncated("the compressed answer was cut off")


class _Members:
    """Compressed data, of which several may follow each other, with zeros after them (RFC 1952, section 2.2)."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._decoder: zlib._Decompress | None = None
        self._is_empty = True
        self._empty = 0
        self._is_later = False
        self.are_whole = True

    def decompress(self, part: bytes) -> tuple[bytes, int]:
        """At most a mebibyte of content, and how much of ``part`` was used."""
        if self._decoder is None:
            begin = len(part) - len(part.lstrip(b"\0")) if self._is_later else 0
            if begin:
                return b"", begin
            self._decoder, self._is_empty, self.are_whole = zlib.decompressobj(self._bits), True, False
        decoder = self._decoder
        try:
            piece = decoder.decompress(part, _PIECE)
        except zlib.error as error:
            raise Truncated(f"the compressed answer is damaged: {error}") from None
        self._is_empty = self._is_empty and not piece
        if decoder.eof:
            self._end()
        return piece, len(part) - len(decoder.unconsumed_tail or decoder.unused_data)

    def _end(self) -> None:
        self._decoder, self.are_whole, self._is_later = None, True, True
        self._empty = self._empty + 1 if self._is_empty else 0
        if self._empty > _EMPTY_MEMBERS:
            raise Unfit(f"the compressed answer has more than {_EMPTY_MEMBERS} parts in a row that hold nothing")
