"""Connections that give up: no answer may take for ever, however slowly it trickles.

``requests`` has a timeout between two pieces of an answer only, headers included: a server that sends a
byte now and then holds a reader as long as it likes.
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


class _Patient(io.RawIOBase):
    """A socket's stream that counts the time spent waiting for it; pauses of the reader do not count."""

    def __init__(self, raw: Any, seconds: float) -> None:
        self._raw = raw
        self._left = seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        begun = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        self._left -= time.monotonic() - begun
        if self._left < 0:
            raise TimeoutError("the answer as a whole took too long")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _response_class(seconds: float) -> type[http.client.HTTPResponse]:
    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.fp: Any = io.BufferedReader(_Patient(self.fp.detach(), seconds), 65536)

    return Response


class Adapter(HTTPAdapter):
    """``requests``' adapter, over connections whose answers end in time.

    :param seconds: for a whole answer.
    """

    def __init__(self, seconds: float) -> None:
        self._classes = _pool_classes(seconds)
        super().__init__(pool_connections=4, pool_maxsize=POOLED)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._classes
        return manager


def _pool_classes(seconds: float) -> dict[str, Any]:
    answers = _response_class(seconds)
    plain = type("Connection", (HTTPConnection,), {"response_class": answers})
    secure = type("SecureConnection", (HTTPSConnection,), {"response_class": answers})
    return {
        "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


class Session(requests.Session):
    """A session that follows nothing and takes nothing from a ``.netrc``."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.trust_env = False
        adapter = Adapter(seconds)
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
