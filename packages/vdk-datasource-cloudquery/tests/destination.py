"""A small CloudQuery destination, in memory, over gRPC: tables, rows by their keys, deletes, and reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pyarrow as pa
from cloudquery.discovery_v1 import discovery_pb2, discovery_pb2_grpc
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc

Row = dict[str, Any]


def schema_of(content: bytes) -> pa.Schema:
    with pa.ipc.open_stream(content) as reader:
        return reader.schema


def batch_of(content: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_next_batch()


def table_name(schema: pa.Schema) -> str:
    return str(schema.metadata[b"cq:table_name"].decode())


def key_of(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if (field.metadata or {}).get(b"cq:extension:primary_key") == b"true"]


class Discovery(discovery_pb2_grpc.DiscoveryServicer):
    def GetVersions(self, request: Any, context: Any) -> Any:
        return discovery_pb2.GetVersions.Response(versions=[3])


class Destination(plugin_pb2_grpc.PluginServicer):
    """``tables``: the rows; ``schemas``: the latest schema of each; ``log``: what arrived, in its order."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {}
        self.schemas: dict[str, pa.Schema] = {}
        self.log: list[str] = []
        self.largest = 0
        self._lock = threading.Lock()
        self.server: Any = grpc.server(ThreadPoolExecutor(8))
        plugin_pb2_grpc.add_PluginServicer_to_server(self, self.server)
        discovery_pb2_grpc.add_DiscoveryServicer_to_server(Discovery(), self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Destination:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(0).wait()

    def GetName(self, request: Any, context: Any) -> Any:
        return pb.GetName.Response(name="memory")

    def GetVersion(self, request: Any, context: Any) -> Any:
        return pb.GetVersion.Response(version="v1.0.0")

    def GetSpecSchema(self, request: Any, context: Any) -> Any:
        return pb.GetSpecSchema.Response()

    def Init(self, request: Any, context: Any) -> Any:
        return pb.Init.Response()

    def TestConnection(self, request: Any, context: Any) -> Any:
        return pb.TestConnection.Response(success=True)

    def Close(self, request: Any, context: Any) -> Any:
        return pb.Close.Response()

    def Write(self, requests: Iterator[Any], context: Any) -> Any:
        for request in requests:
            self.largest = max(self.largest, request.ByteSize())
            with self._lock:
                self._write(request)
        return pb.Write.Response()

    def _write(self, request: Any) -> None:
        kind = request.WhichOneof("message")
        if kind == "migrate_table":
            schema = schema_of(request.migrate_table.table)
            name = table_name(schema)
            self.schemas[name] = schema
            self.tables.setdefault(name, [])
        elif kind == "insert":
            batch = batch_of(request.insert.record)
            name = table_name(batch.schema)
            assert batch.schema.names == self.schemas[name].names, "rows of a schema that no message announced"
            self._insert(name, batch)
        elif kind == "delete":
            name = request.delete.table_name
            time = request.delete.sync_time.ToDatetime()
            self.tables[name] = [row for row in self.tables[name] if row["_cq_sync_time"].replace(tzinfo=None) >= time]
        elif kind == "delete_record":
            name = request.delete_record.table_name
            (group,) = request.delete_record.where_clause
            values = {each.column: batch_of(each.record).column(0)[0].as_py() for each in group.predicates}
            self.tables[name] = [
                row for row in self.tables[name] if any(row[column] != value for column, value in values.items())
            ]
        self.log.append(f"{kind} {name}")

    def _insert(self, name: str, batch: pa.RecordBatch) -> None:
        rows: list[Row] = batch.to_pylist()
        key = key_of(batch.schema)
        if key:
            new = {tuple(row[column] for column in key) for row in rows}
            kept = [row for row in self.tables[name] if tuple(row[column] for column in key) not in new]
            self.tables[name] = kept
        self.tables[name].extend(rows)

    def Read(self, request: Any, context: Any) -> Iterator[Any]:
        schema = schema_of(request.table)
        rows = self.tables.get(table_name(schema), [])
        batch = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield pb.Read.Response(record=sink.getvalue().to_pybytes())

    def rows(self, table: str) -> list[Row]:
        """The rows of a table, without CloudQuery's own columns."""
        return [
            {name: value for name, value in row.items() if not name.startswith("_cq_")} for row in self.tables[table]
        ]
