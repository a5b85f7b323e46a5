# SPDX-License-Identifier: Apache-2.0
"""The process that serves one source to CloudQuery, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from cloudquery.discovery_v1 import discovery_pb2_grpc
from cloudquery.plugin_v3 import plugin_pb2_grpc

from .json_logs import log_json, take_standard_output
from .servicer import DiscoveryServicer, PluginServicer

if TYPE_CHECKING:
    from ..source.spec import MakeSource

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0
"""How long running requests may take to end after a signal."""


class AddressError(Exception):
    """The address cannot be listened on."""


class Server:
    """A gRPC server for one source.

    :param made: makes the source, instead of the options of a spec: for tests.
    """

    def __init__(self, name: str, made: MakeSource | None = None) -> None:
        self._servicer = PluginServicer(name, made)
        # A message of rows has less than 4 MB, but one of a large spec may have more.
        self._server: Any = grpc.server(
            ThreadPoolExecutor(max_workers=8, thread_name_prefix="request"),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        discovery_pb2_grpc.add_DiscoveryServicer_to_server(DiscoveryServicer(), self._server)
        plugin_pb2_grpc.add_PluginServicer_to_server(self._servicer, self._server)

    def start(self, address: str, network: str = "tcp") -> int:
        """Listen; returns the port. Raises ``AddressError``."""
        if network == "tcp":
            _check_port(address)
        target = f"unix://{os.path.abspath(address)}" if network == "unix" else address
        try:
            port: int = self._server.add_insecure_port(target)
        except RuntimeError:
            raise _cannot_listen(address, network) from None
        self._server.start()
        threading.Thread(target=self._servicer.load, name="load", daemon=True).start()
        return port

    def stop(self) -> None:
        """End all requests, and disconnect the source. Idempotent."""
        stopped = self._server.stop(STOP_SECONDS)
        self._servicer.close()
        stopped.wait(STOP_SECONDS)
        self._servicer.close()


def _check_port(address: str) -> None:
    """Refuse what gRPC would listen on elsewhere: it takes 99999 modulo 65536, and 443 for a missing port."""
    host, _, port = address.rpartition(":")
    valid = port.isdecimal() and int(port) <= 65535
    if not (host and valid):
        example = f"{host or '127.0.0.1'}:{port if valid else 7777}"
        raise AddressError(
            f"--address {address}: expected a host and a port of at most 65535; write --address {example}"
        )


def _cannot_listen(address: str, network: str) -> AddressError:
    """The error with the system's reason, which gRPC does not pass on."""
    if network == "unix":
        return AddressError(
            f"--address {address}: the socket cannot be created; write a path of at most 107 characters in a folder "
            "that exists and is writable, as in --network unix --address /tmp/source.sock"
        )
    host, _, port = address.rpartition(":")
    reason = "gRPC gives no reason"
    try:
        family, kind, *_, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(place)
    except OSError as error:
        reason = error.strerror or str(error)
    return AddressError(
        f"--address {address}: it cannot be listened on ({reason}); is another server running there? Write a host of "
        "this machine and another port, as in --address 127.0.0.1:7778"
    )


def serve(name: str, address: str, network: str, *, level: str = "info") -> None:
    """Serve until a signal; returns after the source is disconnected."""
    log_json(name, level, take_standard_output())
    server = Server(name)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    port = server.start(address, network)
    place = address if network == "unix" else f"{address.rpartition(':')[0]}:{port}"
    log.info("serving the source %s on %s", name, place)
    stopped.wait()
    log.info("stopped by a signal")
    # a source that hangs in a client library would keep the process alive: while it connects, or reads
    ending = threading.Thread(target=server.stop, name="stop", daemon=True)
    ending.start()
    ending.join(STOP_SECONDS)
    logging.shutdown()
    os._exit(0)
