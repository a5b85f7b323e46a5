# SPDX-License-Identifier: Apache-2.0
"""Broken servers on the loopback, and a proxy that cuts connections."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

Handler = Callable[[socket.socket], None]
HOST = "127.0.0.1"


def closed_port() -> int:
    """A port without a server."""
    with closing(socket.create_server((HOST, 0))) as server:
        return int(server.getsockname()[1])


@contextmanager
def served(handle: Handler) -> Iterator[int]:
    """The port of a server that passes every connection to ``handle``, and closes all of them at the end."""
    connections: list[socket.socket] = []
    with closing(socket.create_server((HOST, 0))) as server:
        server.settimeout(0.05)  # so that the thread sees the end
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                connections.append(connection)
                handle(connection)

        thread = threading.Thread(target=accept, name="conformance server", daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()
            for connection in connections:
                connection.close()


def silent(connection: socket.socket) -> None:
    """Accept the request and never answer."""


def resetting(connection: socket.socket) -> None:
    """Reset the connection on the first byte, as a load balancer does that has lost its server."""
    connection.settimeout(0.5)  # a client may wait for the server to begin
    with suppress(OSError):
        connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def meaningless(connection: socket.socket) -> None:
    """Answer with bytes of no protocol, and close the connection."""
    connection.settimeout(5)
    try:
        connection.recv(1)
        connection.sendall(b"\x00\xff<html>it works!</html>\r\n\r\n" * 3)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):  # closing with unread data would reset the connection before it is read
            pass
    except OSError:
        pass  # the client has closed the connection
    connection.close()


class Proxy:
    """Passes bytes between clients and a server, and cuts the connection that would pass byte ``cut_after``.

    Later connections pass completely, which shows where a source that connects again resumes. The cut is a normal end
    of the connection: a reader that treats it as the end of the data yields a part without an error.
    """

    def __init__(self, server_port: int, cut_after: int | None = None) -> None:
        self.passed = 0
        """Bytes of answers that were passed, over all connections."""
        self.connections = 0
        """How many there were."""
        self._server_port = server_port
        self._cut_after = cut_after
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def accept(self, client: socket.socket) -> None:
        """Serve a connection in a thread of its own, since a client may open several."""
        self.connections += 1
        thread = threading.Thread(target=self._forward, args=(client,), name="conformance proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """End the connections that are open now; later ones pass."""
        self.end()
        self._ended.clear()

    def _forward(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((HOST, self._server_port), 5) as server:
            sockets = [client, server]
            while not self._ended.is_set():
                ready = select.select(sockets, [], [], 0.05)[0]  # so that the thread sees the end
                if client in ready:
                    if request := client.recv(65536):
                        server.sendall(request)
                    else:  # the client sends no more, and may still read
                        sockets.remove(client)
                        server.shutdown(socket.SHUT_WR)
                if server in ready and not self._pass_on(client, server.recv(65536)):
                    client.shutdown(socket.SHUT_WR)
                    return

    def _pass_on(self, client: socket.socket, answer: bytes) -> bool:
        """Pass an answer on; False if the connection ends with it."""
        with self._lock:
            left = None if self._cut_after is None else self._cut_after - self.passed
            cut = left is not None and len(answer) > left
            if cut:
                answer, self._cut_after = answer[:left], None
            self.passed += len(answer)
        client.sendall(answer)
        return bool(answer) and not cut


@contextmanager
def proxied(server_port: int, cut_after: int | None = None) -> Iterator[tuple[int, Proxy]]:
    """The port of a proxy for a server on the loopback, and the proxy."""
    proxy = Proxy(server_port, cut_after)
    with served(proxy.accept) as port:
        try:
            yield port, proxy
        finally:
            proxy.end()
