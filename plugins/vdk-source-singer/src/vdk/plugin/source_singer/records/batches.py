# SPDX-License-Identifier: Apache-2.0
"""The files of BATCH messages: records in JSON lines, which a tap writes instead of many RECORD messages."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import TapError

_READ = 4 * 1024 * 1024
_GZIP = b"\x1f\x8b"  # RFC 1952


def batch_files(
    tap: str, stream: str, encoding: Mapping[str, Any] | None, manifest: Sequence[str] | None
) -> list[Path]:
    """The files of a BATCH message.

    :raises TapError: for another format, compression or storage than jsonl, gzip or none, and local files.
    """
    format_, compression = (encoding or {}).get("format"), (encoding or {}).get("compression")
    for name, value, known in (("format", format_, ("jsonl",)), ("compression", compression, ("gzip", "none", None))):
        if value not in known:
            raise TapError(
                f"{tap}: stream {stream!r} comes in batches with the {name} {value!r}, expected jsonl with gzip; write "
                'config.batch_config.encoding = { format = "jsonl", compression = "gzip" }, or remove batch_config'
            )
    return [_local(tap, stream, url) for url in manifest or ()]


def _local(tap: str, stream: str, url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme not in ("", "file"):
        raise TapError(
            f"{tap}: stream {stream!r} has a batch in {parts.scheme}://{parts.hostname or ''}, expected a local file; "
            'write config.batch_config.storage = { root = "file:///folder" }, or remove batch_config'
        )
    return Path(unquote(parts.path) if parts.scheme else url)


def lines_of(tap: str, stream: str, path: Path) -> Iterator[list[bytes]]:
    """The records of a file, some megabytes at once. Raises ``TapError`` for a file that cannot be read."""
    try:
        with path.open("rb") as content:
            # the content decides whether it is compressed: taps leave that out
            is_compressed = content.peek(2)[:2] == _GZIP
            file: gzip.GzipFile | BufferedReader = gzip.GzipFile(fileobj=content) if is_compressed else content
            while lines := file.readlines(_READ):
                yield [line for line in lines if line.strip()]
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise TapError(
            f"{tap}: stream {stream!r} has the batch {path}, which cannot be read: {error}; run it again, or remove "
            "batch_config from config"
        ) from None
