"""Bodies as bytes: decompressed within limits, and known to be whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import requests
from urllib3.exceptions import HTTPError

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

_CHUNK = 256 * 1024
_PIECE = 1024 * 1024
_GZIP = b"\x1f\x8b"


class Unfit(ConfigurationError):
    """An answer that is not taken as it is."""


class Truncated(ConnectionFailedError):
    """An answer that ended before its end."""


def pieces(response: requests.Response) -> Iterator[bytes]:
    """The body in pieces, without its content encoding, and without gzip where the file itself is compressed.

    :raises Truncated: where the connection, a chunk or the compressed data ended early.
    """
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


def whole(response: requests.Response, limit: int) -> bytes:
    """The body.

    :raises Unfit: where it has more than ``limit`` bytes, decompressed.
    """
    parts: list[bytes] = []
    size = 0
    for piece in pieces(response):
        parts.append(piece)
        size += len(piece)
        if size > limit:
            raise too_large(limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(limit: int) -> Unfit:
    return Unfit(f"the answer has more than {limit} bytes: ask for smaller pages, or raise max_response_bytes")


def _received(response: requests.Response) -> Iterator[bytes]:
    raw, ended = response.raw, False
    try:
        while data := raw.read(_CHUNK, decode_content=False):
            yield data
        ended = True
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
    decoder = zlib.decompressobj(bits)
    begun = False
    try:
        for data in compressed:
            while data:
                if decoder.eof:  # gzip files may follow each other (RFC 1952, section 2.2)
                    data = data.lstrip(b"\0")
                    decoder = zlib.decompressobj(bits)
                    continue
                begun = True
                yield decoder.decompress(data, _PIECE)
                data = decoder.unconsumed_tail or decoder.unused_data
    except zlib.error as error:
        raise Truncated(f"the compressed answer is damaged: {error}") from None
    if begun and not decoder.eof:
        raise Truncated("the compressed answer was cut off")
