"""Logging in: tokens that are issued, renewed, replaced and kept, and secrets that nobody sees."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from filelock import FileLock
from pytest_httpserver import HTTPServer
from werkzeug import Request as Asked
from werkzeug import Response as Reply

from support import Scripted, answer, read, redirect
from vdk.plugin.datasource_base.contract import AuthenticationError, ConfigurationError, ConnectionFailedError
from vdk.plugin.source_rest import RestSource

Make = Callable[..., Any]
ONE_PAGE = [{"id": 1}]


class Tokens:
    """An API and its token server, which counts and rotates."""

    def __init__(self, server: HTTPServer) -> None:
        self.asked: list[tuple[dict[str, str], str]] = []
        self.valid: set[str] = set()
        self.refresh = "refresh-0"
        self.lifetime: Any = 3600
        self.rotates = True
        self.url = server.url_for("/").rstrip("/")
        self.token_url = server.url_for("/token")
        self._lock = threading.Lock()
        server.expect_request("/token").respond_with_handler(self._issue)
        server.expect_request("/items").respond_with_handler(self._items)

    def _issue(self, asked: Asked) -> Reply:
        form = {name: values[0] for name, values in parse_qs(asked.get_data(as_text=True)).items()}
        with self._lock:
            self.asked.append((form, asked.headers.get("Authorization", "")))
            if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh:
                return Reply(json.dumps({"error": "invalid_grant"}), status=400, content_type="application/json")
            token = f"access-{len(self.asked)}"
            self.valid.add(token)
            issued: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "scope": "less"}
            if self.lifetime is not None:
                issued["expires_in"] = self.lifetime
            if form["grant_type"] == "refresh_token" and self.rotates:
                self.refresh = issued["refresh_token"] = f"refresh-{len(self.asked)}"
            return Reply(json.dumps(issued), content_type="application/json")

    def _items(self, asked: Asked) -> Reply:
        known = asked.headers.get("Authorization", "").removeprefix("Bearer ") in self.valid
        return Reply(json.dumps(ONE_PAGE), status=200 if known else 401, content_type="application/json")


@pytest.fixture
def tokens(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Tokens(httpserver)


def client(tokens: Tokens, **more: Any) -> dict[str, Any]:
    return {
        "type": "oauth2_client_credentials",
        "token_url": tokens.token_url,
        "client_id": "me",
        "client_secret": "s3cret-word",
        **more,
    }


def refreshing(tokens: Tokens, **more: Any) -> dict[str, Any]:
    return client(tokens, **{"type": "oauth2_refresh_token", "refresh_token": "refresh-0", **more})


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (
            {"type": "basic", "username": "ann", "password": "pä:ss"},
            "Authorization",
            "Basic " + b64encode("ann:pä:ss".encode()).decode(),
        ),
        ({"type": "bearer", "token": "t"}, "Authorization", "Bearer t"),
        ({"type": "bearer", "token": "t", "scheme": "Token"}, "Authorization", "Token t"),
        ({"type": "api_key", "name": "X-Key", "value": "k"}, "X-Key", "k"),
        ({"type": "api_key", "name": "key", "value": "k", "in": "cookie"}, "Cookie", "key=k"),
        ({"type": "none"}, "Authorization", None),
    ],
)
def test_credentials_are_put_on_requests(
    source: Make, httpserver: HTTPServer, auth: Any, header: str, value: str | None
) -> None:
    """Basic in UTF-8, bearer with any scheme, keys in headers and cookies."""
    httpserver.expect_request("/items").respond_with_json([])
    read(source(httpserver.url_for("/"), auth=auth))
    assert httpserver.log[0][0].headers.get(header) == value


def test_a_key_in_the_query_is_there_once(source: Make, httpserver: HTTPServer) -> None:
    """Also where the server's own next link has it, or an older one."""
    httpserver.expect_ordered_request("/items").respond_with_json({"items": [], "next": "/items?p=2&key=old"})
    httpserver.expect_ordered_request("/items").respond_with_json({"items": [], "next": None})
    read(source(httpserver.url_for("/"), auth={"type": "api_key", "name": "key", "value": "a&b", "in": "query"}))
    assert [asked.args.getlist("key") for asked, _ in httpserver.log] == [["a&b"], ["a&b"]]


@pytest.mark.parametrize("how", ["basic", "body"])
def test_client_credentials_get_a_token(source: Make, tokens: Tokens, how: str) -> None:
    """One token serves all requests; a server may grant fewer scopes."""
    made = source(tokens.url, auth=client(tokens, client_auth=how, scopes=["a", "b"], extra={"audience": "x"}))
    for _ in range(2):
        assert read(made).rows == ONE_PAGE
    [(form, header)] = tokens.asked
    assert form["grant_type"] == "client_credentials"
    assert (form["scope"], form["audience"]) == ("a b", "x")
    assert ("client_secret" in form) == (how == "body")
    assert header == (f"Basic {b64encode(b'me:s3cret-word').decode()}" if how == "basic" else "")


def test_a_token_that_is_refused_is_renewed_once(source: Make, tokens: Tokens) -> None:
    """401 gets another token; a second 401 is the end."""
    made = source(tokens.url, auth=client(tokens))
    read(made)
    tokens.valid.clear()
    assert read(made).rows == ONE_PAGE
    assert len(tokens.asked) == 2


def test_a_token_that_never_works_is_an_error(source: Make, tokens: Tokens) -> None:
    """Refused, renewed, refused: no third attempt."""
    with Scripted(lambda request, number: answer(b"", status="401 No")) as api:
        with pytest.raises(AuthenticationError, match="401"):
            read(source(api.url, auth=client(tokens)))
        assert len(api.requests) == 2


@pytest.mark.parametrize("lifetime", [0, 1, "1"])
def test_a_token_at_its_end_is_renewed_before(source: Make, tokens: Tokens, lifetime: Any) -> None:
    """What is about to end is not sent; a server that says 0 or text does not stop us."""
    tokens.lifetime = lifetime
    made = source(tokens.url, auth=client(tokens))
    assert read(made).rows == ONE_PAGE


def test_many_threads_ask_for_one_token(source: Make, tokens: Tokens) -> None:
    """Tokens are asked for under a lock."""
    made = source(tokens.url, auth=client(tokens))
    threads = [threading.Thread(target=read, args=(made,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens.asked) == 1


def test_a_replaced_refresh_token_is_kept_for_the_next_run(source: Make, tokens: Tokens, tmp_path: Path) -> None:
    """The configured token works once; what replaced it is in a private file, and in no state."""
    for _ in range(3):
        landed = read(source(tokens.url, auth=refreshing(tokens)))
        assert landed.rows == ONE_PAGE
    assert [form["refresh_token"] for form, _ in tokens.asked] == ["refresh-0", "refresh-1", "refresh-2"]
    [kept] = (tmp_path / "state" / "vdk-source-rest").glob("*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "refresh-3" in kept.read_text("utf-8")


def test_a_replaced_refresh_token_survives_a_power_cut(
    source: Make, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the token is used, its file is on the disk, and after that the folder that names the file."""
    path = tmp_path / "folder" / "token.json"
    synced: list[tuple[str, str | None]] = []

    def sync(handle: int) -> None:
        is_folder = os.path.samestat(os.fstat(handle), path.parent.stat())
        synced.append(("folder" if is_folder else "file", path.read_text("utf-8") if path.exists() else None))
        fsync(handle)

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", sync)
    assert read(source(tokens.url, auth=refreshing(tokens, token_file=str(path)))).rows == ONE_PAGE
    kept = path.read_text("utf-8")
    assert "refresh-1" in kept
    assert synced == [("file", None), ("folder", kept)]


def test_a_new_configured_token_counts(source: Make, tokens: Tokens, tmp_path: Path) -> None:
    """What was kept for an older configuration does not hide the new one."""
    kept = tmp_path / "mine.json"
    read(source(tokens.url, auth=refreshing(tokens, token_file=str(kept))))
    tokens.refresh = "fresh"
    read(source(tokens.url, auth=refreshing(tokens, token_file=str(kept), refresh_token="fresh")))
    assert tokens.asked[-1][0]["refresh_token"] == "fresh"


def test_a_refused_refresh_token_says_what_to_do(source: Make, tokens: Tokens) -> None:
    """Without the token in the message."""
    with pytest.raises(AuthenticationError, match="new refresh_token") as caught:
        read(source(tokens.url, auth=refreshing(tokens, refresh_token="wrong-token")))
    assert "wrong-token" not in str(caught.value)


def test_a_token_is_not_used_where_its_successor_cannot_be_kept(source: Make, tokens: Tokens, tmp_path: Path) -> None:
    """Used, it would be dead, and the new one lost."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"auth\.token_file"):
        read(source(tokens.url, auth=refreshing(tokens, token_file=str(tmp_path / "file" / "y.json"))))
    assert tokens.asked == []


@pytest.mark.parametrize("works", [True, False])
def test_the_lock_of_a_token_is_released_as_often_as_it_is_taken(
    source: Make, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    """Also after a refusal: no other process waits for a lock that only the end of an object would release."""
    taken: list[FileLock] = []

    class Kept(FileLock):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            taken.append(self)

    monkeypatch.setattr("vdk.plugin.source_rest.auth.oauth2.FileLock", Kept)
    made = source(tokens.url, auth=refreshing(tokens, refresh_token="refresh-0" if works else "wrong"))
    if works:
        read(made)
    else:
        with pytest.raises(AuthenticationError):
            read(made)
    [lock] = taken
    assert (lock.is_locked, lock.lock_counter) == (False, 0)
    with FileLock(lock.lock_file, timeout=0):
        pass


def test_processes_take_turns_with_one_refresh_token(tokens: Tokens, tmp_path: Path) -> None:
    """Each uses the token that the one before was given; a server that saw one twice would refuse."""
    program = (
        "import json, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from support import read, source_of\n"
        "made = source_of(sys.argv[2], auth=json.loads(sys.argv[3]))\n"
        "assert read(made).rows == [{'id': 1}]\n"
        "made.disconnect()\n"
    )
    auth = json.dumps(refreshing(tokens, token_file=str(tmp_path / "token.json")))
    arguments = [sys.executable, "-c", program, str(Path(__file__).parent), tokens.url, auth]
    running = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(process.communicate(timeout=100)[1], process.returncode) for process in running] == [("", 0)] * 4
    assert [form["refresh_token"] for form, _ in tokens.asked] == [f"refresh-{number}" for number in range(4)]


def test_threads_go_on_after_a_token_server_that_failed(source: Make, tokens: Tokens) -> None:
    """An error while a token is requested releases the lock, and every reading gets its token."""
    failures = iter(range(4))

    def issue(request: str, number: int) -> bytes:
        if next(failures, None) is not None:
            return answer(b"", status="503 Busy")
        tokens.valid.add("access")
        return answer({"access_token": "access", "refresh_token": f"refresh-{number}"})

    landed: list[Any] = []
    with Scripted(issue) as server:
        made = source(tokens.url, auth=refreshing(tokens, token_url=server.url))
        threads = [threading.Thread(target=lambda: landed.append(read(made).rows), daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert len(server.requests) == 5
    assert landed == [ONE_PAGE] * 8


def test_a_token_that_cannot_be_kept_is_an_error_once_and_used_meanwhile(
    source: Make, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has replaced the configured one: sent again, that would have all of them revoked."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    made = source(tokens.url, auth=refreshing(tokens, token_file=str(tmp_path / "token.json")))
    with monkeypatch.context() as patched:
        patched.setattr("vdk.plugin.source_rest.auth.oauth2.os.replace", full)
        with pytest.raises(ConfigurationError, match=r"No space left.*token_file"):
            read(made)
    tokens.valid.clear()
    assert read(made).rows == ONE_PAGE
    assert [form["refresh_token"] for form, _ in tokens.asked] == ["refresh-0", "refresh-1"]
    assert "refresh-2" in (tmp_path / "token.json").read_text("utf-8")


@pytest.mark.parametrize("lifetime", ["3600.5", "soon", None, [], -5, 1e300])
def test_a_lifetime_that_is_none_does_not_hide_the_token(source: Make, tokens: Tokens, lifetime: Any) -> None:
    """A token without a known end is used until the server refuses it, and asked for once."""
    reply = {"access_token": "access", "expires_in": lifetime}
    tokens.valid.add("access")
    with Scripted(lambda request, number: answer(reply)) as server:
        made = source(tokens.url, auth=client(tokens, token_url=server.url))
        for _ in range(3):
            assert read(made).rows == ONE_PAGE
        assert len(server.requests) == 1


@pytest.mark.heavy
def test_issued_tokens_are_remembered_in_bounded_memory(source: Make, tokens: Tokens) -> None:
    """A server that refuses each token gets new ones; messages are free of the latest."""
    made = source(tokens.url, auth=client(tokens))
    read(made)
    for _ in range(300):
        tokens.valid.clear()
        read(made)
    assert len(list(made.context.issued_secrets())) <= 200
    assert f"access-{len(tokens.asked)}" in made.context.issued_secrets()


def test_the_clients_secret_follows_no_redirect(source: Make, tokens: Tokens) -> None:
    """A token server that redirects would have the secret sent elsewhere."""
    with (
        Scripted(lambda request, number: answer({"access_token": "x"})) as evil,
        Scripted(lambda request, number: redirect(f"{evil.url}/steal", "307 Moved")) as old,
    ):
        with pytest.raises(ConfigurationError, match="redirects"):
            read(source(tokens.url, auth=client(tokens, token_url=f"{old.url}/token", client_auth="body")))
        assert evil.requests == []


@pytest.mark.parametrize(
    ("reply", "error", "problem"),
    [
        (answer({"error": "invalid_client"}, status="401 No"), AuthenticationError, "invalid_client"),
        (answer({"hello": 1}), ConfigurationError, "contains no token"),
        (answer(b"<html>"), ConfigurationError, "contains no token"),
        (answer([]), ConfigurationError, "contains no token"),
        (answer(None), ConfigurationError, "contains no token"),
        (answer({"access_token": None}), ConfigurationError, "contains no token"),
        (answer({"access_token": {"a": 1}}), ConfigurationError, "contains no token"),
        (answer({"access_token": "a", "scope": 5}), ConfigurationError, "contains no token"),
        (answer(b"[" * 100_000), ConfigurationError, "contains no token"),
        (answer(b"", status="503 Busy"), ConnectionFailedError, "answered 503"),
        (b"", ConnectionFailedError, "token server"),
    ],
)
def test_a_token_server_that_issues_nothing(
    source: Make, tokens: Tokens, reply: bytes, error: type[Exception], problem: str
) -> None:
    """Refusals are not repeated, absence is."""
    with Scripted(lambda request, number: reply) as server:
        with pytest.raises(error, match=problem) as caught:
            read(source(tokens.url, auth=client(tokens, token_url=server.url), retry={"attempts": 2}))
        assert len(server.requests) == (2 if error is ConnectionFailedError else 1)
    assert "s3cret" not in str(caught.value)


def test_issued_tokens_are_taken_out_of_errors(source: Make, tokens: Tokens) -> None:
    """A server that repeats a token it issued does not get it into a message."""
    with (
        Scripted(lambda request, number: answer({"you sent": "access-1"}, status="400 Bad")) as api,
        pytest.raises(ConfigurationError, match="you sent") as caught,
    ):
        read(source(api.url, auth=client(tokens)))
    assert "access-1" not in str(caught.value)


def test_debug_logs_show_no_key(source: Make, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 logs whole request lines, which lose their queries; ours show parameters that are not secret."""
    httpserver.expect_request("/items").respond_with_json([])
    auth = {"type": "api_key", "name": "key", "value": "canary-4711", "in": "query"}
    with caplog.at_level(logging.DEBUG):
        read(source(httpserver.url_for("/"), auth=auth, params={"q": "open", "token": "canary-4712"}))
    ours = "".join(record.getMessage() for record in caplog.records if record.name != "werkzeug")
    assert "/items?***" in ours
    assert "/items?q=open&token=***" in ours
    assert "canary" not in ours


def test_any_authentication_of_requests_works(source: Make, httpserver: HTTPServer) -> None:
    """A subclass returns what others have written, and may renew it."""
    renewed: list[str] = []

    class Signed(requests.auth.AuthBase):
        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["X-Signature"] = f"signed {request.path_url} {len(renewed)}"
            return request

        def renew(self, request: requests.PreparedRequest) -> bool:
            renewed.append(request.headers["X-Signature"])
            return True

    class Odd(RestSource):
        def authentication(self) -> Signed:
            return Signed()

    httpserver.expect_request("/items", headers={"X-Signature": "signed /items 1"}).respond_with_json(ONE_PAGE)
    httpserver.expect_request("/items").respond_with_data(status=401)
    assert read(source(httpserver.url_for("/"), kind=Odd)).rows == ONE_PAGE
    assert renewed == ["signed /items 0"]
