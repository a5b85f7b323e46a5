"""TLS and SASL, by librdkafka's own options: what they give reaches the broker, and what is refused ends the run."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from secure_front import secure_front
from support import Broker, MakeSource, flow_of, landed, partition_of, read_topic
from vdk.plugin.datasource_base import AuthenticationError, ConnectionFailedError, run_flows

pytestmark = pytest.mark.libraries

USERS = {"shop": "a-password-that-nobody-guesses"}
LOGIN = {"sasl.mechanism": "PLAIN", "sasl.username": "shop", "sasl.password": USERS["shop"]}


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    client = made.issue_cert("client@example.com")
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    return made


def server_context(authority: trustme.CA, name: str = "127.0.0.1", *, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if wants_client:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def trusting(folder: Path, file: str = "ca.pem", **more: str) -> dict[str, str]:
    return {"security.protocol": "ssl", "ssl.ca.location": str(folder / file), **more}


def test_a_topic_is_read_over_tls_with_a_password(
    broker: Broker, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clients of the cluster and of each partition."""
    monkeypatch.chdir(tmp_path)
    topic = broker.topic(2)
    broker.send(topic, *({"id": number} for number in range(20)))
    options = trusting(tmp_path) | LOGIN | {"security.protocol": "sasl_ssl"}
    with secure_front(broker.port, server_context(authority), USERS) as front:
        run_flows(None, flow_of(broker, topic, tmp_path, options=options, bootstrap_servers=front.address))
    assert landed(topic, tmp_path) == list(range(20))
    assert front.logins.count("shop") >= 2


def test_a_certificate_of_the_client_reaches_the_broker(
    broker: Broker, authority: trustme.CA, source: MakeSource, tmp_path: Path
) -> None:
    """Which wants one."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    certificate = {name: str(tmp_path / "client.pem") for name in ("ssl.certificate.location", "ssl.key.location")}
    with secure_front(broker.port, server_context(authority, wants_client=True)) as front:
        assert read_topic(source(topic, servers=front.address, options=trusting(tmp_path) | certificate)).rows


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "another authority": ({}, {"ssl.ca.location": "other.pem"}, "certificate verify failed"),
    "another host": ({"name": "kafka.example.com"}, {}, "certificate verify failed"),
    "no certificate of the client": ({"wants_client": True}, {}, "SSL"),
}


@pytest.mark.parametrize(("server", "client", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_handshake_ends_the_run_at_once(
    broker: Broker,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: dict[str, Any],
    client: dict[str, str],
    message: str,
) -> None:
    """Without waiting for ``timeout``, and without a retry."""
    monkeypatch.chdir(tmp_path)
    options = trusting(tmp_path, client.get("ssl.ca.location", "ca.pem"))
    with secure_front(broker.port, server_context(authority, **server)) as front:
        flow = flow_of(broker, "x", tmp_path, options=options, bootstrap_servers=front.address, timeout="10m")
        with pytest.raises(AuthenticationError, match=message):
            run_flows(None, flow)


def test_a_wrong_password_ends_the_run_at_once(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stands in no error."""
    monkeypatch.chdir(tmp_path)
    options = {"security.protocol": "sasl_plaintext", **LOGIN, "sasl.password": "wrong-canary"}
    with secure_front(broker.port, None, USERS) as front:
        flow = flow_of(broker, "x", tmp_path, options=options, bootstrap_servers=front.address, timeout="10m")
        with pytest.raises(AuthenticationError, match=r"wrong name or password.*check sasl\.username") as error:
            run_flows(None, flow)
    assert "wrong-canary" not in str(error.value)


def test_a_password_that_changes_before_a_partition_is_read_ends_its_reading_at_once(
    broker: Broker, source: MakeSource
) -> None:
    """Each partition has a client of its own, which logs in by itself."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    with secure_front(broker.port, None, dict(USERS)) as front:
        options = {"security.protocol": "sasl_plaintext", **LOGIN}
        part = partition_of(source(topic, servers=front.address, options=options, timeout="10m"))
        front.users = {"shop": "another"}
        with pytest.raises(AuthenticationError, match="wrong name or password"):
            list(part.read({}))


@pytest.mark.parametrize("secure", [True, False])
def test_a_listener_of_the_other_kind_is_named(
    broker: Broker, authority: trustme.CA, source: MakeSource, tmp_path: Path, secure: bool
) -> None:
    """TLS to a listener without it, and the other way round."""
    options = trusting(tmp_path) if secure else {}
    context = None if secure else server_context(authority)
    with (
        secure_front(broker.port, context) as front,
        pytest.raises((ConnectionFailedError, AuthenticationError), match=r"ssl|TLS"),
    ):
        source("x", servers=front.address, options=options, timeout="3s").check()
