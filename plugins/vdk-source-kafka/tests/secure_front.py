"""TLS and SASL in front of a broker that has neither: a proxy that speaks as much of Kafka's protocol as that needs.

It ends TLS, answers the two requests of a PLAIN login itself, and passes everything else on. Brokers tell clients their
own address, which it replaces by its own. The layouts are in https://kafka.apache.org/protocol.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HANDSHAKE, API_VERSIONS, AUTHENTICATE = 17, 18, 36
REFUSED = 58
HOST = b"127.0.0.1"
LARGEST = 100 * 2**20


class SecureFront:
    """A listener with TLS in front of a broker.

    :param port: of the broker. :param context: None: no TLS. :param users: passwords by name; None: no login.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None, users: dict[str, str] | None = None) -> None:
        self._port, self._context, self.users = port, context, users
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._server.getsockname())
        self._own_port = int(self._server.getsockname()[1])
        self.logins: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """One request after the other: two threads must not use a connection with TLS at the same time."""
        with suppress(OSError), connection:
            client = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            with client, socket.create_connection(("127.0.0.1", self._port)) as broker:
                answers, trusted = _frames(broker), self.users is None
                for request in _frames(client):
                    (kind,), id_ = struct.unpack(">h", request[:2]), request[4:8]
                    if kind == HANDSHAKE:
                        answer = id_ + struct.pack(">hih", 0, 1, 5) + b"PLAIN"
                    elif kind == AUTHENTICATE:
                        trusted = self._is_known(request)
                        answer = id_ + _outcome(trusted)
                    elif trusted or kind == API_VERSIONS:
                        broker.sendall(_frame(request))
                        answer = self._changed(next(answers), kind)
                    else:
                        return  # as a broker does to a client that has not logged in
                    client.sendall(_frame(answer))

    def _changed(self, answer: bytes, kind: int) -> bytes:
        theirs, own = (HOST + struct.pack(">i", port) for port in (self._port, self._own_port))
        answer = answer.replace(theirs, own)
        return _with_login(answer) if kind == API_VERSIONS and self.users is not None else answer

    def _is_known(self, request: bytes) -> bool:
        _, name, password = request.split(b"\0")[-3:]
        self.logins.append(name.decode())
        return (self.users or {}).get(name.decode()) == password.decode()


def _frames(connection: socket.socket) -> Iterator[bytes]:
    with connection.makefile("rb") as stream:
        while len(head := stream.read(4)) == 4:
            (size,) = struct.unpack(">i", head)
            if size > LARGEST:  # another protocol: a broker closes the connection, too
                return
            yield stream.read(size)


def _frame(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _outcome(trusted: bool) -> bytes:
    """The body of an answer to a login, version 1."""
    text = b"" if trusted else b"wrong name or password"
    return struct.pack(">hh", 0 if trusted else REFUSED, len(text)) + text + struct.pack(">iq", 0, 0)


def _with_login(versions: bytes) -> bytes:
    """The answer to a request for versions (3), with those of a login before the broker's own."""
    count = versions[6]
    assert 0 < count < 120, "a count of two bytes, which this does not read"
    login = b"".join(struct.pack(">hhhb", kind, 0, 1, 0) for kind in (HANDSHAKE, AUTHENTICATE))
    return versions[:6] + bytes([count + 2]) + login + versions[7:]


@contextmanager
def secure_front(
    port: int, context: ssl.SSLContext | None, users: dict[str, str] | None = None
) -> Iterator[SecureFront]:
    front = SecureFront(port, context, users)
    try:
        yield front
    finally:
        front.close()
