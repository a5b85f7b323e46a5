"""A proxy on the loopback that cuts one connection in the middle of an answer."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ._servers import HOST, served


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
