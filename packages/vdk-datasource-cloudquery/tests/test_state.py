"""States in the destination that ``backend_options`` names."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from cloudquery.plugin_v3 import plugin_pb2 as pb

from client import refused, served
from destination import Destination, batch_of
from sources import MadeSource, MadeStream, made, numbered, rows_of
from vdk.plugin.datasource_base import DataSourcePayload, StreamSchema
from vdk.plugin.datasource_cloudquery.source.session import Session
from vdk.plugin.datasource_cloudquery.source.spec import Spec
from vdk.plugin.datasource_cloudquery.sync.state_backend import StateBackend
from vdk.plugin.datasource_cloudquery.sync.sync import Sync


def backend(destination: Destination, table: str = "cq_state") -> Any:
    return pb.Sync.BackendOptions(table_name=table, connection=destination.address)


def request_for(destination: Destination) -> Any:
    return pb.Sync.Request(tables=["*"], backend=backend(destination))


def states(destination: Destination) -> dict[str, Any]:
    """Stream → state."""
    newest = sorted(destination.tables.get("cq_state", []), key=lambda row: row["version"])
    return {msgspec.json.decode(row["key"])[2]: msgspec.json.decode(row["value"])["state"] for row in newest}


def test_a_sync_continues_from_the_state(destination: Destination) -> None:
    source = made(numbered(count=5), rows_of("whole", {"a": 1}))
    with served("made", lambda: source) as client:
        client.init()
        assert client.sync(backend=backend(destination))["numbers"] == [{"n": n} for n in range(5)]
        assert states(destination) == {"numbers": {"next": 5}}
        assert client.migrated["numbers"].metadata[b"cq:extension:incremental"] == b"true"
        assert b"cq:extension:incremental" not in client.migrated["whole"].metadata
        source._streams = [numbered(count=7), rows_of("whole", {"a": 1})]
        client.tables()  # connects without the states
        assert client.sync(backend=backend(destination)) == {"numbers": [{"n": 5}, {"n": 6}], "whole": [{"a": 1}]}
        assert source.states.of("numbers") == {"next": 5}
        assert states(destination) == {"numbers": {"next": 7}}


def test_without_a_backend_every_table_is_read_whole() -> None:
    with served("made", lambda: made(numbered())) as client:
        client.init()
        for _ in range(2):
            assert len(client.sync()["numbers"]) == 5
        assert b"cq:extension:incremental" not in client.migrated["numbers"].metadata


def test_no_state_is_written_if_a_stream_fails(destination: Destination) -> None:
    """The rows of the good stream were handed over, but nothing tells whether they landed."""
    with served("made", lambda: made(numbered("good"), numbered("bad", fail=ValueError("broken")))) as client:
        client.init()
        with refused():
            client.sync(backend=backend(destination))
    assert states(destination) == {}


def test_the_state_is_written_after_the_last_row(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows are read, and wait to be sent: a command that ends now must not leave a state that is ahead of them."""
    source, stored = made(numbered()), threading.Event()
    monkeypatch.setattr(StateBackend, "store", lambda backend, states: stored.set())
    sync = Sync(Session(Spec.parse(MadeSource, b"", lambda: source)), request_for(destination))
    messages = sync.messages()
    assert next(messages).HasField("migrate_table")
    assert source.ended.wait(60)
    assert not stored.wait(1)
    assert next(messages).HasField("insert")
    assert list(messages) == []
    assert stored.is_set()


def test_checkpoints_carry_the_states_if_the_command_asks_for_them(destination: Destination) -> None:
    """Then the command writes the states itself, once the rows before them have landed."""
    with served("made", lambda: made(numbered())) as client:
        client.init()
        client.sync(backend=backend(destination), supports_checkpoints=True)
        assert client.kinds()[-1] == "checkpoint"
        ((row),) = batch_of(client.sent[-1].checkpoint.record).to_pylist()
        assert msgspec.json.decode(row["value"])["state"] == {"next": 5}
    assert states(destination) == {}


def test_the_highest_version_counts(destination: Destination) -> None:
    """A destination that can only append has a row for each sync."""
    with served("made", lambda: made(numbered(count=9))) as client:
        client.init()
        client.sync(backend=backend(destination))
        (row,) = destination.tables["cq_state"]
        older = {**row, "version": 0, "value": row["value"].replace('"next":9', '"next":2')}
        destination.tables["cq_state"] = [row, older]
        assert client.sync(backend=backend(destination)) == {"numbers": []}


def test_nothing_new_announces_no_guessed_types(destination: Destination) -> None:
    """The columns of an API are known by its records only; a guess would be a migration that a destination refuses."""

    def read(state: Any) -> Any:
        if not state:
            yield DataSourcePayload([{"id": 7}], state={"at": 1})

    schema = StreamSchema(pa.schema([("id", pa.null())]), ("id",), open=True)
    with served("made", lambda: made(MadeStream("records", read, schema, incremental=True))) as client:
        client.init()
        client.sync(backend=backend(destination))
        assert client.migrated["records"].field("id").type == pa.int64()
        client.sync(backend=backend(destination))
        assert client.kinds() == []
        client.sync()  # without the state
        assert client.migrated["records"].field("id").type == pa.int64()


def test_a_table_without_rows_is_announced() -> None:
    """So that the command deletes the rows that an earlier sync has brought."""
    schema = StreamSchema(pa.schema([("id", pa.null())]), ("id",), open=True)
    with served("made", lambda: made(rows_of("records", schema=schema))) as client:
        client.init()
        assert client.sync() == {"records": []}


def test_a_damaged_state_is_an_error(destination: Destination) -> None:
    with served("made", lambda: made(numbered())) as client:
        client.init()
        client.sync(backend=backend(destination))
        destination.tables["cq_state"][0]["value"] = '{"state": 5'
        with refused() as errors:
            client.sync(backend=backend(destination))
    assert "the state of stream 'numbers' in the table 'cq_state' is damaged" in errors[0][1]


def test_states_of_other_data_are_left_alone(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several sources may share the table."""
    source = made(numbered())
    with served("made", lambda: source) as client:
        client.init()
        client.sync(backend=backend(destination))
        monkeypatch.setattr(source, "identity", lambda: "another account")
        assert len(client.sync(backend=backend(destination))["numbers"]) == 5
    assert len(destination.tables["cq_state"]) == 2


def test_a_backend_that_cannot_be_read_is_named(destination: Destination) -> None:
    source = made(numbered())
    with served("other", lambda: made()) as source_without_read, served("made", lambda: source) as client:
        client.init()
        client.tables()
        address = source_without_read.address
        with refused() as errors:
            client.sync(backend=pb.Sync.BackendOptions(table_name="t", connection=address))
        assert (source.connected, source.disconnected) == (1, 1)
    assert errors[0][0] == "INVALID_ARGUMENT"
    assert "so it cannot hold states; name another destination in backend_options" in errors[0][1]
