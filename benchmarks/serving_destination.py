"""A CloudQuery destination that decodes what it gets, and keeps nothing. It prints its address."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pyarrow as pa
from cloudquery.discovery_v1 import discovery_pb2, discovery_pb2_grpc
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc


class Discovery(discovery_pb2_grpc.DiscoveryServicer):
    def GetVersions(self, request: Any, context: Any) -> Any:
        return discovery_pb2.GetVersions.Response(versions=[3])


class Nowhere(plugin_pb2_grpc.PluginServicer):
    """What the command asks of a destination in a sync."""

    def GetName(self, request: Any, context: Any) -> Any:
        return pb.GetName.Response(name="nowhere")

    def GetVersion(self, request: Any, context: Any) -> Any:
        return pb.GetVersion.Response(version="v1.0.0")

    def Init(self, request: Any, context: Any) -> Any:
        return pb.Init.Response()

    def Close(self, request: Any, context: Any) -> Any:
        return pb.Close.Response()

    def Write(self, requests: Iterator[Any], context: Any) -> Any:
        for request in requests:
            if request.HasField("insert"):
                pa.ipc.open_stream(request.insert.record).read_all()
        return pb.Write.Response()


def main() -> None:
    server: Any = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    discovery_pb2_grpc.add_DiscoveryServicer_to_server(Discovery(), server)
    plugin_pb2_grpc.add_PluginServicer_to_server(Nowhere(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
