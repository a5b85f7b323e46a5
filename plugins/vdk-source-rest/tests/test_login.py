"""Logging in by a session, a signed token, a signature, a password, Digest, several headers, and a certificate."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from support import Api, read
from vdk.plugin.datasource_base.contract import AuthenticationError, ConfigurationError

Make = Callable[..., Any]
ROWS = [{"id": 1}]
ITEMS: dict[str, Any] = {"name": "items", "slices": [{"x": 1}, {"x": 2}], "params": {"x": "{x}"}}


class Login(Api):
    """A session that ends after two requests; by a cookie or a token."""

    def __init__(self, server: HTTPServer, *, by_cookie: bool) -> None:
        self.logins: list[Any] = []
        self.left = 0
        self._by_cookie = by_cookie
        super().__init__(server, self._find)

    def _find(self, asked: Request) -> Any:
        if asked.path.endswith("login"):
            self.logins.append(asked.get_json(silent=True) or asked.form.to_dict())
            self.left = 2
            session = f"s{len(self.logins)}"
            reply = Response(f'{{"data": {{"session": "{session}"}}}}', content_type="application/json")
            if self._by_cookie:
                reply.set_cookie("sid", session)
                reply.set_cookie("node", "n1")
            return reply
        known = asked.headers.get("X-Session", "") == f"s{len(self.logins)}"
        if self._by_cookie:
            known = asked.cookies.to_dict() == {"sid": f"s{len(self.logins)}", "node": "n1"}
        self.left -= 1
        return ROWS if known and self.left >= 0 else Response("{}", status=401)


@pytest.mark.parametrize(
    ("options", "by_cookie"),
    [
        ({"token_path": "data.session", "header": "X-Session", "scheme": ""}, False),
        ({"encoding": "form"}, True),
        ({"renew_after": "0s", "encoding": "form"}, True),
    ],
    ids=["a token in a header", "cookies", "by age"],
)
def test_a_session_is_opened_and_renewed(source: Make, httpserver: HTTPServer, options: Any, by_cookie: bool) -> None:
    """Once for all requests, and again when one is refused or the session is too old."""
    api = Login(httpserver, by_cookie=by_cookie)
    body = {"user": "ann", "password": "canary"}
    auth = {"type": "session", "url": f"{api.url}/login", "body": body, **options}
    made = source(api.url, ITEMS, auth=auth)
    assert len(read(made).rows) == 2
    assert len(api.logins) == (2 if "renew_after" in options else 1)
    assert len(read(made).rows) == 2
    assert len(api.logins) == (4 if "renew_after" in options else 2)
    assert api.logins[0] == body
    assert "s1" in list(made.context.issued_secrets()) or "sid=s1; node=n1" in list(made.context.issued_secrets())


@pytest.mark.parametrize(
    ("status", "options", "problem"),
    [
        (403, {}, r"the login at http://.* was refused \(403\); check auth.body"),
        (200, {"token_path": "data.nope"}, "lacks a token at 'data.nope'"),
        (200, {}, "lacks a cookie"),
    ],
)
def test_a_login_that_fails_says_why(
    source: Make, httpserver: HTTPServer, status: int, options: Any, problem: str
) -> None:
    """And no secret is in the message."""
    api = Api(httpserver, lambda _: Response('{"data": {}}', status=status))
    auth = {"type": "session", "url": f"{api.url}/login", "body": {"password": "canary"}, **options}
    with pytest.raises((AuthenticationError, ConfigurationError), match=problem) as caught:
        read(source(api.url, ITEMS, auth=auth))
    assert "canary" not in str(caught.value)


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA), ("ES256", EC)])
def test_a_token_is_signed_by_a_private_key(
    source: Make, httpserver: HTTPServer, tmp_path: Path, algorithm: str, key: Any
) -> None:
    """It is sent as it is, or exchanged for an access token at the token server."""
    forms: list[dict[str, list[str]]] = []

    def claims(token: str) -> dict[str, Any]:
        found: dict[str, Any] = jwt.decode(token, key.public_key(), algorithms=[algorithm], audience="api")
        return found

    def answer(asked: Request) -> Any:
        if asked.path.endswith("token"):
            forms.append(parse_qs(asked.get_data(as_text=True)))
            assert claims(forms[0]["assertion"][0])["sub"] == "ann"
            return {"access_token": "issued", "token_type": "Bearer"}
        token = asked.headers["Authorization"].removeprefix("Bearer ")
        return ROWS if token == "issued" or claims(token)["iss"] == "app" else None

    api = Api(httpserver, answer)
    signed = {"algorithm": algorithm, "issuer": "app", "subject": "ann", "audience": "api", "key_id": "k1"}
    (tmp_path / "key.pem").write_text(pem(key), "utf-8")
    own = {"type": "jwt", "private_key_file": str(tmp_path / "key.pem"), **signed}
    assert len(read(source(api.url, ITEMS, auth=own)).rows) == 2
    exchanged = {"type": "oauth2_jwt_bearer", "private_key": pem(key), "token_url": f"{api.url}/token", **signed}
    assert len(read(source(api.url, ITEMS, auth=exchanged)).rows) == 2
    assert [form["grant_type"] for form in forms] == [["urn:ietf:params:oauth:grant-type:jwt-bearer"]]
    other = {"RS256": "ES256", "ES256": "RS256"}[algorithm]
    with pytest.raises(ConfigurationError, match=rf"is not a key for {other} .* begins with -----BEGIN"):
        read(source(api.url, ITEMS, auth={**own, "algorithm": other}))


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA), ("ES256", EC)])
@pytest.mark.parametrize("grant", ["client_credentials", "refresh_token", "password"])
def test_a_client_logs_in_by_a_token_that_it_signs(
    source: Make, httpserver: HTTPServer, tmp_path: Path, algorithm: str, key: Any, grant: str
) -> None:
    """In place of a secret (RFC 7523, section 2.2), once for each request; nothing goes into a header."""
    forms: list[dict[str, str]] = []

    def answer(asked: Request) -> Any:
        if asked.path.endswith("token"):
            assert "Authorization" not in asked.headers
            forms.append({name: values[0] for name, values in parse_qs(asked.get_data(as_text=True)).items()})
            return {"access_token": f"issued{len(forms)}", "token_type": "Bearer"}
        return ROWS if asked.headers["Authorization"] == f"Bearer issued{len(forms)}" else None

    api = Api(httpserver, answer)
    signed = {"private_key": pem(key), "algorithm": algorithm, "key_id": "k1"}
    auth = {"type": f"oauth2_{grant}", "token_url": f"{api.url}/token", "client_id": "me", "client_jwt": signed}
    more: dict[str, Any] = {"password": {"username": "ann", "password": "pw"}}
    more["refresh_token"] = {"refresh_token": "r", "token_file": str(tmp_path / "token.json")}
    auth |= {"client_auth": "private_key_jwt", **more.get(grant, {})}
    made = [source(api.url, ITEMS, auth=auth) for _ in range(2)]
    assert [len(read(each).rows) for each in made] == [2, 2]
    claims = [
        jwt.decode(form["client_assertion"], key.public_key(), algorithms=[algorithm], audience=auth["token_url"])
        for form in forms
    ]
    assert [(each["iss"], each["sub"]) for each in claims] == [("me", "me")] * 2
    assert claims[0]["jti"] != claims[1]["jti"]
    assert jwt.get_unverified_header(forms[0]["client_assertion"])["kid"] == "k1"
    assert {(form["grant_type"], form["client_id"]) for form in forms} == {(grant, "me")}
    assert forms[0]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert forms[0]["client_assertion"] in list(made[0].context.issued_secrets())


def test_a_password_is_exchanged_for_a_token(source: Make, httpserver: HTTPServer) -> None:
    """By the grant that servers have for users who trust the program."""
    forms: list[dict[str, list[str]]] = []

    def answer(asked: Request) -> Any:
        if asked.path.endswith("token"):
            forms.append(parse_qs(asked.get_data(as_text=True)))
            return {"access_token": "issued", "token_type": "Bearer"}
        return ROWS if asked.headers["Authorization"] == "Bearer issued" else None

    api = Api(httpserver, answer)
    auth = {"type": "oauth2_password", "token_url": f"{api.url}/token", "client_id": "c", "client_secret": "s"}
    read(source(api.url, ITEMS, auth={**auth, "username": "ann", "password": "p w", "client_auth": "body"}))
    assert {name: values[0] for name, values in forms[0].items()} == {
        "grant_type": "password",
        "username": "ann",
        "password": "p w",
        "client_id": "c",
        "client_secret": "s",
    }


def test_requests_are_signed_for_aws(source: Make, httpserver: HTTPServer) -> None:
    """The signature is that of the request as it arrives: another implementation computes the same."""
    seen: list[Request] = []

    def answer(asked: Request) -> Any:
        asked.get_data()
        seen.append(asked)
        return ROWS

    api = Api(httpserver, answer)
    auth = {"type": "aws_sigv4", "service": "es", "region": "eu-central-1", "access_key": "AK", "secret_key": "SK"}
    stream = {"name": "items", "method": "POST", "path": "a%20b/items", "params": {"q": "x y"}, "body": {"k": "ü"}}
    read(source(api.url, stream, auth={**auth, "session_token": "ST"}))
    (asked,) = seen
    fields = dict(re.findall(r"(\w+)=([^,]+)", asked.headers["Authorization"]))
    assert fields["Credential"].endswith("/eu-central-1/es/aws4_request")
    assert asked.headers["X-Amz-Security-Token"] == "ST"
    names = fields["SignedHeaders"].split(";")
    assert {"host", "x-amz-date", "content-type"} <= set(names)
    assert fields["Signature"] == _signature(asked, names, "SK")


def _signature(asked: Request, names: list[str], secret: str) -> str:
    """As AWS documents it: a canonical request, and a chain of HMACs."""
    import hmac

    def sign(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    headers = "".join(f"{name}:{asked.headers[name].strip()}\n" for name in names)
    body = hashlib.sha256(asked.get_data()).hexdigest()
    # the path as it was sent, encoded once more, since only S3 signs it as it is
    canonical = f"POST\n/v1/a%2520b/items\nq=x%20y\n{headers}\n{';'.join(names)}\n{body}"
    date = asked.headers["X-Amz-Date"]
    scope = f"{date[:8]}/eu-central-1/es/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (date[:8], "eu-central-1", "es", "aws4_request"):
        key = sign(key, part)
    return sign(key, text).hex()


def test_digest_answers_the_challenge(source: Make, httpserver: HTTPServer) -> None:
    """The password itself is not sent; a wrong one is an error and not a loop."""

    def answer(asked: Request) -> Any:
        sent = asked.authorization
        challenge = Response(status=401)
        challenge.headers["WWW-Authenticate"] = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'
        if sent is None:
            return challenge
        uri = f"{asked.path}?{asked.query_string.decode()}"
        first, second = (hashlib.sha256(x.encode()).hexdigest() for x in ("ann:r:pw", f"GET:{uri}"))
        text = f"{first}:n:{sent['nc']}:{sent['cnonce']}:auth:{second}"
        return ROWS if sent["response"] == hashlib.sha256(text.encode()).hexdigest() else challenge

    api = Api(httpserver, answer)
    auth = {"type": "digest", "username": "ann", "password": "pw"}
    assert len(read(source(api.url, ITEMS, auth=auth)).rows) == 2
    with pytest.raises(AuthenticationError, match="refused the credentials"):
        read(source(api.url, ITEMS, auth={**auth, "password": "no"}))


def test_several_headers_are_made_of_secrets(source: Make, httpserver: HTTPServer) -> None:
    """Datadog wants two keys, and some APIs one key in two headers."""
    seen: list[Any] = []

    def answer(asked: Request) -> Any:
        seen.append((asked.headers["X-Key"], asked.headers["Authorization"]))
        return ROWS

    api = Api(httpserver, answer)
    auth = {
        "type": "headers",
        "secrets": {"key": "canary", "app": "a"},
        "headers": {"X-Key": "{key}", "Authorization": "Token {key}:{app}"},
    }
    read(source(api.url, {"name": "items"}, auth=auth))
    assert seen == [("canary", "Token canary:a")]


def test_a_client_shows_its_certificate(source: Make, tmp_path: Path) -> None:
    """To a server that wants one, and whose own is of an authority in ``ca_bundle``; without it, nothing is read."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own = authority.issue_cert("ann@example.com")
    own.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HTTPServer(host="127.0.0.1", ssl_context=context) as server:
        api = Api(server, lambda _: ROWS)
        options = {"ca_bundle": str(tmp_path / "ca.pem"), "retry": {"attempts": 1}}
        shown = {"client_certificate": str(tmp_path / "client.pem"), "client_key": str(tmp_path / "client.key")}
        assert len(read(source(api.url, {"name": "items"}, **options, **shown)).rows) == 1
        with pytest.raises(Exception, match=r"GET https://127\.0\.0\.1"):
            read(source(api.url, {"name": "items"}, **options))
    assert len(api.asked) == 1


CLIENT: dict[str, Any] = {"type": "oauth2_client_credentials", "token_url": "https://x.example/t", "client_id": "a"}


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        ({"type": "jwt"}, 'set one of private_key and private_key_file, as in private_key_file = "key.pem"'),
        ({"type": "session", "url": "http://x.example/l", "body": {"a": "b"}}, "auth.url: .* is not https"),
        ({"type": "aws_sigv4", "service": "s", "region": "r", "access_key": "a"}, "belong together"),
        (CLIENT | {"client_auth": "private_key_jwt"}, "and client_jwt belong together, as in client_jwt = "),
        (CLIENT | {"client_jwt": {"private_key": "k"}}, "and client_jwt belong together, as in client_jwt = "),
        (
            CLIENT | {"client_auth": "private_key_jwt", "client_jwt": {}},
            "auth.client_jwt: set one of private_key and private_key_file",
        ),
        (
            CLIENT | {"client_auth": "private_key_jwt", "client_jwt": {"private_key": "k"}, "client_secret": "s"},
            "remove client_secret",
        ),
        (
            {"type": "headers", "secrets": {"a": "x"}, "headers": {"X": "{b}"}},
            r"auth\.headers\.X: \{b\} is not one of the secrets a; .* b = \"\$\{secret:b\}\"",
        ),
    ],
)
def test_logins_that_do_not_fit(source: Make, auth: Any, problem: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", {"name": "items"}, auth=auth)
