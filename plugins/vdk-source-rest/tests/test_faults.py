"""Servers that fail, lie or trickle: asked again where that helps, an error that shows what came where it does not."""

from __future__ import annotations

import gzip
import json
import logging
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest

from support import JSON, Scripted, answer, read, redirect
from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
)
from vdk.plugin.source_rest.http.rate_limit import RateLimiter
from vdk.plugin.source_rest.http.urls import mask_url

Make = Callable[..., Any]
GOOD = answer([{"id": 1}])
BODY = json.dumps([{"id": 1, "name": "x" * 200}]).encode()
ZIPPED = gzip.compress(BODY)


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", JSON, *headers]).encode() + b"\r\n\r\n"


CUT_OFF = {
    "less than Content-Length": head(f"Content-Length: {len(BODY)}") + BODY[:-7],
    "nothing of a body": head(f"Content-Length: {len(BODY)}"),
    "a chunk cut off": head("Transfer-Encoding: chunked") + b"ff\r\n" + BODY[:50],
    "no last chunk": head("Transfer-Encoding: chunked") + b"%x\r\n" % len(BODY) + BODY + b"\r\n",
    "no end of a body that the connection ends": head() + BODY[:-7],
    "gzip cut off": head(f"Content-Length: {len(ZIPPED) - 9}", "Content-Encoding: gzip") + ZIPPED[:-9],
    "gzip damaged": head(f"Content-Length: {len(ZIPPED)}", "Content-Encoding: gzip")
    + ZIPPED[:20]
    + b"\0" * (len(ZIPPED) - 20),
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "nothing at all": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
}


CUT_OFF_OR_EMPTY = {**CUT_OFF, "an empty body that the connection ends": head()}


@pytest.mark.parametrize("broken", CUT_OFF_OR_EMPTY.values(), ids=CUT_OFF_OR_EMPTY)
def test_an_answer_that_was_cut_off_is_asked_for_again(source: Make, broken: bytes) -> None:
    """A response without its end is not used: the same page is requested again, and its records come once."""
    with Scripted(lambda request, number: broken if number < 2 else GOOD) as api:
        assert read(source(api.url)).rows == [{"id": 1}]
        assert len(api.requests) == 3


@pytest.mark.parametrize("broken", CUT_OFF.values(), ids=CUT_OFF)
def test_a_server_that_always_cuts_off_fails(source: Make, broken: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """After some attempts the partition fails with what the runtime retries later, and no row was delivered."""
    caplog.set_level(logging.INFO)
    with Scripted(lambda request, number: broken) as api:
        with pytest.raises(ConnectionFailedError, match=r"GET http://127\.0\.0\.1.*3 attempts"):
            read(source(api.url, retry={"attempts": 3}))
        assert len(api.requests) == 3
    messages = [record.getMessage() for record in caplog.records if "follows in" in record.getMessage()]
    assert [message.count("GET http://127.0.0.1") for message in messages] == [1, 1]


def test_lines_that_are_cut_off_are_left_to_the_runtime(source: Make) -> None:
    """A part of the lines is on its way already, so only a reading from the last state is right."""
    broken = head("Transfer-Encoding: chunked", "Content-Type: application/x-ndjson").replace(
        JSON.encode() + b"\r\n", b""
    )
    broken += b"a\r\n" + b'{"id": 1}\n' + b"\r\n"
    with Scripted(lambda request, number: broken) as api:
        with pytest.raises(ConnectionFailedError, match="cut off"):
            read(source(api.url))
        assert len(api.requests) == 1


def test_gzip_lines_that_are_cut_off_are_noticed(source: Make) -> None:
    """Compressed data without its end is an error, though every byte of the answer came."""
    zipped = gzip.compress(b"".join(b'{"id": %d}\n' % number for number in range(5000)))[:-20]
    with (
        Scripted(lambda request, number: answer(zipped, "Content-Encoding: gzip", "Content-Type: text/x-jsonl")) as api,
        pytest.raises(ConnectionFailedError, match="compressed response was cut off"),
    ):
        read(source(api.url))


def test_a_bomb_is_not_unpacked(source: Make) -> None:
    """A small answer that decompresses to a large one stops at the limit."""
    bomb = gzip.compress(b" " * 50_000_000)
    with Scripted(lambda request, number: answer(bomb, "Content-Encoding: gzip", JSON)) as api:
        with pytest.raises(ConfigurationError, match="max_response_bytes"):
            read(source(api.url, max_response_bytes=1_000_000))
        assert len(api.requests) == 1


def test_an_endless_line_is_not_collected(source: Make) -> None:
    """A record of a body of lines has a limit too."""
    with (
        Scripted(lambda request, number: answer(b"[" + b" " * 3_000_000, "Content-Type: application/x-ndjson")) as api,
        pytest.raises(ConfigurationError, match="max_response_bytes"),
    ):
        read(source(api.url, max_response_bytes=1_000_000))


def trickling(first: bytes) -> Iterator[bytes]:
    yield first
    for _ in range(200):
        time.sleep(0.05)
        yield b" "


@pytest.mark.parametrize(
    "first", [head("Content-Length: 100000"), b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["body", "header"]
)
def test_a_server_that_trickles_is_left(source: Make, first: bytes) -> None:
    """An answer ends within its total time, though each byte of it comes in time; in the headers as well."""
    with (
        Scripted(lambda request, number: trickling(first)) as api,
        pytest.raises(ConnectionFailedError, match=r"GET http://127\.0\.0\.1.* in time"),
    ):
        read(source(api.url, timeout={"total": "300ms", "read": "5s"}, retry={"attempts": 1}))


def test_a_server_that_says_nothing_is_left(source: Make) -> None:
    """A server that accepts and is silent meets the read timeout."""
    given_up = threading.Event()

    def silent(request: str, number: int) -> Iterator[bytes]:
        given_up.wait(30)
        yield b""

    with Scripted(silent) as api:
        try:
            with pytest.raises(ConnectionFailedError, match="no response in time"):
                read(source(api.url, timeout={"read": "100ms"}, retry={"attempts": 1}))
        finally:
            given_up.set()


def test_a_server_that_does_not_listen_is_unreachable(source: Make) -> None:
    """The error of a refused connection shows no query, which may contain a key."""
    key = {"type": "api_key", "name": "key", "value": "canary-4711", "in": "query"}
    with pytest.raises(ConnectionFailedError, match="refused") as caught:
        read(source("http://127.0.0.1:9", auth=key, params={"token": "canary-4712"}, retry={"attempts": 2}))
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_status_of_now_is_asked_again(source: Make, status: int) -> None:
    """What says "not now" is retried."""
    busy = answer(b"busy", status=f"{status} Busy")
    with Scripted(lambda request, number: busy if number < 2 else GOOD) as api:
        assert read(source(api.url)).rows == [{"id": 1}]


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        (["Retry-After: 17"], 17),
        (["Retry-After: {date}"], 30),
        (["RateLimit-Remaining: 0", "RateLimit-Reset: 12"], 12),
        (["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: {epoch}"], 30),
        (["RateLimit: limit=10, remaining=0, reset=9"], 9),
        (['RateLimit: "default";r=0;t=8'], 8),
    ],
)
@pytest.mark.parametrize("status", ["429 Slow", "503 Busy", "403 Limit"])
def test_the_server_says_how_long_to_wait(source: Make, headers: list[str], waited: float, status: str) -> None:
    """Retry-After as a number and as a date, and the RateLimit headers in all their forms are obeyed."""
    now = 1_800_000_000.0
    written = [header.format(date="Fri, 15 Jan 2027 08:00:30 GMT", epoch=int(now) + 30) for header in headers]
    busy = answer(b"", *written, status=status)
    with Scripted(lambda request, number: busy if number == 0 else GOOD) as api:
        made = source(api.url, retry={"delay": "1ms"})
        made.context.client.limiter = RateLimiter(None, clock=lambda: 0.0)
        slept: list[float] = []
        made.context.client.sleep = slept.append
        made.context.client.now = lambda: now
        assert read(made).rows == [{"id": 1}]
    assert waited <= sum(slept) <= 2 * waited + 1


def test_a_quota_that_is_used_up_is_waited_for_beforehand(source: Make) -> None:
    """A good answer that says that nothing remains holds the next request back."""

    def serve(request: str, number: int) -> bytes:
        if number:
            return GOOD
        return answer({"items": [{"id": 0}], "next": "/x"}, JSON, "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 20")

    with Scripted(serve) as api:
        made = source(api.url, {"name": "items", "records": "items || @"})
        made.context.client.limiter = RateLimiter(None, clock=lambda: 0.0)
        slept: list[float] = []
        made.context.client.sleep = slept.append
        assert read(made).rows == [{"id": 0}, {"id": 1}]
    assert sum(slept) == 20


@pytest.mark.parametrize("status", ["429 Slow", "403 Limit"])
def test_a_wait_that_is_too_long_is_left_to_the_runtime(source: Make, status: str) -> None:
    """Longer than retry.max_wait is not waited here; the message says how long, and which option allows it."""
    with Scripted(lambda request, number: answer(b"", "Retry-After: 3600", status=status)) as api:
        with pytest.raises(ConnectionFailedError) as caught:
            read(source(api.url))
        assert len(api.requests) == 1
    assert caught.value.retry_after == 3600
    assert "asks to wait for 3600 s, and retry.max_wait is 300 s" in str(caught.value)
    assert 'retry = { max_wait = "3600s" }' in str(caught.value)


def test_a_wait_for_ages_names_the_option_that_bounds_it(source: Make) -> None:
    """A number of any size makes no message of any size."""
    with (
        Scripted(lambda request, number: answer(b"", f"Retry-After: {'9' * 300}", status="429 Slow")) as api,
        pytest.raises(
            ConnectionFailedError, match=r'more than 10 years, and retry\.max_wait = "300s" bounds'
        ) as caught,
    ):
        read(source(api.url))
    assert len(str(caught.value)) < 300


def test_a_wait_for_a_configured_rate_names_that_option(source: Make) -> None:
    """A low requests_per_second delays a request for longer than max_wait: the server asks for nothing."""

    def page(request: str, number: int) -> bytes:
        return answer({"items": [{"id": number}], "next": f"/p{number}"})

    with Scripted(page) as api:
        made = source(api.url, requests_per_second=0.001)
        with pytest.raises(ConnectionFailedError) as caught:
            read(made)
    assert "requests_per_second = 0.001 asks to wait for 1000 s, and retry.max_wait is 300 s" in str(caught.value)
    assert "the server" not in str(caught.value)


def test_a_quota_that_is_used_up_for_long_names_the_option(source: Make) -> None:
    """Also if it was a good response that asked to wait."""
    body = {"items": [{"id": 0}], "next": "/x"}
    limited = answer(body, JSON, "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 7200")
    with (
        Scripted(lambda request, number: limited) as api,
        pytest.raises(ConnectionFailedError, match=r'retry = \{ max_wait = "7200s" \}'),
    ):
        read(source(api.url))


LIMITED = [
    {"message": "You have exceeded a secondary rate limit."},
    {"error": {"errors": [{"reason": "userRateLimitExceeded"}]}},
    {"message": "Request was throttled."},
    {"message": "Too Many Requests"},
    {"error": "quota exceeded"},
]


@pytest.mark.parametrize("body", LIMITED)
def test_a_403_that_speaks_of_a_rate_limit_is_asked_again(source: Make, body: Any) -> None:
    """A rate limiter that sends no header says so in its text."""
    limited = answer(body, status="403 Forbidden")
    with Scripted(lambda request, number: limited if number < 2 else GOOD) as api:
        assert read(source(api.url)).rows == [{"id": 1}]


def test_a_403_says_what_to_do_where_it_is_a_rate_limit(source: Make) -> None:
    """A firewall that counts requests may say nothing at all."""
    forbidden = answer(b"<html>Forbidden</html>", status="403 Forbidden")
    with Scripted(lambda request, number: forbidden if number < 2 else GOOD) as api:
        with pytest.raises(AuthenticationError) as caught:
            read(source(api.url))
        assert len(api.requests) == 1
        line = str(caught.value).partition("add ")[2]
        assert read(source(api.url, **tomllib.loads(line))).rows == [{"id": 1}]


EMPTY = {
    "no content": head("Content-Length: 0"),
    "a line end": answer(b"\r\n"),
    "no chunk": head("Transfer-Encoding: chunked") + b"0\r\n\r\n",
}


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
def test_an_answer_without_content_is_not_asked_for_again(source: Make, empty: bytes) -> None:
    """It is whole and it is empty: another attempt gets the same. The line of the message says what it means."""
    with Scripted(lambda request, number: empty) as api:
        with pytest.raises(DataSourceError) as caught:
            read(source(api.url))
        assert not isinstance(caught.value, ConnectionFailedError)
        assert len(api.requests) == 1
        line = str(caught.value).partition("add ")[2].partition("; ")[0]
        landed = read(source(api.url, **tomllib.loads(line)))
    assert landed.rows == []
    assert landed.counts["responses_ignored"] == 1


def test_an_empty_answer_that_may_be_cut_off_is_not_asked_for_by_the_runtime_too(source: Make) -> None:
    """Without a length, an end of the connection may have come too soon: asked again, and then it is an error."""
    with Scripted(lambda request, number: head()) as api:
        with pytest.raises(DataSourceError, match=r"without any content.*3 attempts") as caught:
            read(source(api.url, retry={"attempts": 3}))
        assert not isinstance(caught.value, ConnectionFailedError)
        assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ({"empty": True}, answer(b"")),
        ({"status": 503}, answer(b"busy", status="503 Busy")),
        ({"contains": "locked"}, answer(b"locked", status="423 Locked")),
    ],
    ids=["empty", "status", "contains"],
)
def test_the_retries_of_a_rule_are_counted_once(source: Make, rule: dict[str, Any], refused: bytes) -> None:
    """After the attempts of the request the stream fails: the run does not multiply them by its own."""
    with Scripted(lambda request, number: refused) as api:
        with pytest.raises(DataSourceError, match=r"a rule retries such .*\(3 attempts\)") as caught:
            read(source(api.url, retry={"attempts": 3}, responses=[{**rule, "action": "retry"}]))
        assert len(api.requests) == 3
    assert not isinstance(caught.value, ConnectionFailedError)
    assert "set retry = { attempts = 6 }" in str(caught.value)


def test_a_rule_that_retries_leaves_a_long_wait_to_the_run(source: Make) -> None:
    """A refusal that asks for an hour is not an attempt that is used up."""
    limited = answer(b"", "Retry-After: 3600", status="403 Limit")
    with Scripted(lambda request, number: limited) as api:
        with pytest.raises(ConnectionFailedError, match='max_wait = "3600s"') as caught:
            read(source(api.url, responses=[{"status": 403, "action": "retry"}]))
        assert len(api.requests) == 1
    assert caught.value.retry_after == 3600


@pytest.mark.parametrize(
    ("streams", "asked"),
    [
        ([{"name": "a", "method": "POST"}, {"name": "b"}], "GET /b"),
        ([{"name": "a", "method": "POST"}], None),
        ([{"name": "a", "method": "POST", "check": True}], "POST /a"),
        ([{"name": "a"}, {"name": "b", "check": True}], "GET /b"),
        ([{"name": "a", "check": False}, {"name": "b"}], "GET /b"),
        ([{"name": "a", "check": False}], None),
    ],
)
def test_a_check_posts_nothing_unless_it_is_allowed_to(
    source: Make, caplog: pytest.LogCaptureFixture, streams: list[Any], asked: str | None
) -> None:
    """A POST may create something. Where nothing is asked, a warning says so."""
    with Scripted(lambda request, number: GOOD) as api:
        source(api.url, *streams).check()
        assert [request.partition(" HTTP")[0] for request in api.requests] == ([asked] if asked else [])
    assert ("check = true" in caplog.text) == (asked is None)


def test_a_url_is_shown_with_its_parameters(source: Make) -> None:
    """What was asked for helps to understand an error; what is called as secrets are is left out."""
    url = "https://u:p@x.example/a?q=to:me&since=2026-01-01T00:00:00Z&page_token=abc&n=5"
    plain = "https://x.example/a?q=to:me&since=2026-01-01T00:00:00Z&page_token=abc&n=5"
    assert mask_url(url) == plain
    assert mask_url(f"{url}&long={'y' * 81}") == f"{plain}&long=..."
    assert mask_url(url + "&a=1" * 100_000).endswith("&a=1&...")
    assert len(mask_url(url + "&a=1" * 100_000)) < 2100
    names = ["token", "access_token", "apiKey", "X-Amz-Signature", "sig", "code", "client_secret", "password", "SID"]
    for name in names:
        assert mask_url(f"https://x/?{name}=canary") == f"https://x/?{name}=***"
    for name in ["nextPageToken", "country_code", "cursor", "keyword", "monkey"]:
        assert mask_url(f"https://x/?{name}=canary") == f"https://x/?{name}=canary"


@pytest.mark.parametrize("length", [0, 200])
def test_a_secret_in_a_link_of_the_server_is_not_shown(
    source: Make, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    """Servers repeat a key in the link to the next page, under any name."""
    caplog.set_level(logging.DEBUG, "vdk.plugin.source_rest")
    key = "canary+finch" + length * "x"
    auth = {"type": "api_key", "name": "who", "value": key, "in": "query"}

    def serve(request: str, number: int) -> bytes:
        if number == 0:
            return answer({"items": [{"id": 1}], "next": f"/2?who={quote_plus(key)}&n=2"})
        return answer(b"busy", status="503 Busy")

    with Scripted(serve) as api, pytest.raises(ConnectionFailedError) as caught:
        read(source(api.url, auth=auth, retry={"attempts": 2}))
    for text in (str(caught.value), caplog.text):
        assert "n=2" in text
        assert "finch" not in text


def test_a_configured_rate_is_kept(source: Make) -> None:
    """requests_per_second spaces requests evenly."""

    def page(request: str, number: int) -> bytes:
        return answer({"items": [{"id": number}], "next": f"/p{number}" if number < 4 else None})

    with Scripted(page) as api:
        made = source(api.url, requests_per_second=2)
        made.context.client.limiter = RateLimiter(1 / made.context.client.limiter.interval, clock=lambda: 0.0)
        slept: list[float] = []
        made.context.client.sleep = slept.append
        assert len(read(made).rows) == 5
    assert sum(slept) == 0.5 * (1 + 2 + 3 + 4)  # no time passes for the clock, so the waits add up


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (403, AuthenticationError)])
def test_refused_credentials_are_not_tried_again(source: Make, status: int, error: type[Exception]) -> None:
    """Repeating a wrong password locks accounts."""
    with Scripted(lambda request, number: answer(b"no", status=f"{status} No")) as api:
        with pytest.raises(error, match=str(status)):
            read(source(api.url, auth={"type": "bearer", "token": "canary-4711"}))
        assert len(api.requests) == 1


def test_an_error_shows_the_request_and_the_answer_without_secrets(source: Make) -> None:
    """A server that repeats our token in its error does not get it into a log."""
    echo = answer({"error": "bad filter", "you": "canary-finch and canary%20robin"}, status="400 Bad")
    with Scripted(lambda request, number: echo) as api:
        auth = {"type": "bearer", "token": "canary-finch"}
        with pytest.raises(ConfigurationError) as caught:
            read(source(api.url, auth=auth, headers={"X-Own": "canary robin"}, params={"q": "canary", "page": 3}))
    text = str(caught.value)
    assert "bad filter" in text
    assert "400 Bad Request" in text
    assert "/items?q=canary&page=3" in text
    # words, since a number may be a part of the server's port
    assert "finch" not in text
    assert "robin" not in text


RULES = [
    {"status": 404, "action": "ignore"},
    {"status": "4xx", "contains": "locked", "action": "retry"},
    {"when": "error.code == 'gone'", "action": "ignore"},
    {"when": "error", "action": "fail"},
    {"status": 418, "action": "accept"},
]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([answer(b"", status="404 Not")], []),
        ([answer(b"locked", status="423 Locked"), GOOD], [{"id": 1}]),
        ([answer({"error": {"code": "gone"}})], []),
        ([answer({"error": "quota"})], "a rule makes such responses an error"),
        ([answer([{"id": 7}], status="418 Teapot")], [{"id": 7}]),
        ([answer(b"x", status="400 Bad")], "400"),
    ],
)
def test_rules_say_what_answers_mean(source: Make, answers: list[bytes], outcome: Any) -> None:
    """By status and by content, the first rule that fits an answer decides."""
    with Scripted(lambda request, number: answers[number]) as api:
        made = source(api.url, responses=RULES)
        if isinstance(outcome, str):
            with pytest.raises(DataSourceError, match=outcome):
                read(made)
        else:
            assert read(made).rows == outcome


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"items": None}, "'items' is null"),
        (None, "not null or a missing value"),
        ("hello", "as the whole response, not text"),
        ([1, 2], "not one with a number in it"),
        ({"a": [{}], "b": []}, "several lists"),
        (b"<html>Log in</html>", "it is not valid JSON"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"a": "\xff"}]', "cannot be decoded"),
    ],
)
def test_an_answer_without_records_is_an_error_that_shows_it(source: Make, body: Any, problem: str) -> None:
    """Null in place of a list is not an empty list; the error shows the response."""
    with Scripted(lambda request, number: answer(body)) as api, pytest.raises(DataSourceError, match=problem) as caught:
        read(source(api.url, retry={"attempts": 1}))
    assert "the response begins" in str(caught.value)
    assert "GET http://127.0.0.1" in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "options", "problem"),
    [
        ([JSON, "Content-Encoding: br"], {}, "'br', which was not requested"),
        ([JSON], {"records": "length(@)"}, "does not fit the response"),
        ([JSON], {"responses": [{"when": "length(a)", "action": "fail"}]}, "does not fit the response"),
    ],
)
def test_an_error_about_a_response_names_the_request(
    source: Make, headers: list[str], options: Any, problem: str
) -> None:
    """An encoding or a path that fits no answer: which stream, which request, and what."""
    with (
        Scripted(lambda request, number: answer(b'{"a": 5}' if "responses" in options else b"5", *headers)) as api,
        pytest.raises(ConfigurationError, match=f"stream 'items': GET http://.*{problem}"),
    ):
        read(source(api.url, {"name": "items", **options}))


def test_no_content_is_no_records(source: Make) -> None:
    """204 says that there is nothing."""
    with Scripted(lambda request, number: b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n") as api:
        assert read(source(api.url)).rows == []


def test_a_redirect_that_would_drop_what_is_posted_is_an_error(source: Make) -> None:
    """301 to 303 make a GET of a POST (RFC 9110), which would ask for something else."""
    with (
        Scripted(lambda request, number: redirect(f"{api.url}/y")) as api,
        pytest.raises(ConfigurationError, match="dropped"),
    ):
        read(source(api.url, {"name": "items", "method": "POST", "body": {"a": 1}}))


@pytest.mark.parametrize("reply", [None, b"", b"* OK IMAP ready\r\n", b"\x15\x03\x01\x00\x02\x02\x46"])
def test_a_wrong_address_fails_after_some_attempts(source: Make, reply: bytes | None) -> None:
    """Nothing listens there, or what answers does not speak HTTP: the run does not multiply the attempts by its own."""
    with Scripted(lambda request, number: reply or b"") as api:
        made = source(api.url if reply is not None else "http://127.0.0.1:9")
        with pytest.raises(ConnectionFailedError, match=r"3 attempts\).*check the scheme, the host and"):
            read(made)
        with pytest.raises(ConnectionFailedError) as caught:
            read(made)
        assert len(api.requests) == (4 if reply is not None else 0)
    assert caught.value.waited


def test_a_server_that_has_answered_gets_all_attempts(source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is down for a moment; what a failed request waits for counts in the time of the run, and is bounded by it."""
    before = time.monotonic()
    with Scripted(lambda request, number: answer([{"id": 1}]) if not number else b"") as api:
        made = source(api.url)
        read(made)
        made.disconnect()
        made.context.client.sleep = lambda seconds: None
        with pytest.raises(ConnectionFailedError, match=r"5 attempts\)$") as caught:
            read(made)
        assert not caught.value.waited
        assert before <= (caught.value.failing_since or 0) <= time.monotonic()
        monkeypatch.setattr("vdk.plugin.source_rest.http.client.may_wait", lambda wait, since: False)
        with pytest.raises(ConnectionFailedError):
            read(made)
        assert len(api.requests) == 7


@pytest.mark.parametrize(
    ("status", "page", "hint"),
    [
        (
            404,
            0,
            r"\. Check base_url = \"{url}/v1\" and path = \"orders\", which make the URL {url}/v1/orders\. If this",
        ),
        (405, 0, r"\. Check method = \"GET\", base_url = .* and path = \"orders\", which make"),
        (404, 1, r"the response is empty\. If this means an empty list"),
        (400, 0, r"the response is empty\. If this means an empty list"),
    ],
)
def test_an_unknown_url_is_shown_with_the_options_that_make_it(source: Make, status: int, page: int, hint: str) -> None:
    """That of a link is the API's own. A rule comes second."""
    first = answer({"items": [{"id": 1}], "next": "/v1/more"})
    with Scripted(lambda request, number: first if number < page else answer(b"", status=f"{status} No")) as api:
        made = source(f"{api.url}/v1", {"name": "items", "path": "orders", "params": {"key": "canary"}})
        with pytest.raises(ConfigurationError, match=hint.format(url=api.url)) as caught:
            read(made)
        assert "canary" not in str(caught.value)
