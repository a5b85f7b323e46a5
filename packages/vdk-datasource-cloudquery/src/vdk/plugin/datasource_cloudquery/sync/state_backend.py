# SPDX-License-Identifier: Apache-2.0
"""States in CloudQuery's own place for them: a table of the destination that ``backend_options`` names.

The table has the columns ``key``, ``value`` and ``version``. A destination that adds rows rather than replace them has
several of one key, of which the highest version counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc
import msgspec
import pyarrow as pa
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, StateError
from vdk.plugin.datasource_base.parts import StateKey, StoredState

from ..tables.record_batches import record_message, record_messages, schema_message

SECONDS = 60.0
"""How long the backend may take for a request."""


class _Value(msgspec.Struct, forbid_unknown_fields=True):
    """What the column ``value`` holds, as JSON."""

    state: dict[str, Any]
    run: str


def state_schema(table: str) -> pa.Schema:
    key = pa.field("key", pa.string(), False, {"cq:extension:primary_key": "true"})
    columns = [key, pa.field("value", pa.string()), pa.field("version", pa.uint64())]
    return pa.schema(columns, {"cq:table_name": table, "cq:extension:constraint_name": f"{table}_cqpk"})


def state_record(table: str, states: Iterable[StoredState]) -> pa.RecordBatch:
    """States as rows of the table."""
    rows = [
        (_encoded_key(each.key), msgspec.json.encode(_Value(dict(each.state), each.run_id)).decode(), each.version)
        for each in states
    ]
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [[], [], []]
    schema = state_schema(table)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _encoded_key(key: StateKey) -> str:
    return msgspec.json.encode([key.source_id, key.source_identity, key.stream, key.partition, key.table]).decode()


class StateBackend:
    """The states of one table, read and written through the destination's plugin."""

    def __init__(self, connection: str, table: str) -> None:
        self.table = table
        self._address = f"unix://{connection}" if connection.startswith("/") else connection

    def load(self, source_id: str, identity: str) -> list[StoredState]:
        """The states of a source that reads this set of data. Creates the table if it is missing.

        :raises ConnectionFailedError: if the destination is unreachable. :raises ConfigurationError: if it cannot be
            read from. :raises StateError: for what is not a state.
        """
        migrate = pb.Write.MessageMigrateTable(table=schema_message(state_schema(self.table)))
        request = pb.Read.Request(table=migrate.table)
        newest: dict[StateKey, StoredState] = {}
        with self._stub() as stub:
            stub.Write(iter([pb.Write.Request(migrate_table=migrate)]), timeout=SECONDS, wait_for_ready=True)
            for response in stub.Read(request, timeout=SECONDS):
                for state in self._states(response.record):
                    key = state.key
                    known = newest.get(key)
                    if known is None or known.version <= state.version:
                        newest[key] = state
        return [state for key, state in newest.items() if (key.source_id, key.source_identity) == (source_id, identity)]

    def store(self, states: Sequence[StoredState]) -> None:
        """Write states, in one request. Raises what ``load`` raises."""
        if not states:
            return
        messages = [
            pb.Write.Request(insert=pb.Write.MessageInsert(record=content))
            for content in record_messages(state_record(self.table, states))
        ]
        with self._stub() as stub:
            stub.Write(iter(messages), timeout=SECONDS)

    def checkpoint(self, state: StoredState) -> Any:
        """The message that lets the command write a state once the rows before it have landed."""
        content = record_message(state_record(self.table, [state]))
        return pb.Sync.Response(checkpoint=pb.Sync.MessageCheckpoint(record=content))

    def _states(self, content: bytes) -> Iterator[StoredState]:
        with pa.ipc.open_stream(content) as reader:
            rows = [row for batch in reader for row in batch.to_pylist()]
        for row in rows:
            try:
                key = StateKey(*msgspec.json.decode(row["key"], type=tuple[str, str, str, str, str]))
            except (msgspec.MsgspecError, KeyError, TypeError):
                continue  # of another plugin, which shares the table
            try:
                value = msgspec.json.decode(row["value"], type=_Value)
            except (msgspec.MsgspecError, KeyError, TypeError) as error:
                raise StateError(
                    f"the state of stream {key.stream!r} in the table {self.table!r} is damaged: {error}; delete its "
                    f"row, or write another backend_options.table_name, to read from the beginning"
                ) from None
            yield StoredState(key, int(row.get("version") or 0), value.state, value.run)

    def _stub(self) -> _Stub:
        return _Stub(self._address, self.table)


class _Stub:
    """A connection to the destination's plugin, whose errors are the contract's."""

    def __init__(self, address: str, table: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        self._what = f"backend_options: the table {table!r} of the destination at {address}"

    def __enter__(self) -> Any:
        return plugin_pb2_grpc.PluginStub(self._channel)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._channel.close()
        if not isinstance(error, grpc.RpcError):
            return
        code, details = error.code(), error.details()
        if code == grpc.StatusCode.UNIMPLEMENTED:
            raise ConfigurationError(
                f"{self._what} cannot be read, so it cannot hold states; name another destination in backend_options, "
                "or remove backend_options to read every table whole"
            ) from None
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise ConnectionFailedError(f"{self._what} is unreachable: {details}") from None
        raise StateError(f"{self._what} refused the request: {code.name}: {details}") from None
