# SPDX-License-Identifier: Apache-2.0
"""Checks that a source works as a CloudQuery plugin: ``CloudQueryConformance``, for the tests of a source's author."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import pyarrow as pa
import pytest
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc

from vdk.plugin.datasource_base.contract import DataSource
from vdk.plugin.datasource_base.parts import Redactor

from .serving.server import Server
from .tables.names import fold_name

MakeSource = Callable[[], DataSource[Any]]
SECONDS = 60.0


class CloudQueryConformance:
    """Serves a source over gRPC, and asks what the CLI asks. Inherit from it, and define the fixture ``source``.

    The fixtures are those of ``DataSourceConformance``, with which it can be combined: ``source`` returns a function
    that makes a new source; optional are ``expected`` (the rows of each stream) and ``bad_source`` (makes a source
    whose data is missing).
    """

    def test_the_schema_of_the_spec_has_every_option(self, source: MakeSource) -> None:
        """``validate-config`` and editors refuse an option that the schema lacks."""
        with _served(source) as stub:
            schema = json.loads(stub.GetSpecSchema(pb.GetSpecSchema.Request()).json_schema)
        root = schema["$defs"][schema["$ref"].rpartition("/")[2]]
        missing = set(source().config.__struct_encode_fields__) - set(root["properties"])
        assert not missing, f"the JSON schema lacks the options {sorted(missing)}"

    def test_an_unknown_option_is_named(self, source: MakeSource) -> None:
        """A misspelt option must not be ignored: the sync would read something else."""
        with _served(source) as stub:
            error = _error_of(lambda: _init(stub, {"no_such_option": 1}))
        assert error is not None, "Init accepts an option that does not exist"
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "no_such_option" in error.details(), f"the error does not name the option: {error.details()}"

    def test_a_sync_announces_the_tables_that_are_listed(self, source: MakeSource) -> None:
        """A destination creates its tables before the rows arrive."""
        with _served(source) as stub:
            _init(stub)
            tables = stub.GetTables(pb.GetTables.Request(tables=["*"])).tables
            listed = {_table_name(_schema(content)) for content in tables}
            messages = _sync(stub)
        assert listed, "the source has no table"
        announced: set[str] = set()
        for message in messages:
            if message.HasField("migrate_table"):
                announced.add(_table_name(_schema(message.migrate_table.table)))
            elif message.HasField("insert"):
                name = _table_name(_schema(message.insert.record))
                assert name in announced, f"rows of {name!r} arrived before the table was announced"
        assert all(name == fold_name(name) for name in listed | announced)

    def test_every_row_arrives(self, source: MakeSource, request: pytest.FixtureRequest) -> None:
        """Each row once, whatever the number of messages."""
        expected: Mapping[str, list[Any]] | None = _optional(request, "expected")
        if expected is None:
            pytest.skip("the fixture `expected` is not defined: the rows of each stream")
        with _served(source) as stub:
            _init(stub)
            counts: dict[str, int] = {}
            for message in _sync(stub):
                if message.HasField("insert"):
                    batch = _batch(message.insert.record)
                    name = _table_name(batch.schema)
                    counts[name] = counts.get(name, 0) + batch.num_rows
        for stream, rows in expected.items():
            name = fold_name(stream)
            assert counts.get(name, 0) == len(rows), f"{name!r} has {counts.get(name, 0)} rows, expected {len(rows)}"

    def test_missing_data_ends_the_sync_with_an_error(self, request: pytest.FixtureRequest) -> None:
        """An empty table would look as if everything had been deleted."""
        bad_source: MakeSource | None = _optional(request, "bad_source")
        if bad_source is None:
            pytest.skip("the fixture `bad_source` is not defined: it makes a source whose data is missing")
        with _served(bad_source) as stub:
            _init(stub)
            error = _error_of(lambda: _sync(stub))
        assert error is not None, "a sync of a source whose data is missing succeeds"
        assert error.details(), "the error has no text"
        assert "Traceback" not in error.details(), f"the error is a traceback: {error.details()}"

    def test_an_aborted_sync_disconnects(self, source: MakeSource) -> None:
        """The CLI ends a sync when a destination fails: connections must not stay open."""
        disconnected = threading.Event()

        def made() -> DataSource[Any]:
            each = source()
            disconnect = each.disconnect

            def disconnect_and_tell() -> None:
                disconnect()
                disconnected.set()

            each.disconnect = disconnect_and_tell  # type: ignore[method-assign]  # this object's alone, of any class
            return each

        with _served(made) as stub:
            _init(stub)
            call = stub.Sync(pb.Sync.Request(tables=["*"]))
            next(call, None)
            call.cancel()
            assert disconnected.wait(SECONDS), f"the source was not disconnected within {SECONDS:g} s"

    def test_no_secret_is_shown(
        self, source: MakeSource, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log of a plugin and its errors become part of the CLI's log, which is copied into tickets."""
        caplog.set_level(logging.DEBUG)
        errors = []
        for make in filter(None, (source, _optional(request, "bad_source"))):
            redact = Redactor.of_config(make().config)
            with _served(make) as stub:
                _init(stub)
                error = _error_of(partial(_sync, stub))
                errors.append(error.details() if error is not None else "")
            for text in (*errors, *(record.getMessage() for record in caplog.records)):
                assert redact(text) == text, "a log line or an error contains a secret of the configuration"


def _optional(request: pytest.FixtureRequest, name: str) -> Any:
    try:
        return request.getfixturevalue(name)
    except pytest.FixtureLookupError:
        return None


@contextmanager
def _served(make: MakeSource) -> Iterator[Any]:
    server = Server(make().source_name, make)
    channel = grpc.insecure_channel(f"127.0.0.1:{server.start('127.0.0.1:0')}")
    try:
        yield plugin_pb2_grpc.PluginStub(channel)
    finally:
        channel.close()
        server.stop()


def _init(stub: Any, spec: Mapping[str, Any] | None = None) -> None:
    stub.Init(pb.Init.Request(spec=json.dumps(spec or {}).encode()), timeout=SECONDS)


def _sync(stub: Any) -> list[Any]:
    return list(stub.Sync(pb.Sync.Request(tables=["*"]), timeout=SECONDS * 5))


def _error_of(request: Callable[[], object]) -> Any:
    """The error that a request ends with; None: it succeeds."""
    try:
        request()
    except grpc.RpcError as error:
        return error
    return None


def _schema(content: bytes) -> pa.Schema:
    with pa.ipc.open_stream(content) as reader:
        return reader.schema


def _batch(content: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_next_batch()


def _table_name(schema: pa.Schema) -> str:
    return str(schema.metadata[b"cq:table_name"].decode())
