"""What a sync sends, seen by a bare client of the protocol."""

from __future__ import annotations

import datetime as dt
import decimal
import hmac
import json
import threading
from typing import Any

import pyarrow as pa
import pytest
from cloudquery.plugin_v3 import plugin_pb2 as pb

from client import refused, served
from destination import batch_of, key_of
from sources import ID, TYPES, MadeSource, MadeStream, SplitStream, made, numbered, rows_of
from vdk.plugin.datasource_base import (
    BadRecordError,
    ConnectionFailedError,
    DataSourcePayload,
    RejectedRows,
    StreamSchema,
)
from vdk.plugin.datasource_base.runtime import Options
from vdk.plugin.datasource_cloudquery.serving.json_logs import JsonLines
from vdk.plugin.datasource_cloudquery.source.session import Session
from vdk.plugin.datasource_cloudquery.source.spec import Spec
from vdk.plugin.datasource_cloudquery.sync.sync import Sync


def test_tables_are_announced_before_their_rows() -> None:
    """The CLI creates tables by the messages that precede the rows."""
    with served("made", lambda: made(numbered(), rows_of("Loose-Rows", {"Any Name": 1}))) as client:
        client.init()
        tables = client.tables()
        assert list(tables) == ["numbers", "loose_rows"]
        assert client.sync() == {"numbers": [{"n": n} for n in range(5)], "loose_rows": [{"any_name": 1}]}
        assert client.migrated["numbers"].metadata[b"cq:table_title"] == b"numbers"
        assert client.migrated["loose_rows"].metadata[b"cq:table_title"] == b"Loose-Rows"
        # the key of a table without one is the id
        assert key_of(client.migrated["numbers"]) == ["n"]
        assert key_of(client.migrated["loose_rows"]) == ["_cq_id"]


PEOPLE = StreamSchema(
    pa.schema([("id", pa.int64()), ("ssn", pa.string()), ("note", pa.string()), ("email", pa.string())]), ("id",)
)
SALT = "0123456789abcdef"


def people(*streams: str) -> MadeSource:
    row = {"id": 1, "ssn": "123-45-6789", "note": "secret", "email": "a@example.org"}
    return made(*(rows_of(name, row, schema=PEOPLE) for name in streams or ("people",)))


def test_the_column_policy_of_the_spec_applies_to_tables_and_rows() -> None:
    """A flow has `columns`; a source that the CLI starts has them in the spec, for each of its tables."""
    policy = {"people.ssn": "hash", "note": "drop", "email": "mask", "others.*": "drop", "others.id": "keep"}
    with served("made", lambda: people("people", "others")) as client:
        client.init({"cloudquery": {"columns": policy, "salt": SALT}})
        digest = hmac.digest(SALT.encode(), b"123-45-6789", "sha256").hex()
        assert client.sync(["people"]) == {"people": [{"id": 1, "ssn": digest, "email": "***"}]}
        assert {"note", "_cq_id"} & set(client.migrated["people"].names) == {"_cq_id"}
        assert client.sync(["others"])["others"] == [{"id": 1, "email": "***"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"ssn": "hash"}}, "spec: cloudquery.columns: 'ssn' is hashed, and hashes without a salt"),
        ({"columns": {"ssn": "hash"}, "salt": "short"}, "spec: cloudquery.salt has 5 characters"),
        ({"columns": {"ssn": "encrypt"}}, "columns"),
    ],
)
def test_a_policy_that_is_wrong_is_refused_before_the_sync(options: dict[str, Any], message: str) -> None:
    with served("made", people) as client, refused() as errors:
        client.init({"cloudquery": options})
    assert message in errors[0][1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"id": "drop"}, "'id' is in the primary key of stream 'people'"), ({"sssn": "drop"}, "did you mean 'ssn'")],
)
def test_a_policy_that_does_not_fit_the_tables_fails_the_sync(columns: dict[str, Any], message: str) -> None:
    with served("made", people) as client:
        client.init({"cloudquery": {"columns": columns}})
        with refused() as errors:
            client.sync()
    assert message in errors[0][1]


def test_types_are_cloudquerys() -> None:
    row = {
        "id": str(ID),
        "doc": {"a": [1]},
        "tags": ["x"],
        "amount": decimal.Decimal("1.10"),
        "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "raw": b"\x00",
        "nothing": None,
    }
    with served("made", lambda: made(rows_of("typed", row, {"id": str(ID)}, schema=TYPES))) as client:
        client.init()
        first, second = client.sync()["typed"]
        schema = client.migrated["typed"]
    assert first["id"] == second["id"] == ID.bytes
    assert json.loads(first["doc"]) == {"a": [1]}
    assert json.loads(first["tags"]) == ["x"]
    assert (first["amount"], first["at"], first["raw"]) == (row["amount"], row["at"], row["raw"])
    extensions = {
        field.name: field.metadata[b"ARROW:extension:name"].decode()
        for field in schema
        if b"ARROW:extension:name" in (field.metadata or {})
    }
    assert extensions == {"_cq_id": "uuid", "_cq_parent_id": "uuid", "id": "uuid", "doc": "json", "tags": "json"}
    assert schema.field("nothing").type == pa.string()


def test_a_new_column_is_announced_before_its_rows() -> None:
    batches = pa.table({"a": [1]}), pa.table({"a": [2.5], "b": ["x"]}), pa.table({"a": ["text"]})
    with served("made", lambda: made(rows_of("wide", *batches))) as client:
        client.init()
        assert client.sync()["wide"] == [{"a": 1}, {"a": 2.5, "b": "x"}, {"a": "text", "b": None}]
    assert client.kinds() == ["migrate_table", "insert"] * 3
    assert client.migrated["wide"].names == ["_cq_id", "_cq_parent_id", "a", "b"]


def test_messages_are_smaller_than_grpc_allows() -> None:
    """The client checks each message. Rows that differ in their size are split until they fit."""
    rows = [{"n": n, "text": "x" * (1_000_000 if n % 7 == 0 else 10)} for n in range(40)]
    with served("made", lambda: made(rows_of("large", rows))) as client:
        client.init()
        assert client.sync()["large"] == rows
        assert client.kinds().count("insert") > 1


def test_a_row_that_is_too_large_is_named() -> None:
    stream = rows_of("large", [{"n": 1, "text": "x" * 5_000_000}])
    with served("made", lambda: made(stream)) as client:
        client.init()
        with refused() as errors:
            client.sync()
    assert "a message of CloudQuery at most 4,000,000" in errors[0][1]


def test_ids_are_random_or_a_hash_of_the_key() -> None:
    with served("made", lambda: made(numbered())) as client:
        ids = []
        for deterministic in (False, False, True, True):
            client.init()
            client.sync(deterministic_cq_id=deterministic)
            batches = [batch_of(each.insert.record) for each in client.sent if each.HasField("insert")]
            ids.append([value for batch in batches for value in batch.column("_cq_id").to_pylist()])
    assert len({*ids[0], *ids[1], *ids[2]}) == 15
    assert ids[2] == ids[3]


def test_the_others_are_read_when_a_stream_fails() -> None:
    streams = numbered("good"), numbered("bad", fail=ValueError("broken in the middle"))
    with served("made", lambda: made(*streams)) as client:
        client.init()
        with refused() as errors:
            client.sync()
        assert len(client.rows["good"]) == 5
        assert errors == [("INTERNAL", errors[0][1])]
        assert "broken in the middle" in errors[0][1]
        assert "error" not in client.kinds()
        with refused():
            client.sync(withErrorMessages=True)
        (message,) = [each.error for each in client.sent if each.HasField("error")]
        assert message.table_name == "bad"
        assert message.error.startswith("ValueError: broken in the middle; raised by read() after 5 rows")


def test_a_table_that_failed_before_any_row_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [ConnectionFailedError("unreachable")]

    def read(state: Any) -> Any:
        if failures:
            raise failures.pop()
        yield DataSourcePayload([{"n": 1}])

    with served("made", lambda: made(MadeStream("flaky", read))) as client:
        client.init()
        assert client.sync() == {"flaky": [{"n": 1}]}


def test_rows_that_were_handed_over_are_not_sent_twice() -> None:
    """They cannot be taken back, so the table fails rather than have them twice."""
    rows = [{"n": n, "text": "x" * 1000} for n in range(50_000)]
    stream = rows_of("large", *(rows[at : at + 10_000] for at in range(0, 50_000, 10_000)))
    failing = rows_of(
        "large", *(rows[at : at + 10_000] for at in range(0, 50_000, 10_000)), error=ConnectionFailedError("gone")
    )
    assert stream.name == failing.name
    with served("made", lambda: made(failing)) as client:
        client.init()
        with refused() as errors:
            client.sync()
    assert "were handed over, which cannot be taken back" in errors[0][1]
    numbers = [row["n"] for row in client.rows["large"]]
    assert len(numbers) == len(set(numbers))


DELETES = (
    DataSourcePayload([{"n": 1, "name": "a"}, {"n": 2, "name": "b"}], state={"at": 1}),
    DataSourcePayload([{"n": 1}], kind="deletes", state={"at": 2}),
)


@pytest.mark.parametrize("deletes", ["skip", "record", "column"])
def test_deletes_are_skipped_or_records_or_a_column(deletes: str) -> None:
    schema = StreamSchema(pa.schema([("n", pa.int64()), ("name", pa.string())]), ("n",))
    stream = rows_of("people", *DELETES, schema=schema)
    stream.incremental = True
    with served("made", lambda: made(stream)) as client:
        client.init({"cloudquery": {"deletes": deletes}})
        schemas = client.tables()
        rows = client.sync()["people"]
    if deletes == "skip":
        assert rows == [{"n": 1, "name": "a"}, {"n": 2, "name": "b"}]
        assert "_vdk_deleted_at" not in schemas["people"].names
    elif deletes == "column":
        assert "_vdk_deleted_at" in schemas["people"].names  # before the first delete
        assert [(row["n"], "_vdk_deleted_at" in row) for row in rows] == [(1, False), (2, False), (1, True)]
    else:
        (record,) = [each.delete_record for each in client.sent if each.HasField("delete_record")]
        ((predicate,),) = [group.predicates for group in record.where_clause]
        assert (record.table_name, predicate.column) == ("people", "n")
        assert batch_of(predicate.record).to_pylist() == [{"n": 1}]


def test_rejected_rows_are_errors_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    rejected = RejectedRows([({"n": "x"}, BadRecordError("not a number", column="n", key=7))])
    stream = rows_of("some", [{"n": 1}], rejected)
    with served("made", lambda: made(stream)) as client:
        client.init()
        with refused() as errors:
            client.sync()
        assert "not a number" in errors[0][1]
        client.init({"cloudquery": {"on_bad_record": "reject", "max_rejected": 5}})
        assert client.sync() == {"some": [{"n": 1}]}
    (line,) = [record for record in caplog.records if record.getMessage().startswith("rejected a row")]
    assert (line.levelname, line.__dict__["stream"]) == ("ERROR", "some")
    assert "not a number" in line.getMessage()


def test_a_log_line_names_its_table(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with served("made", lambda: made(numbered("My-Numbers"))) as client:
        client.init()
        client.sync()
    lines = [json.loads(JsonLines("made").format(record)) for record in caplog.records if record.name.startswith("vdk")]
    assert {line.get("table") for line in lines if "My-Numbers" in line["message"]} == {"my_numbers"}


def test_shards_share_the_partitions() -> None:
    ids = [f"part {number}" for number in range(20)]
    with served("made", lambda: made(SplitStream("split", ids))) as client:
        shards = []
        for number in (1, 2, 3):
            client.init()
            rows = client.sync(shard=pb.Sync.Request.Shard(num=number, total=3))
            shards.append({row["part"] for row in rows.get("split", [])})
    assert all(shards)
    assert sorted(part for shard in shards for part in shard) == sorted(ids)


def test_routed_rows_have_a_table_of_their_own() -> None:
    stream = rows_of("events", DataSourcePayload([{"n": 1}], destination_table="Clicks"), {"m": 2})
    with served("made", lambda: made(stream)) as client:
        client.init()
        assert client.sync() == {"clicks": [{"n": 1}], "events": [{"m": 2}]}


def test_a_source_is_connected_once_and_always_disconnected() -> None:
    source = made(numbered())
    with served("made", lambda: source) as client:
        client.init()
        client.tables()
        client.tables()
        client.sync()
        assert (source.connected, source.disconnected) == (1, 1)


def test_a_sync_that_is_ended_disconnects() -> None:
    endless = MadeStream("endless", lambda state: (DataSourcePayload([{"n": n}], state={"n": n}) for n in iter(int, 1)))
    source = made(endless)
    with served("made", lambda: source) as client:
        client.init()
        call = client.stub.Sync(pb.Sync.Request(tables=["*"]))
        while not source.connected:
            pass
        call.cancel()
        assert source.ended.wait(30)


def test_a_sync_that_the_server_ends_does_not_succeed() -> None:
    """A reader that hangs has no error yet, and the command would delete what it takes for stale."""
    hanging, reached = threading.Event(), threading.Event()

    def read(state: Any) -> Any:
        reached.set()
        hanging.wait(60)
        yield DataSourcePayload([{"n": 1}])

    stream = MadeStream("stuck", read, StreamSchema(pa.schema([("n", pa.int64())])))
    session = Session(Spec.parse(MadeSource, b"", lambda: made(stream)))
    sync = Sync(session, pb.Sync.Request(tables=["*"]), Options(stop_seconds=0.1))
    messages = sync.messages()
    assert next(messages).HasField("migrate_table")
    assert reached.wait(60)
    sync.stop()
    assert list(messages) == []
    assert str(sync.error) == "the sync was stopped before its end"
    hanging.set()


def test_a_second_sync_is_refused_while_one_runs() -> None:
    endless = MadeStream("endless", lambda state: (DataSourcePayload([{"n": n}], state={"n": n}) for n in iter(int, 1)))
    source = made(endless)
    with served("made", lambda: source) as client:
        client.init()
        call = client.stub.Sync(pb.Sync.Request(tables=["*"]))
        while not source.connected:
            pass
        with refused() as errors:
            client.sync()
        assert errors[0] == (
            "FAILED_PRECONDITION",
            "a sync runs on this server; start another server for another source",
        )
        call.cancel()


def test_requests_of_destinations_are_unimplemented() -> None:
    with served("made", lambda: made()) as client:
        for request in (
            lambda: client.stub.Write(iter([pb.Write.Request()])),
            lambda: list(client.stub.Read(pb.Read.Request())),
            lambda: list(client.stub.Transform(iter([pb.Transform.Request()]))),
        ):
            with refused() as errors:
                request()
            assert errors[0][0] == "UNIMPLEMENTED"
