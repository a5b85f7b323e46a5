"""A small CloudQuery destination that writes to SQLite, so that the example needs no other service.

Production uses a destination of CloudQuery's hub; nothing of the source changes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
from cloudquery.discovery_v1 import discovery_pb2, discovery_pb2_grpc
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc


class Discovery(discovery_pb2_grpc.DiscoveryServicer):
    def GetVersions(self, request: Any, context: Any) -> Any:
        return discovery_pb2.GetVersions.Response(versions=[3])


class Lake(plugin_pb2_grpc.PluginServicer):
    """Adds rows to tables, and reads them for the state."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def GetName(self, request: Any, context: Any) -> Any:
        return pb.GetName.Response(name="lake")

    def GetVersion(self, request: Any, context: Any) -> Any:
        return pb.GetVersion.Response(version="v1.0.0")

    def Init(self, request: Any, context: Any) -> Any:
        return pb.Init.Response()

    def Close(self, request: Any, context: Any) -> Any:
        return pb.Close.Response()

    def Write(self, requests: Iterator[Any], context: Any) -> Any:
        for request in requests:
            with self._lock, closing(sqlite3.connect(self._path)) as lake, lake:
                if request.HasField("migrate_table"):
                    schema = schema_of(request.migrate_table.table)
                    create(lake, name_of(schema), schema.names)
                elif request.HasField("insert"):
                    for batch in pa.ipc.open_stream(request.insert.record):
                        values = ", ".join("?" * batch.num_columns)
                        rows = [tuple(map(plain, row.values())) for row in batch.to_pylist()]
                        columns = ", ".join(batch.schema.names)
                        lake.executemany(f"INSERT INTO {name_of(batch.schema)} ({columns}) VALUES ({values})", rows)
        return pb.Write.Response()

    def Read(self, request: Any, context: Any) -> Iterator[Any]:
        schema = schema_of(request.table)
        with closing(sqlite3.connect(self._path)) as lake:
            rows = lake.execute(f"SELECT {', '.join(schema.names)} FROM {name_of(schema)}").fetchall()
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        output = pa.BufferOutputStream()
        with pa.ipc.new_stream(output, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        yield pb.Read.Response(record=output.getvalue().to_pybytes())


def create(lake: sqlite3.Connection, table: str, columns: list[str]) -> None:
    """Create the table, or add the columns that it lacks."""
    lake.execute(f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)})")
    known = {row[1] for row in lake.execute(f"PRAGMA table_info({table})")}
    for column in columns:
        if column not in known:
            lake.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def schema_of(content: bytes) -> pa.Schema:
    with pa.ipc.open_stream(content) as reader:
        return reader.schema


def name_of(schema: pa.Schema) -> str:
    return str(schema.metadata[b"cq:table_name"].decode())


def plain(value: Any) -> Any:
    """A value that SQLite stores."""
    return value if value is None or isinstance(value, (int, float, str, bytes)) else str(value)


@contextmanager
def served(path: Path) -> Iterator[str]:
    """The address of the destination, while it runs."""
    server: Any = grpc.server(ThreadPoolExecutor(4))
    discovery_pb2_grpc.add_DiscoveryServicer_to_server(Discovery(), server)
    plugin_pb2_grpc.add_PluginServicer_to_server(Lake(path), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
