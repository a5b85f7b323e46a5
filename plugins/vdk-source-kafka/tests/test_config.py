"""Options that do not fit, servers that are not there, and secrets."""

from __future__ import annotations

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError

from support import Broker, MakeSource, config_of, partition_of, read_topic
from vdk.plugin.datasource_base import AuthenticationError, ConfigurationError, ConnectionFailedError
from vdk.plugin.source_kafka.client import FailureWatch, as_error, client_options, passing_signals
from vdk.plugin.source_kafka.source import KafkaSource

PASSWORD = "the-password-of-the-shop"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "yesterday"}, "start = 'yesterday' is neither earliest, latest nor a time with a zone"),
        ({"start": "2026-01-01T00:00:00"}, "nor a time with a zone"),
        ({"options": {"group.id": "x"}}, "'group.id' is set by this source; use group_id"),
        ({"options": {"enable.auto.commit": True}}, "remove it: offsets are stored with the rows"),
        ({"options": {"debug": ["all"]}}, "the value of 'debug' is a list; expected text"),
        (
            {"value": {"format": "string", "columns": {"id": "integer"}}},
            "needs the format json and a type for each field",
        ),
        ({"value": {"columns": {"_kafka_x": "integer"}}}, "'_kafka_x' cannot name a column"),
        ({"value": {"columns": {"id": "int"}}}, "'int' is not a column type; expected text, integer"),
        ({"value": {"column": "a", "columns": {"id": "integer"}}}, "column and columns exclude each other"),
        ({"key": "json"}, 'mode = "log" does not decode keys'),
        ({"mode": "table", "key": {"format": "json", "columns": ["id"]}}, "the columns of a JSON key need types"),
        ({"mode": "table", "key": {"format": "string", "columns": {"id": "integer"}}}, 'write columns = ["id"]'),
        ({"mode": "table", "key": {"format": "string", "columns": ["a", "b"]}}, "columns has 2 names"),
        (
            {"mode": "table", "key": {"format": "string", "column": "a"}},
            'needs the format json; write columns = ["name"]',
        ),
        (
            {"mode": "table", "key": {"columns": ["x"], "format": "bytes"}, "value": {"column": "x"}},
            "'x' is also a column of the key",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    """Before anything connects, with what to write instead."""
    with pytest.raises(ConfigurationError) as error:
        KafkaSource(config_of("nowhere:1", "x", **options))
    assert message in str(error.value)


@pytest.mark.parametrize("options", [{"mode": "both"}, {"bootstrap_servers": ""}, {"tpics": ["x"]}])
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any]) -> None:
    """By the configuration's own types."""
    with pytest.raises(ConfigurationError):
        config_of("nowhere:1", "x", **options)


@pytest.mark.parametrize("options", [{"no.such.option": "1"}, {"security.protocol": "carrier pigeon"}])
def test_librdkafka_names_an_option_it_does_not_know(source: MakeSource, options: dict[str, str]) -> None:
    """The error is the user's, and has the name of the option."""
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        source("x", servers="127.0.0.1:1", options=options).streams()


def test_a_server_that_is_not_there_is_named(source: MakeSource) -> None:
    """Trying again may help."""
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1"):
        source("x", servers="127.0.0.1:1", timeout="2s").check()


def test_a_topic_that_is_not_there_is_named(broker: Broker, source: MakeSource) -> None:
    """It is not created by asking for it."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="'no-such-topic' matches no topic"):
            source("no-such-topic").check()


def test_secrets_among_the_options_of_librdkafka_are_known() -> None:
    """By their names; where a key or a token comes from is none, and errors show it."""
    bearer, key = "sasl.oauthbearer", "sasl.oauthbearer.assertion.private.key"
    secrets = ["sasl.password", "ssl.key.pem", "ssl.key.password", f"{bearer}.config", f"{bearer}.client.secret"]
    places = [f"{key}.file", f"{bearer}.token.endpoint.url", "ssl.key.location", f"{bearer}.client.id"]
    options = dict.fromkeys([*secrets, f"{key}.pem", f"{key}.passphrase", *places], PASSWORD)
    shown = [name for name, value in config_of("h:1", "x", options=options).options.items() if value == PASSWORD]
    assert shown == places


@pytest.mark.parametrize("raised", [SystemExit(143), KeyboardInterrupt()])
def test_a_signal_within_a_call_of_the_client_is_a_signal(raised: BaseException) -> None:
    """confluent-kafka returns a result although the handler has raised: Python then raises a SystemError."""
    with pytest.raises(type(raised)), passing_signals():
        raise SystemError("returned a result with an exception set") from raised


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that closes each connection, as a broker does that wants TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                connection, _ = server.accept()
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        yield address
        stop.set()
        socket.create_connection(server.getsockname()).close()
        thread.join(10)


def test_secrets_are_in_no_log_and_no_error(
    silent_server: str, source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    """Passwords reach librdkafka and nothing else."""
    caplog.set_level(logging.DEBUG)
    options = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "shop"}
    made = source("x", servers=silent_server, timeout="2s", options={**options, "sasl.password": PASSWORD})
    with pytest.raises(ConnectionFailedError) as error:
        made.check()
    shown = [repr(made.config), repr(made), caplog.text, "".join(traceback.format_exception(error.value))]
    assert not [one for one in shown if PASSWORD in one]
    assert client_options(made.config)["sasl.password"] == PASSWORD


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._AUTHENTICATION, AuthenticationError),
        (KafkaError._SSL, AuthenticationError),
        (KafkaError.SASL_AUTHENTICATION_FAILED, AuthenticationError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, AuthenticationError),
        (KafkaError._INVALID_ARG, ConfigurationError),
        (KafkaError._ALL_BROKERS_DOWN, ConnectionFailedError),
        (KafkaError.NOT_LEADER_FOR_PARTITION, ConnectionFailedError),
    ],
)
def test_errors_say_whether_trying_again_may_help(code: int, kind: type[Exception]) -> None:
    """A refused login does not change by waiting; a broker that is away may come back."""
    assert type(as_error(KafkaError(code), "topic 'x'")) is kind


def test_refused_credentials_end_a_reading_at_once(
    broker: Broker, source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They arrive beside the messages, where nothing else tells of them."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    part = partition_of(source(topic, timeout="10m"))
    monkeypatch.setattr(FailureWatch, "refused", lambda _: AuthenticationError("refused"))
    monkeypatch.setattr("vdk.plugin.source_kafka.partition._Reading._chunk", lambda *_: (None, False))
    with pytest.raises(AuthenticationError, match="refused"):
        list(part.read({}))


def test_a_failure_is_kept_until_messages_come() -> None:
    """A refused login stays, whatever comes after it."""
    watch = FailureWatch("topic 'x'")
    watch(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    watch.clear()
    assert watch.last() is None
    watch(KafkaError(KafkaError._AUTHENTICATION))
    watch(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    watch.clear()
    assert isinstance(watch.refused(), AuthenticationError)


def test_the_group_has_the_offsets_that_landed(broker: Broker, source: MakeSource) -> None:
    """For monitors of lag; nothing is read from it, and without ``group_id`` there is none."""
    topic = broker.topic(2)
    broker.send(topic, {"id": 1}, {"id": 2})
    made = source(topic, group_id=f"group-of-{topic}")
    result = read_topic(made)
    made.committed(topic, result.states)
    consumer_offsets = broker.group_offsets(f"group-of-{topic}", topic, 2)
    assert consumer_offsets == {0: 2, 1: 0}
    source(topic).committed(topic, result.states)
    assert read_topic(made).values("id") == [1, 2], "offsets of the group are never read"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("kafka://h:9092/orders", {"bootstrap_servers": "h:9092", "topics": ["orders"]}),
        ("kafka://h:9092,i:9093", {"bootstrap_servers": "h:9092,i:9093", "topics": ["*"]}),
        ("kafka://u:hunter22@h:9092/orders", "neither a user nor options; write kafka://host:9092/orders"),
        ("kafka:///orders", "not a list of brokers and one topic"),
        ("kafka://h:9092/a/b", "not a list of brokers and one topic"),
    ],
)
def test_a_url_is_a_topic_or_all_topics(url: str, options: Any) -> None:
    """``vdk datasource copy`` and ``init`` take it, and ``init`` a server as ``host:9092`` too."""
    if isinstance(options, str):
        with pytest.raises(ConfigurationError, match=options) as caught:
            KafkaSource.options_of_url(url)
        assert "hunter" not in str(caught.value)
        return
    assert KafkaSource.options_of_url(url) == options
    with pytest.raises(ConfigurationError, match="leave --cursor out"):
        KafkaSource.options_of_url(url, cursor="id")
    assert KafkaSource.url_of(str(options["bootstrap_servers"])) == f"kafka://{options['bootstrap_servers']}"
    assert KafkaSource.url_of("shop.db") is None
