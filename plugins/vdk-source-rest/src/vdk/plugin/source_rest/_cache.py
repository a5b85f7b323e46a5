"""Answers kept until a run ends, so that a parent stream is asked for once, however many streams hang on it."""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

import msgspec

from ._messages import Request, Response


class Cache:
    """Responses by request, in files that only their owner can read."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def lock(self, request: Request) -> threading.Lock:
        """Held while a request is made, so that no other thread makes it too."""
        with self._lock:
            return self._locks[_name(request)]

    def get(self, request: Request) -> Response | None:
        path = self._path(request)
        if not path.exists():
            return None
        url, status, headers, content = _FORM.decode(path.read_bytes())
        return Response(request, url, status, headers, content)

    def put(self, response: Response) -> None:
        found = (response.url, response.status, dict(response.headers), response.content)
        path = self._path(response.request)
        draft = path.with_suffix(".draft")  # what is there is whole
        draft.write_bytes(msgspec.msgpack.encode(found))
        draft.replace(path)

    def clear(self) -> None:
        with self._lock:
            if self._folder is not None:
                self._folder.cleanup()
            self._folder = None
            self._locks.clear()

    def _path(self, request: Request) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="vdk-source-rest-")
            return Path(self._folder.name) / _name(request)


def _name(request: Request) -> str:
    return sha256(request.key()).hexdigest()


_FORM = msgspec.msgpack.Decoder(tuple[str, int, dict[str, str], bytes])
