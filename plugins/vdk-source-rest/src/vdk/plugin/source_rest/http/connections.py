"""Connections that give up: every answer ends within its time and size, whatever it consists of.

``requests`` has a timeout between two pieces of an answer only, headers included: a server that sends a
byte now and then holds a reader as long as it likes. So does one that floods: interim answers, extensions of
chunks and trailers are read and dropped by ``http.client``, as many as there are.
"""

from __future__ import annotations

import http.client
import io
import logging
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

POOLED = 32
"""Connections kept per host; more are made when more threads read, and closed after use."""


HEAD = 1024 * 1024
"""Bytes that may come before a body: interim answers, a status line and headers."""
_FRAMING = 4 * 1024 * 1024
"""Bytes that may come with a body: the borders of its chunks, trailers, and of lines those that are read ahead."""


class TooMuch(Exception):
    """More was received than an answer may have."""


class LimitedReader(io.RawIOBase):
    """A socket's stream that ends in time, and within a number of bytes, by raising an error.

    :param seconds: for the whole answer.
    :param allowed: bytes until ``allow`` is called.
    """

    def __init__(self, raw: Any, seconds: float, allowed: int) -> None:
        self._raw = raw
        self._seconds = seconds
        self._received = 0
        self._waited = 0.0
        self._begun = time.monotonic()
        self._what = "headers"
        self._allowed = self._limit = allowed
        self.pauses = False
        """Whether the answer is read with pauses, which do not count then: only waiting for the server does."""

    def allow(self, more: int) -> None:
        """Let as many bytes come from now on."""
        self._what, self._limit = "body", more
        self._allowed = self._received + more + _FRAMING

    def allow_again(self) -> None:
        """What was received has led to a record: as many bytes may come until the next one."""
        self._allowed = self._received + self._limit + _FRAMING

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        begun = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        now = time.monotonic()
        self._received += count or 0
        self._waited += now - begun
        if (self._waited if self.pauses else now - self._begun) > self._seconds:
            raise TimeoutError("the answer as a whole took too long")
        if self._received > self._allowed:
            raise TooMuch(f"the {self._what} of the answer has more than {self._limit} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def reader_of(response: requests.Response) -> LimitedReader:
    """What an answer of a ``Session`` is received through."""
    # requests itself finds headers by this attribute of urllib3's answers
    answer: Any = response.raw._original_response
    reader: LimitedReader = answer.limited
    return reader


def _response_class(seconds: float, limit: int) -> type[http.client.HTTPResponse]:
    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.limited = LimitedReader(self.fp.detach(), seconds, HEAD)
            self.fp: Any = io.BufferedReader(self.limited, 65536)

        def begin(self) -> None:
            super().begin()
            self.limited.allow(limit)

    return Response


class Adapter(HTTPAdapter):
    """``requests``' adapter, over connections whose answers end in time.

    :param seconds: for a whole answer.
    :param limit: bytes of its body.
    """

    def __init__(self, seconds: float, limit: int) -> None:
        self._classes = _pool_classes(seconds, limit)
        super().__init__(pool_connections=4, pool_maxsize=POOLED)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._classes
        return manager


def _pool_classes(seconds: float, limit: int) -> dict[str, Any]:
    answers = _response_class(seconds, limit)
    plain = type("Connection", (HTTPConnection,), {"response_class": answers})
    secure = type("SecureConnection", (HTTPSConnection,), {"response_class": answers})
    return {
        "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


class Session(requests.Session):
    """A session that follows nothing and takes nothing from a ``.netrc``."""

    def __init__(self, seconds: float, limit: int) -> None:
        super().__init__()
        self.trust_env = False
        adapter = Adapter(seconds, limit)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        _hide_queries()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: ``requests`` would read a redirect's body to its end before it asks whether to follow."""
        return None


def _without_query(record: logging.LogRecord) -> bool:
    """A filter of log records: the queries of requests are taken out, since keys travel in them."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            f"{arg.partition('?')[0]}?***" if isinstance(arg, str) and "?" in arg else arg for arg in record.args
        )
    return True


def _hide_queries() -> None:
    """urllib3 logs whole request lines at DEBUG."""
    for name in ("urllib3.connectionpool", "urllib3.connection"):
        logging.getLogger(name).addFilter(_without_query)  # which adds a filter once
