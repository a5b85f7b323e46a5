"""Servers as they are on a bad day, on the loopback."""

from __future__ import annotations

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
