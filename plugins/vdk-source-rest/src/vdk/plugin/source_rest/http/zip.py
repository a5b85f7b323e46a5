# SPDX-License-Identifier: Apache-2.0
"""Files of zip with one file in it, as exports come."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator

_CHUNK = 256 * 1024
_IN_MEMORY = 8 * 1024 * 1024


class UnreadableZip(Exception):
    """A file of zip that is damaged, or has not exactly one file in it."""


def unzipped(body: Iterable[bytes]) -> Iterator[bytes]:
    """The one file in a zip, in pieces. A zip names its files at its end, so it is received whole first."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
        for piece in body:
            spooled.write(piece)
        try:
            with zipfile.ZipFile(spooled) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
                if len(names) != 1:
                    raise UnreadableZip(
                        f"the zip has {len(names)} files ({', '.join(names)[:200]}), and one is expected"
                    )
                with archive.open(names[0]) as file:
                    while piece := file.read(_CHUNK):
                        yield piece
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise UnreadableZip(f"the zip cannot be read: {error}") from None
