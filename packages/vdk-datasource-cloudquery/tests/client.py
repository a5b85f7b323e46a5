"""A bare client of the protocol: what the CLI sends, without the CLI."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
import pyarrow as pa
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc

from destination import Row, batch_of, schema_of, table_name
from vdk.plugin.datasource_cloudquery.serving.server import Server


class Client:
    """``stub``: the plugin. What a sync sent is in ``sent``, ``migrated`` and ``rows``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.channel = grpc.insecure_channel(address)
        self.stub: Any = plugin_pb2_grpc.PluginStub(self.channel)
        self.sent: list[Any] = []
        self.migrated: dict[str, pa.Schema] = {}
        self.rows: dict[str, list[Row]] = {}

    def init(self, spec: object = None) -> None:
        self.stub.Init(pb.Init.Request(spec=json.dumps(spec or {}).encode()))

    def tables(self, include: Sequence[str] = ("*",), **options: Any) -> dict[str, pa.Schema]:
        response = self.stub.GetTables(pb.GetTables.Request(tables=include, **options))
        return {table_name(schema): schema for schema in map(schema_of, response.tables)}

    def sync(self, include: Sequence[str] = ("*",), **options: Any) -> dict[str, list[Row]]:
        """The rows of each table, without the columns that are added, unless the row is deleted."""
        self.sent, self.migrated, self.rows = [], {}, {}
        for response in self.stub.Sync(pb.Sync.Request(tables=include, **options)):
            self.sent.append(response)
            if response.HasField("migrate_table"):
                schema = schema_of(response.migrate_table.table)
                self.migrated[table_name(schema)] = schema
                self.rows.setdefault(table_name(schema), [])
            elif response.HasField("insert"):
                assert response.ByteSize() < 3_100_000
                batch = batch_of(response.insert.record)
                assert batch.schema.equals(self.migrated[table_name(batch.schema)], check_metadata=True)
                rows = batch.drop_columns(["_cq_id", "_cq_parent_id"]).to_pylist()
                for row in rows:
                    if row.get("_vdk_deleted_at") is None:
                        row.pop("_vdk_deleted_at", None)
                self.rows[table_name(batch.schema)] += rows
        return self.rows

    def kinds(self) -> list[str]:
        """What the last sync sent, message by message."""
        return [str(each.WhichOneof("message")) for each in self.sent]


@contextmanager
def served(name: str, made: Any = None) -> Iterator[Client]:
    """A client of a server in this process."""
    server = Server(name, made)
    port = server.start("127.0.0.1:0")
    client = Client(f"127.0.0.1:{port}")
    try:
        yield client
    finally:
        client.channel.close()
        server.stop()


@contextmanager
def refused() -> Iterator[list[tuple[str, str]]]:
    """Expects a request to fail; gets the status and the text."""
    errors: list[tuple[str, str]] = []
    try:
        yield errors
    except grpc.RpcError as error:
        errors.append((error.code().name, error.details()))
    assert errors, "the request did not fail"
