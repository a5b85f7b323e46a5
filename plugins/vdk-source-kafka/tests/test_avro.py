"""Avro values and keys, with a schema registry or a schema of a file."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import pickle
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from support import Broker, MakeSource, config_of, partition_of, read_partition, read_topic, without_facts
from vdk.plugin.datasource_base import AuthenticationError, ConfigurationError, ConnectionFailedError
from vdk.plugin.source_kafka.config import Format
from vdk.plugin.source_kafka.decoding.registry import Schemas
from vdk.plugin.source_kafka.source import KafkaSource

pytestmark = pytest.mark.libraries

PASSWORD = "the-password-of-the-registry"
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None}],
}
WIDER = {**ORDER, "fields": [*ORDER["fields"], {"name": "total", "type": ["null", "double"], "default": None}]}


class Registry(ThreadingHTTPServer):
    """A schema registry: what was registered, and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.schemas: list[dict[str, Any]] = []
        self.subjects: dict[str, list[int]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.password: str | None = None
        self.redirect: str | None = None
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def register(self, subject: str, schema: Any, **more: Any) -> int:
        self.schemas.append({"schema": json.dumps(schema), **more})
        self.subjects.setdefault(subject, []).append(len(self.schemas))
        return len(self.schemas)

    def answer(self, path: str) -> dict[str, Any] | None:
        match path.strip("/").split("/"):
            case ["schemas", "ids", number] if int(number) <= len(self.schemas):
                return self.schemas[int(number) - 1]
            case ["subjects", subject, "versions", version] if subject in self.subjects:
                index = -1 if version == "latest" else int(version) - 1
                schema_id = self.subjects[subject][index]
                return {"subject": subject, "version": 1, "id": schema_id, **self.schemas[schema_id - 1]}
        return None


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest's output is for the tests."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        self.server.requests.append((self.path, given))
        wanted = self.server.password and "Basic " + base64.b64encode(f"shop:{self.server.password}".encode()).decode()
        answer, status = self.server.answer(self.path), self.server.status
        if self.server.redirect is not None:
            status = 302
        elif wanted and given != wanted:
            status = 401
        elif answer is None:
            status = 404
        body = json.dumps(answer if status == 200 else {"error_code": status}).encode()
        self.send_response(status)
        if self.server.redirect is not None:
            self.send_header("Location", self.server.redirect + self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def make_registry() -> Iterator[Callable[[], Registry]]:
    made: list[Registry] = []

    def make() -> Registry:
        made.append(Registry())
        threading.Thread(target=made[-1].serve_forever, daemon=True).start()
        return made[-1]

    yield make
    for one in made:
        one.shutdown()
        one.server_close()


@pytest.fixture
def registry(make_registry: Callable[[], Registry]) -> Registry:
    return make_registry()


def body(schema: Any, value: Any) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def message(schema_id: int, schema: Any, value: Any) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + body(schema, value)


def avro(registry: Registry, **options: Any) -> dict[str, Any]:
    return {"value": "avro", "schema_registry": {"url": registry.url}, **options}


def test_each_schema_is_fetched_once(broker: Broker, source: MakeSource, registry: Registry) -> None:
    """Messages of older schemas are read as the newest one, by the rules of Avro."""
    topic = broker.topic(2)
    old = registry.register(f"{topic}-value", ORDER)
    new = registry.register(f"{topic}-value", WIDER)
    for partition in range(2):
        broker.send(
            topic,
            message(old, ORDER, {"id": 1, "note": "x"}),
            message(new, WIDER, {"id": 2, "note": None, "total": 0.5}),
            None,
            partition=partition,
        )
    result = read_topic(source(topic, **avro(registry)))
    rows = [
        {"id": 1, "note": "x", "total": None},
        {"id": 2, "note": None, "total": 0.5},
        {"id": None, "note": None, "total": None},
    ]
    assert without_facts(result.rows) == rows * 2
    paths = [path for path, _ in registry.requests]
    assert len(paths) == len(set(paths)) == 3


NAMED = {"type": "enum", "name": "Size", "symbols": ["S", "L"]}
VALUES: list[tuple[Any, Any, Any]] = [
    ("null", None, None),
    ("boolean", True, True),
    ("int", -5, -5),
    ("long", 2**62, 2**62),
    ("float", 1.5, 1.5),
    ("double", 0.1, 0.1),
    ("bytes", b"\xff", b"\xff"),
    ("string", "ö", "ö"),
    ({"type": "fixed", "name": "F", "size": 2}, b"ab", b"ab"),
    (NAMED, "L", "L"),
    (["null", {**NAMED, "name": "Size2"}], None, None),
    ({"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}, Decimal("-19.90"), Decimal("-19.90")),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2},
        Decimal("9" * 40 + ".10"),
        "9" * 40 + ".10",
    ),
    (
        {"type": "string", "logicalType": "uuid"},
        uuid.UUID("12345678-1234-1234-1234-123456789abc"),
        "12345678-1234-1234-1234-123456789abc",
    ),
    ({"type": "int", "logicalType": "date"}, dt.date(1969, 12, 31), dt.date(1969, 12, 31)),
    ({"type": "int", "logicalType": "time-millis"}, dt.time(1, 2, 3, 4000), dt.time(1, 2, 3, 4000)),
    ({"type": "long", "logicalType": "time-micros"}, dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 4)),
    (
        {"type": "long", "logicalType": "timestamp-millis"},
        dt.datetime(2026, 1, 1, microsecond=4000, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 1, microsecond=4000, tzinfo=dt.UTC),
    ),
    (
        {"type": "long", "logicalType": "timestamp-micros"},
        dt.datetime(2026, 1, 1, microsecond=4, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 1, microsecond=4, tzinfo=dt.UTC),
    ),
    (
        {"type": "long", "logicalType": "local-timestamp-micros"},
        dt.datetime(2026, 1, 1, microsecond=4),
        dt.datetime(2026, 1, 1, microsecond=4),
    ),
    ({"type": "long", "logicalType": "timestamp-nanos"}, 7, 7),
    (["null", "string", "long"], 7, "7"),
    ({"type": "array", "items": "double"}, [1.0, float("inf")], '[1.0,"inf"]'),
    ({"type": "map", "values": "bytes"}, {"a": b"\xff"}, '{"a":"/w=="}'),
    (
        {
            "type": "record",
            "name": "R",
            "fields": [{"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}}],
        },
        {"d": Decimal("1.10")},
        '{"d":1.10}',
    ),
]


def test_every_type_has_its_column(broker: Broker, source: MakeSource, registry: Registry) -> None:
    """Logical types by their meaning; what is nested, and what may be of several types, as JSON."""
    topic = broker.topic()
    fields = [{"name": f"f{number}", "type": type_} for number, (type_, _, _) in enumerate(VALUES)]
    fields.append({"name": "named", "type": "Size"})
    schema = {"type": "record", "name": "All", "fields": fields}
    sent = {f"f{number}": value for number, (_, value, _) in enumerate(VALUES)}
    broker.send(topic, message(registry.register(f"{topic}-value", schema), schema, {**sent, "named": "S"}))
    (row,) = without_facts(read_topic(source(topic, **avro(registry))).rows)
    assert row == {**{f"f{number}": landed for number, (_, _, landed) in enumerate(VALUES)}, "named": "S"}


def test_a_schema_that_is_registered_in_mid_run_adds_its_fields(
    broker: Broker, source: MakeSource, registry: Registry
) -> None:
    """A field that is new in a message must not be left out, as its offset is never read again."""
    topic = broker.topic()
    broker.send(topic, message(registry.register(f"{topic}-value", ORDER), ORDER, {"id": 1, "note": None}))
    made = source(topic, **avro(registry))
    (stream,) = made.streams()
    assert stream.schema() is not None
    new = registry.register(f"{topic}-value", WIDER)
    broker.send(topic, message(new, WIDER, {"id": 2, "note": None, "total": 0.5}))
    # type ignored: they are partitions of Kafka
    rows = [row for part in stream.partitions({}) for row in read_partition(part, {}).rows]  # type: ignore[arg-type]
    assert [row["total"] for row in rows] == [None, 0.5]


def test_bad_messages_are_kept_with_their_schema(broker: Broker, source: MakeSource, registry: Registry) -> None:
    """Unknown ids, other formats, bodies that are too short, too long or do not fit; the others land."""
    topic = broker.topic()
    number = registry.register(f"{topic}-value", ORDER)
    text = registry.register("other", "string")
    proto = registry.register("proto", "x", schemaType="PROTOBUF")
    good = message(number, ORDER, {"id": 1, "note": None})
    bad = [
        (b'{"id": 1}', None, "not in Confluent's wire format"),
        (b"", None, "not in Confluent's wire format"),
        (b"\0\0\0\x03\xe7\x02", 999, "the schema registry lacks a schema with the id 999"),
        (good[:-1], number, "not valid Avro"),
        (good + b"\0", number, "1 bytes follow the value"),
        (message(text, "string", "x"), text, "not valid Avro"),
        (b"\0" + proto.to_bytes(4, "big") + b"x", proto, "the registry has PROTOBUF"),
    ]
    broker.send(topic, good, *(value for value, _, _ in bad), good)
    result = read_topic(source(topic, **avro(registry)))
    assert result.values("id") == [1, 1]
    found = [(row["value"], row["schema_id"]) for row, _ in result.rejected]
    assert found == [(value, schema_id) for value, schema_id, _ in bad]
    for (_, error), (_, _, reason) in zip(result.rejected, bad, strict=True):
        assert reason in error


@pytest.mark.parametrize(
    ("names", "columns"), [({}, ["_kafka_key_id", "_kafka_key_note"]), ({"columns": ["id", "note"]}, ["id", "note"])]
)
def test_a_record_as_key_has_a_column_for_each_field(
    broker: Broker, source: MakeSource, registry: Registry, names: dict[str, Any], columns: list[str]
) -> None:
    """Two schemas of one key are one row, though their bytes differ."""
    topic = broker.topic()
    value = registry.register(f"{topic}-value", "string")
    first, second = (registry.register(f"{topic}-key", ORDER) for _ in range(2))
    key = {"id": 1, "note": "x"}
    broker.send(
        topic,
        (message(first, ORDER, key), None),
        (message(second, ORDER, key), message(value, "string", "v")),
    )
    result = read_topic(source(topic, **avro(registry, mode="table", key={"format": "avro", **names})))
    assert without_facts(
        [{name.removeprefix("_kafka_key_"): one for name, one in row.items()} for row in result.rows]
    ) == [{"id": 1, "note": "x", "value": "v"}]
    assert list(result.rows[0])[:2] == columns
    assert result.deletes == []


def test_a_file_has_the_schema_of_bare_bodies(broker: Broker, source: MakeSource, tmp_path: Path) -> None:
    """Without a registry, messages are bodies that were written with the file's schema."""
    path = tmp_path / "order.avsc"
    path.write_text(json.dumps(ORDER), "utf-8")
    topic = broker.topic()
    broker.send(topic, body(ORDER, {"id": 1, "note": "x"}), b"\xff", message(1, ORDER, {"id": 2, "note": None}))
    result = read_topic(source(topic, value={"format": "avro", "schema_file": str(path)}))
    assert without_facts(result.rows) == [{"id": 1, "note": "x"}]
    assert [row["offset"] for row, _ in result.rejected] == [1, 2]


def test_a_file_may_be_the_schema_to_read_as(
    broker: Broker, source: MakeSource, registry: Registry, tmp_path: Path
) -> None:
    """With a registry, which then needs the writers' schemas only."""
    path = tmp_path / "order.avsc"
    path.write_text(json.dumps(ORDER), "utf-8")
    topic = broker.topic()
    number = registry.register("by another name", WIDER)
    broker.send(topic, message(number, WIDER, {"id": 1, "note": "x", "total": 2.5}))
    options = avro(registry, value={"format": "avro", "schema_file": str(path)})
    assert without_facts(read_topic(source(topic, **options)).rows) == [{"id": 1, "note": "x"}]


def test_schemas_may_refer_to_others(broker: Broker, source: MakeSource, registry: Registry) -> None:
    """The types of another subject are fetched too."""
    topic = broker.topic()
    registry.register("sizes", NAMED)
    schema = {"type": "record", "name": "Shirt", "fields": [{"name": "size", "type": "Size"}]}
    references = [{"name": "Size", "subject": "sizes", "version": 1}]
    number = registry.register(f"{topic}-value", schema, references=references)
    resolved = {**schema, "fields": [{"name": "size", "type": NAMED}]}
    broker.send(topic, message(number, resolved, {"size": "L"}))
    assert read_topic(source(topic, **avro(registry))).values("size") == ["L"]


def test_a_registry_that_is_away_is_tried_again(broker: Broker, source: MakeSource, registry: Registry) -> None:
    """It is not the fault of the messages, which must not be rejected for it."""
    topic = broker.topic()
    number = registry.register(f"{topic}-value", ORDER)
    broker.send(
        topic, message(number, ORDER, {"id": 1, "note": None}), message(number + 1, ORDER, {"id": 2, "note": None})
    )
    part = partition_of(source(topic, **avro(registry)))
    registry.status = 503
    with pytest.raises(ConnectionFailedError, match="HTTP 503"):
        read_partition(part, {})
    away = source(topic, value="avro", schema_registry={"url": "http://127.0.0.1:1"})
    with pytest.raises(ConnectionFailedError, match="schema registry http://127"):
        away.check()


def test_credentials_go_to_the_registry_alone(
    broker: Broker,
    source: MakeSource,
    registry: Registry,
    make_registry: Callable[[], Registry],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not to where it redirects, and to no log, error, repr or state."""
    caplog.set_level(logging.DEBUG)
    topic = broker.topic()
    number = registry.register(f"{topic}-value", ORDER)
    broker.send(topic, message(number, ORDER, {"id": 1, "note": None}))
    registry.password = PASSWORD
    with pytest.raises(AuthenticationError, match="HTTP 401; check username and password"):
        source(topic, **avro(registry)).check()
    login = {"url": registry.url, "username": "shop", "password": PASSWORD}
    made = source(topic, value="avro", schema_registry=login)
    result = read_topic(made)
    assert result.values("id") == [1]
    other = make_registry()
    registry.redirect = other.url
    with pytest.raises(ConfigurationError, match="redirects to another address") as error:
        source(topic, value="avro", schema_registry=login).check()
    assert other.requests == []
    shown = f"{caplog.text} {made.config!r} {error.value!r} {result.states}"
    assert PASSWORD not in shown
    assert base64.b64encode(f"shop:{PASSWORD}".encode()).decode() not in shown


def test_a_partition_fetches_schemas_in_its_own_process(broker: Broker, source: MakeSource, registry: Registry) -> None:
    """Its pickle holds no schema and no connection."""
    topic = broker.topic()
    number = registry.register(f"{topic}-value", ORDER)
    broker.send(topic, message(number, ORDER, {"id": 1, "note": None}))
    part = pickle.loads(pickle.dumps(partition_of(source(topic, **avro(registry)))))
    assert read_partition(part, {}).values("id") == [1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"value": "avro"}, "avro needs a schema"),
        ({"value": {"format": "json", "schema_file": "x.avsc"}}, "schema_file needs the format avro"),
        ({"value": "avro", "schema_registry": {"url": "registry:8081"}}, "url is not an HTTP address"),
        ({"value": "avro", "schema_registry": {"url": "http://a:secret-1@registry"}}, "url contains credentials"),
        (
            {
                "mode": "table",
                "key": {"format": "avro", "columns": {"a": "text"}},
                "schema_registry": {"url": "http://x"},
            },
            "the types of an Avro key come from its schema",
        ),
    ],
)
def test_options_of_avro_that_do_not_fit_are_refused(options: dict[str, Any], text: str) -> None:
    """Before anything connects."""
    with pytest.raises(ConfigurationError) as error:
        KafkaSource(config_of("nowhere:1", "x", **options))
    assert text in str(error.value)
    assert "secret-1" not in str(error.value)


def with_fields(*fields: str) -> str:
    return f'{{"type": "record", "name": "order", "fields": [{", ".join(fields)}]}}'


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{", "it is not JSON: Expecting"),
        ("5", "top level: expected a type, found 5"),
        ("{}", "top level: {} lacks 'type'"),
        pytest.param("[" * 100_000, "it is nested too deeply", id="deep"),
        ('"order"', "the type 'order' is not defined"),
        ('{"type": "record", "name": "o"}', "lacks 'fields'"),
        ('{"type": "enum", "name": "e", "symbols": 5}', "top level: 'symbols' is 5, expected a list"),
        ('{"type": "bytes", "logicalType": "decimal"}', "lacks 'precision'"),
        ('{"type": "array", "items": {"type": ["int"]}}', "top level, items: 'type' is [\"int\"], expected a text"),
        (with_fields("5"), "top level: expected a field, found 5"),
        (with_fields('{"name": "a"}'), "top level, field 'a': {\"name\": \"a\"} lacks 'type'"),
        (with_fields('{"name": "a", "type": []}'), "field 'a': a union needs at least one type"),
        (with_fields('{"name": "a", "type": [["int"]]}'), "field 'a': a union contains the union [\"int\"]"),
        (with_fields(*['{"name": "a", "type": "int"}'] * 2), "two fields have the name 'a'"),
        (with_fields('{"name": "a", "type": "int", "default": "x"}'), "Default value <x> must match schema type: int"),
    ],
)
def test_what_is_wrong_with_a_schema_is_said(tmp_path: Path, schema: str, reason: str) -> None:
    """Where in the schema, and what is there."""
    (path := tmp_path / "wrong.avsc").write_text(schema, "utf-8")
    with pytest.raises(ConfigurationError) as error:
        Schemas(None, 1.0).reader(Format(format="avro", schema_file=path), "orders-value")
    assert str(error.value).startswith(f"schema_file {path}: not a valid Avro schema: ")
    assert reason in str(error.value)


def test_what_is_missing_or_wrong_is_named(
    broker: Broker, source: MakeSource, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subjects, files, schemas, and the library."""
    topic = broker.topic()
    with pytest.raises(ConfigurationError, match=f"lacks the subject '{topic}-value'; register its schema"):
        source(topic, **avro(registry)).check()
    registry.register(f"{topic}-value", {"type": "no such type"})
    with pytest.raises(ConfigurationError, match="not a valid Avro schema"):
        source(topic, **avro(registry)).check()
    for name, content in (("missing.avsc", None), ("wrong.avsc", "{")):
        path = tmp_path / name
        if content is not None:
            path.write_text(content, "utf-8")
        with pytest.raises(ConfigurationError, match=name):
            source(topic, value={"format": "avro", "schema_file": str(path)}).check()
    nested = {"type": "record", "name": "K", "fields": [{"name": "a", "type": {"type": "array", "items": "int"}}]}
    registry.register(f"{topic}-key", nested)
    with pytest.raises(ConfigurationError, match="'_kafka_key_a' is nested"):
        source(topic, **avro(registry, mode="table", key="avro", value="bytes")).check()
    with pytest.raises(ConfigurationError, match="does not name the fields of the key"):
        source(topic, **avro(registry, mode="table", key={"format": "avro", "columns": ["b"]}, value="bytes")).check()
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'vdk-source-kafka\[avro\]'"):
        source(topic, **avro(registry)).check()
