"""Servers as they are on a bad day, on the loopback."""

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
    """A port where nobody listens."""
    with closing(socket.create_server((HOST, 0))) as server:
        return int(server.getsockname()[1])


@contextmanager
def served(handle: Handler) -> Iterator[int]:
    """A port behind which every connection is handed to ``handle``; all are closed at the end."""
    taken: list[socket.socket] = []
    with closing(socket.create_server((HOST, 0))) as server:
        server.settimeout(0.05)  # so that the thread sees the end
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                taken.append(connection)
                handle(connection)

        thread = threading.Thread(target=accept, name="conformance server", daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()
            for connection in taken:
                connection.close()


def silent(connection: socket.socket) -> None:
    """Takes the request and never answers."""


def breaking(connection: socket.socket) -> None:
    """Resets the connection once there is a request, as a load balancer does that has lost its server."""
    connection.settimeout(0.5)  # a client may well wait for the server to speak first
    with suppress(OSError):
        connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def babbling(connection: socket.socket) -> None:
    """Answers what no protocol knows, and hangs up."""
    connection.settimeout(5)
    try:
        connection.recv(1)
        connection.sendall(b"\x00\xff<html>it works!</html>\r\n\r\n" * 3)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):  # closing with unread data would reset the connection before it is read
            pass
    except OSError:
        pass  # the other side has gone
    connection.close()


class Proxy:
    """Passes bytes between clients and a server; cuts the connection over which byte ``cut_after`` is due.

    Later connections pass whole, so that a source which connects again shows where it goes on. The cut is a plain
    end of the connection: a reader that takes it for the end of the data gives a part in silence.
    """

    def __init__(self, server_port: int, cut_after: int | None = None) -> None:
        self.passed = 0
        """Bytes of answers that came through, over all connections."""
        self._server_port = server_port
        self._cut_after = cut_after
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def take(self, client: socket.socket) -> None:
        """Serves a connection in a thread of its own: a client may hold several."""
        thread = threading.Thread(target=self._forward, args=(client,), name="conformance proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _forward(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((HOST, self._server_port), 5) as server:
            watched = [client, server]
            while not self._ended.is_set():
                ready = select.select(watched, [], [], 0.05)[0]  # so that the thread sees the end
                if client in ready:
                    if question := client.recv(65536):
                        server.sendall(question)
                    else:  # it has asked everything, and may still read
                        watched.remove(client)
                        server.shutdown(socket.SHUT_WR)
                if server in ready and not self._answered(client, server.recv(65536)):
                    client.shutdown(socket.SHUT_WR)
                    return

    def _answered(self, client: socket.socket, answer: bytes) -> bool:
        """Passes an answer; False where the connection ends here."""
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
    """The port of a proxy in front of a server on the loopback, and the proxy."""
    proxy = Proxy(server_port, cut_after)
    with served(proxy.take) as port:
        try:
            yield port, proxy
        finally:
            proxy.end()
