"""Certificates are checked, connections are not mixed up, and cookies stay with their origin."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_httpserver import HTTPServer

from support import Scripted, answer, read, redirect
from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

Make = Callable[..., Any]


class BrokenHandshakes:
    """Called in a server's handshake: breaks that, as often as it is asked to."""

    def __init__(self) -> None:
        self.remaining = 0
        self.count = 0

    def __call__(self, *_: object) -> ssl.AlertDescription | None:
        self.count += 1
        self.remaining -= 1
        return ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR if self.remaining >= 0 else None


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@pytest.fixture
def handshakes() -> BrokenHandshakes:
    return BrokenHandshakes()


@pytest.fixture
def secure(authority: trustme.CA, handshakes: BrokenHandshakes) -> Iterator[HTTPServer]:
    """A server whose certificate only the test's own authority vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = handshakes
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HTTPServer(host="127.0.0.1", ssl_context=context) as server:
        yield server


def test_a_certificate_that_nobody_vouches_for_is_refused(source: Make, secure: HTTPServer) -> None:
    """At once, and not as an unreachable server; nothing is sent."""
    with pytest.raises(ConfigurationError, match=r"not trusted.*ca_bundle"):
        read(source(secure.url_for("/"), auth={"type": "bearer", "token": "t"}))
    assert secure.log == []


def test_an_authority_of_ones_own_may_be_named(source: Make, secure: HTTPServer, tmp_path: Path) -> None:
    """With ca_bundle its certificates are trusted."""
    secure.expect_request("/items").respond_with_json([{"id": 1}])
    assert read(source(secure.url_for("/"), ca_bundle=str(tmp_path / "ca.pem"))).rows == [{"id": 1}]


def test_a_missing_bundle_is_named(source: Make, secure: HTTPServer, tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(ConfigurationError, match=r"nothing\.pem"):
        read(source(secure.url_for("/"), ca_bundle=str(tmp_path / "nothing.pem")))


def test_a_redirect_from_https_to_http_is_refused(source: Make, secure: HTTPServer, tmp_path: Path) -> None:
    """A token does not go over a line that anybody can listen to."""
    with Scripted(lambda request, number: answer([])) as plain:
        secure.expect_request("/items").respond_with_data(status=302, headers={"Location": f"{plain.url}/items"})
        auth = {"type": "bearer", "token": "t"}
        with pytest.raises(ConfigurationError, match="credentials belong to https"):
            read(source(secure.url_for("/"), ca_bundle=str(tmp_path / "ca.pem"), auth=auth))
        assert plain.requests == []


def with_token_server(secure: HTTPServer) -> dict[str, Any]:
    """Credentials that a token server with TLS issues."""
    secure.expect_request("/token").respond_with_json({"access_token": "access"})
    return {
        "type": "oauth2_client_credentials",
        "token_url": secure.url_for("/token"),
        "client_id": "me",
        "client_secret": "s3cret-word",
    }


def test_a_token_server_that_nobody_vouches_for_is_refused(
    source: Make, secure: HTTPServer, handshakes: BrokenHandshakes
) -> None:
    """At once, and not as an unreachable server; no client's secret is sent."""
    refused = pytest.raises(ConfigurationError, match=r"the token server .* not trusted.*ca_bundle")
    with Scripted(lambda request, number: answer([])) as api, refused:
        read(source(api.url, auth=with_token_server(secure)))
    assert (handshakes.count, secure.log, api.requests) == (1, [], [])


@pytest.mark.parametrize("of_tokens", [True, False])
def test_a_broken_handshake_is_retried(
    source: Make, secure: HTTPServer, handshakes: BrokenHandshakes, tmp_path: Path, of_tokens: bool
) -> None:
    """As each failure of a connection: the certificate was not even seen. A token server is no exception."""
    handshakes.remaining = 2
    secure.expect_request("/items").respond_with_json([{"id": 1}])
    auth = with_token_server(secure) if of_tokens else {"type": "bearer", "token": "t"}
    assert read(source(secure.url_for("/"), ca_bundle=str(tmp_path / "ca.pem"), auth=auth)).rows == [{"id": 1}]
    assert handshakes.count == (4 if of_tokens else 3)


@pytest.mark.parametrize("of_tokens", [True, False])
def test_handshakes_that_break_each_time_are_an_unreachable_server(
    source: Make, secure: HTTPServer, handshakes: BrokenHandshakes, tmp_path: Path, of_tokens: bool
) -> None:
    """After all attempts, and without a word about certificates."""
    handshakes.remaining = 100
    auth = with_token_server(secure) if of_tokens else {"type": "bearer", "token": "t"}
    made = source(secure.url_for("/"), ca_bundle=str(tmp_path / "ca.pem"), auth=auth, retry={"attempts": 3})
    with pytest.raises(ConnectionFailedError, match="3 attempts") as caught:
        read(made)
    assert "certificate" not in str(caught.value)
    assert handshakes.count == 3


FIRST = 4 * 256 * 1024
"""Bytes that are read whole, four pieces, before it shows that there are too many."""


class Counting(ThreadingHTTPServer):
    """Keeps connections open, and counts them."""

    daemon_threads = True
    connections = 0

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that hangs up is not an error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        size = 3_000_000 if "big" in self.path else 1
        content = json.dumps([{"id": "x" * size, "cookie": self.headers.get("Cookie")}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "sid=1; Path=/")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:FIRST])
        if len(content) > FIRST:  # the rest comes when the reader has long given up
            self.wfile.flush()
            time.sleep(0.2)
            self.wfile.write(content[FIRST:])


@pytest.fixture
def counting() -> Iterator[Counting]:
    with Counting(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_connection_with_an_unread_answer_is_not_used_again(source: Make, counting: Counting) -> None:
    """The rest of a response that was too large would be read as the next one."""
    url = f"http://127.0.0.1:{counting.server_port}"
    made = source(url, {"name": "big"}, {"name": "items"}, max_response_bytes=1_000_000, retry={"attempts": 1})
    with pytest.raises(ConfigurationError, match="max_response_bytes"):
        read(made, "big")
    assert read(made).rows[0]["id"] == "x"
    assert counting.connections == 2


def test_connections_and_cookies_are_kept_for_the_origin(source: Make, counting: Counting) -> None:
    """One connection serves requests after each other, with the cookie that the first answer set."""
    made = source(f"http://127.0.0.1:{counting.server_port}")
    assert [read(made).rows[0]["cookie"] for _ in range(3)] == [None, "sid=1", "sid=1"]
    assert counting.connections == 1


def test_many_threads_share_a_source(source: Make, counting: Counting) -> None:
    """Requests at the same time do not disturb each other."""
    made = source(f"http://127.0.0.1:{counting.server_port}")
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(len(read(made).rows))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1] * 24


def test_a_response_has_no_key_in_its_url(source: Make) -> None:
    """What hooks, errors and caches see of a request is without credentials."""
    with Scripted(lambda request, number: redirect("/other?x=1") if number == 0 else answer([])) as api:
        made = source(api.url, auth={"type": "api_key", "name": "key", "value": "canary-4711", "in": "query"})
        made.parse = lambda stream, response: [{"url": response.url}]
        assert read(made).rows == [{"url": f"{api.url}/other?x=1"}]
    assert all("key=canary-4711" in request for request in api.requests)
