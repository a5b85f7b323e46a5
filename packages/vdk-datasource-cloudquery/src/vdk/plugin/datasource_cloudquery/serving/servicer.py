# SPDX-License-Identifier: Apache-2.0
"""The services that CloudQuery calls. They import little, so that a local plugin listens soon after it starts.

The CLI kills a plugin that does not listen within 7 seconds, which Arrow and a source's client may take on a busy
machine: ``requests``, which needs them, is imported meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc
from cloudquery.discovery_v1 import discovery_pb2, discovery_pb2_grpc
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc

if TYPE_CHECKING:
    from ..source.spec import MakeSource
    from .requests import Requests


class DiscoveryServicer(discovery_pb2_grpc.DiscoveryServicer):
    """Names the versions of the protocol."""

    def GetVersions(self, request: Any, context: grpc.ServicerContext) -> Any:
        return discovery_pb2.GetVersions.Response(versions=[3])


class PluginServicer(plugin_pb2_grpc.PluginServicer):
    """Passes requests on. Those of destinations and transformers are answered as unimplemented, by the base class."""

    def __init__(self, name: str, made: MakeSource | None = None) -> None:
        self._name = name
        self._made = made
        self._lock = threading.Lock()
        self._requests: Requests | None = None

    def load(self) -> Requests:
        """Import what answers requests."""
        with self._lock:
            if self._requests is None:
                from .requests import Requests

                self._requests = Requests(self._name, self._made)
            return self._requests

    def close(self) -> None:
        """End the sync that runs, and disconnect the source. Idempotent."""
        if self._requests is not None:
            self._requests.close()

    def GetName(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.GetName.Response(name=self._name)

    def GetVersion(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.load().version(request, context)

    def GetSpecSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.load().spec_schema(request, context)

    def Init(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.load().init(request, context)

    def GetTables(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.load().tables(request, context)

    def Sync(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        return self.load().sync(request, context)

    def TestConnection(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.load().test_connection(request, context)

    def Close(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.load().end(request, context)
