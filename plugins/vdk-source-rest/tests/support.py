"""What the tests share: a source of a configuration, what a reading delivers, and servers that can be scripted."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import unquote, unquote_plus

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    DataSourcePayload,
    RejectedRows,
    StreamPartition,
    decode_config,
)
from vdk.plugin.source_rest import RestConfig, RestSource

JSON = "Content-Type: application/json"


def source_of(base_url: str, *streams: Mapping[str, Any], kind: type[RestSource] = RestSource, **config: Any) -> Any:
    """A source whose waits take no time."""
    raw = {"base_url": base_url, "streams": list(streams) or [{"name": "items"}], **config}
    source = kind(decode_config(raw, RestConfig, location="flow.toml: sources.api.config"))
    source.context.client.sleep = lambda seconds: None
    return source


class Api:
    """A server of Python: each request is answered by the value, as JSON, or the response that ``answer`` returns.

    :param asked: method, path with query, and body of each request.
    """

    def __init__(self, server: HTTPServer, answer: Callable[[Request], Any]) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._answer = answer
        self.url = server.url_for("/v1")
        server.expect_request(re.compile(".*")).respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        query = unquote_plus(request.query_string.decode())
        path = unquote(request.path).removeprefix("/v1/")
        self.asked.append((request.method, path + (f"?{query}" if query else ""), request.get_json(silent=True)))
        value = self._answer(request)
        return value if isinstance(value, Response) else Response(json.dumps(value), content_type="application/json")

    def urls(self) -> list[str]:
        return [url for _, url, _ in self.asked]

    def bodies(self) -> list[Any]:
        return [body for _, _, body in self.asked]


class Landed:
    """The records that a stream delivered, with their states."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.deleted: list[Any] = []
        self.keys: list[Any] = []
        self.order: list[str] = []
        """The kinds of the payloads."""
        self.rejected: list[Any] = []
        self.counts: Counter[str] = Counter()
        self.states: dict[str, Any] = {}
        self.yielded: list[Any] = []
        self.partitions: list[str] = []

    def take_all(self, partition: StreamPartition, state: Mapping[str, Any] | None = None) -> None:
        """All that a partition yields, up to what it may raise."""
        self.partitions.append(partition.id)
        for payload in partition.read(state or {}):
            self.take(partition.id, payload)

    def take(self, partition: str, payload: DataSourcePayload) -> None:
        if isinstance(payload.data, RejectedRows):
            self.rejected += payload.data.rows
        elif payload.data is not None:
            assert isinstance(payload.data, list)
            self.order.append(payload.kind)
            {"rows": self.rows, "deletes": self.deleted, "keys": self.keys}[payload.kind] += payload.data
        for name, amount in payload.metadata.items():
            self.counts[name.removeprefix(COUNTER_PREFIX)] += int(str(amount))
        if payload.state is not None:
            self.yielded.append(payload.state)
            self.states[partition] = json.loads(json.dumps(payload.state))


def read(source: RestSource, name: str = "items", states: Mapping[str, Any] | None = None) -> Landed:
    """Every partition of a stream, one after the other."""
    landed = Landed()
    states = states or {}
    for partition in source.stream(name).partitions(states):
        landed.take_all(partition, states.get(partition.id))
    return landed


class Scripted:
    """A server that answers with bytes as they are, whatever HTTP thinks of them.

    :param answer: request line and headers, with the number of the request (from 0) → what is sent; then the
        connection is closed.
    """

    def __init__(self, answer: Callable[[str, int], bytes | Iterator[bytes]]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._stopping = False

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        with closing(socket.create_connection(("127.0.0.1", self.port))):
            self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if self._stopping:
                    return
                connection.settimeout(10)
                try:
                    self._one(connection)
                except OSError:
                    continue  # the client hung up

    def _one(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (data := connection.recv(65536)):
                return
            request += data
        text = request.decode("latin-1")
        self.requests.append(text)
        answer = self._answer(text, len(self.requests) - 1)
        for piece in [answer] if isinstance(answer, bytes) else answer:
            connection.sendall(piece)


def answer(body: Any, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP response; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close", *(headers or (JSON,))]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", status=status)
