"""No token leaves its origin: links, redirects and tricks of a server that wants it sent elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from support import Scripted, answer, read, redirect, source_of
from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.source_rest import RestSource
from vdk.plugin.source_rest.http.urls import Origin

CANARY = "canary-4711"

AUTHS: dict[str, Any] = {
    "basic": {"type": "basic", "username": "ann", "password": CANARY},
    "bearer": {"type": "bearer", "token": CANARY},
    "header": {"type": "api_key", "name": "X-Key", "value": CANARY},
    "query": {"type": "api_key", "name": "key", "value": CANARY, "in": "query"},
    "cookie": {"type": "api_key", "name": "session", "value": CANARY, "in": "cookie"},
}


@pytest.fixture
def evil() -> Iterator[Scripted]:
    """Another origin, which notes what it is sent."""
    with Scripted(lambda request, number: answer({"items": [{"id": 2}]})) as server:
        yield server


def nothing_secret(server: Scripted) -> bool:
    """Whether no request has a credential, a cookie or a configured header."""
    words = (CANARY, "YW5uOm", "authorization", "cookie", "x-own")
    return not any(word.lower() in request.lower() for request in server.requests for word in words)


def leading(link: str, how: str) -> bytes:
    """An answer that leads to ``link``; it sets a cookie as well."""
    cookie = f"Set-Cookie: sid={CANARY}; Path=/"
    if how == "body":
        return answer({"items": [{"id": 1}], "next": link}, cookie, "Content-Type: application/json")
    if how == "header":
        return answer({"items": [{"id": 1}]}, f'Link: <{link}>; rel="next"', cookie, "Content-Type: application/json")
    return answer(b"", f"Location: {link}", cookie, status=f"{how} Elsewhere")


WAYS = ["body", "header", "301", "302", "303", "307", "308"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("auth", AUTHS)
def test_a_foreign_link_is_refused(evil: Scripted, how: str, auth: str) -> None:
    """Whatever the credentials, a link to another origin is an error, and nothing is sent there."""
    with Scripted(lambda request, number: leading(f"{evil.url}/steal", how)) as api:
        source = source_of(api.url, auth=AUTHS[auth], headers={"X-Own": CANARY})
        with pytest.raises(ConfigurationError, match="follow_foreign_links") as caught:
            read(source)
        source.disconnect()
    assert evil.requests == []
    assert CANARY not in str(caught.value)
    assert CANARY in "".join(api.requests) or auth == "basic"


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("auth", AUTHS)
def test_a_foreign_link_may_be_followed_without_credentials(evil: Scripted, how: str, auth: str) -> None:
    """With follow_foreign_links the other origin gets a bare request: no key, no cookie, no configured header."""
    with Scripted(lambda request, number: leading(f"{evil.url}/more", how)) as api:
        source = source_of(api.url, auth=AUTHS[auth], headers={"X-Own": CANARY}, follow_foreign_links=True)
        landed = read(source)
        source.disconnect()
    assert [row["id"] for row in landed.rows][-1] == 2
    assert len(evil.requests) == 1
    assert nothing_secret(evil)


def test_a_redirect_back_from_a_foreign_origin_gets_no_credentials(evil: Scripted) -> None:
    """Another origin cannot make us send credentials by redirecting back."""
    seen: list[str] = []

    def own(request: str, number: int) -> bytes:
        seen.append(request)
        return redirect(f"{other.url}/x") if number == 0 else answer([{"id": 3}])

    with Scripted(own) as api, Scripted(lambda request, number: redirect(f"{api.url}/admin")) as other:
        source = source_of(api.url, auth=AUTHS["bearer"], follow_foreign_links=True)
        assert read(source).rows == [{"id": 3}]
        source.disconnect()
    assert CANARY in seen[0]
    assert CANARY not in seen[1]


@pytest.mark.parametrize(
    "link",
    [
        "//127.0.0.2:{port}/x",
        "http://127.0.0.1:{port}@127.0.0.2/x",
        "http://127.0.0.1:{port}\\@127.0.0.2/x",
        "\\\\127.0.0.2\\x",
        "/\\127.0.0.2/x",
        "http:\\\\127.0.0.2/x",
        "https://127.0.0.1:{port}/x",
        "http://127.0.0.1.:{port}/x",
        "http://localhost:{port}/x",
        "http://user:word@127.0.0.1:{port}/x",
        "http://127.0.0.1:{port}\t@127.0.0.2/x",
        "ftp://127.0.0.1:{port}/x",
        "http://[::1]:{port}/x",
        "http://127.0.0.1:{port}#@127.0.0.2:1/x\x00",
        "http:///127.0.0.2/x",
        "javascript:alert(1)",
        "http://2130706433:{port}/x",
        "http://127.1:{port}/x",
        "http://127.0.0.1:{port}%40127.0.0.2/x",
    ],
)
@pytest.mark.parametrize("how", ["body", "308"])
def test_a_link_that_only_looks_like_the_origin_is_refused(link: str, how: str) -> None:
    """User parts, backslashes, other spellings of the host and other schemes lead nowhere."""
    with Scripted(lambda request, number: leading(link.format(port=api.port), how)) as api:
        paginator = {"type": "next_url", "path": "next"}
        source = source_of(api.url, {"name": "items", "paginator": paginator}, auth=AUTHS["bearer"])
        with pytest.raises(ConfigurationError):
            read(source)
        source.disconnect()
        assert len(api.requests) == 1


@pytest.mark.parametrize("link", ["/x?page=2", "?page=2", "HTTP://127.0.0.1:{port}/x", "http://127.0.0.1:{port}/a b"])
def test_a_link_of_the_same_origin_is_followed_with_credentials(link: str) -> None:
    """Relative links and other spellings of the same origin are followed."""

    def serve(request: str, number: int) -> bytes:
        return leading(link.format(port=api.port), "body") if number == 0 else answer({"items": [], "next": None})

    with Scripted(serve) as api:
        paginator = {"type": "next_url", "path": "next"}
        source = source_of(api.url, {"name": "items", "paginator": paginator}, auth=AUTHS["bearer"])
        assert read(source).rows == [{"id": 1}]
        source.disconnect()
    assert all(CANARY in request for request in api.requests)
    assert len(api.requests) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://api.example.com", "https://API.example.COM:443/x"),
        ("http://api.example.com:80", "http://api.example.com"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/x"),
    ],
)
def test_spellings_of_one_origin_are_one(first: str, second: str) -> None:
    """Case, default ports and international names make no difference."""
    assert Origin.of(first) == Origin.of(second)


def test_an_authentication_that_changes_the_origin_sends_nothing(evil: Scripted) -> None:
    """Even a subclass's own authentication cannot send a request elsewhere."""

    class Odd(RestSource):
        def authentication(self) -> Any:
            def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
                request.url = f"{evil.url}/steal"
                return request

            return sign

    with Scripted(lambda request, number: answer([])) as api:
        source = source_of(api.url, kind=Odd)
        with pytest.raises(ConfigurationError, match="which is not http"):
            read(source)
        source.disconnect()
    assert evil.requests == []


def test_what_is_posted_is_not_sent_to_another_origin(evil: Scripted) -> None:
    """A body may hold anything, so it does not leave the origin even where foreign links are followed."""
    with Scripted(lambda request, number: redirect(f"{evil.url}/x", "307 Elsewhere")) as api:
        stream = {"name": "items", "method": "POST", "body": {"query": CANARY}}
        source = source_of(api.url, stream, follow_foreign_links=True)
        with pytest.raises(ConfigurationError, match="posted"):
            read(source)
        source.disconnect()
    assert evil.requests == []


def test_a_netrc_adds_no_credentials(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests would take a password for the host from ~/.netrc, which nobody asked for."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login ann password {CANARY}\n", "utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    with Scripted(lambda request, number: answer([])) as api:
        source = source_of(api.url)
        read(source)
        source.disconnect()
    assert nothing_secret(api)


def test_a_loop_of_redirects_ends() -> None:
    """A server that redirects to itself is an error that says so."""
    with Scripted(lambda request, number: redirect(f"{api.url}/items?n={number}")) as api:
        source = source_of(api.url)
        with pytest.raises(ConfigurationError, match="more than 10 redirects"):
            read(source)
        source.disconnect()
    assert len(api.requests) == 11
