"""Servers that never end: whatever they send is counted, reading stops, and the work grows with what was received."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import JSON, Scripted, answer, read
from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError
from vdk.plugin.source_rest.config import CsvConfig
from vdk.plugin.source_rest.responses.decoders import csv_rows, json_lines

pytestmark = pytest.mark.heavy

Make = Callable[..., Any]
LINES = "Content-Type: application/x-ndjson"
CSV = "Content-Type: text/csv"
EMPTY_MEMBER = gzip.compress(b"")
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
HANG = 120


def head(*headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Connection: close", *headers]).encode() + b"\r\n\r\n"


def zipped(content: bytes) -> bytes:
    """The beginning of a gzip file, without its end."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)


FLOODS: dict[str, tuple[bytes, bytes]] = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "100 Continue with headers": (b"", b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 1000 + b"\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"y" * 60_000 + b"\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "extensions of chunks": (head(JSON, "Transfer-Encoding: chunked"), b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
    "trailers": (head(JSON, "Transfer-Encoding: chunked") + b"2\r\n[]\r\n0\r\n", b"X: y\r\n"),
    "chunks of a byte": (head(JSON, "Transfer-Encoding: chunked"), b"1\r\n \r\n"),
    "JSON": (head(JSON), b"[[],"),
    "members of gzip": (head(JSON, "Content-Encoding: gzip"), EMPTY_MEMBER),
    "members of a gzip file": (head(JSON) + gzip.compress(b"[]"), EMPTY_MEMBER),
    "zeros after gzip": (head(JSON, "Content-Encoding: gzip") + gzip.compress(b"[]"), b"\0"),
    "blocks of gzip": (head(JSON, "Content-Encoding: gzip") + zipped(b"[]"), EMPTY_BLOCK),
    "members of gzip, of lines": (head(LINES, "Content-Encoding: gzip"), EMPTY_MEMBER),
    "blocks of gzip, of lines": (head(LINES, "Content-Encoding: gzip") + zipped(b'{"id": 1}\n'), EMPTY_BLOCK),
    "trailers, of lines": (head(LINES, "Transfer-Encoding: chunked") + b"0\r\n", b"X: y\r\n"),
    "extensions of chunks, of lines": (head(LINES, "Transfer-Encoding: chunked"), b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
    "one line": (head(LINES), b" "),
    "empty lines": (head(LINES), b"\n"),
    "one line of CSV": (head(CSV) + b"a,b\n", b"1,"),
    "one field of CSV": (head(CSV) + b'a,b\n"', b"x\n"),
    "one record of CSV": (head(CSV) + b'a,b\n"', b'","\n'),
    "empty lines of CSV": (head(CSV) + b"a,b\n", b"\n"),
    "a header of CSV": (head(CSV), b"a,"),
}


class Flood:
    """Sends something over and over until the client hangs up, and counts."""

    def __init__(self, begin: bytes, again: bytes) -> None:
        self.begin, self.block, self.sent = begin, again * max(1, 65536 // len(again)), 0
        self.over = threading.Event()

    def __call__(self, request: str, number: int) -> Iterator[bytes]:
        yield self.begin
        while not self.over.is_set():
            yield self.block
            self.sent += len(self.block)


def outcome_of(source: Any) -> BaseException | None:
    """How reading ends. A reading that does not is left alone, and is an error here."""
    caught: list[BaseException | None] = []

    def run() -> None:
        try:
            read(source)
            caught.append(None)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(HANG)
    return caught[0] if caught else AssertionError("it still reads")


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_whatever_a_server_sends_is_counted(source: Make, flood: tuple[bytes, bytes]) -> None:
    """An answer that does not end is left once more was received than is allowed, with an error that says so."""
    sending = Flood(*flood)
    with Scripted(sending) as api:
        try:
            error = outcome_of(source(api.url, max_response_bytes=1_000_000, retry={"attempts": 1}))
        finally:
            sending.over.set()
    assert isinstance(error, (ConfigurationError, ConnectionFailedError)), error
    assert "GET http://127.0.0.1" in str(error)
    assert sending.sent < 20_000_000  # what two sockets hold on their way included


@pytest.mark.parametrize(
    ("flood", "problem"),
    [("headers", "headers have more than 1048576"), ("chunks of a byte", "body has more than 1000000")],
)
def test_the_part_that_is_too_large_is_named(source: Make, flood: str, problem: str) -> None:
    """The headers or the body, and the number of bytes that it may have."""
    sending = Flood(*FLOODS[flood])
    with Scripted(sending) as api:
        try:
            error = outcome_of(source(api.url, max_response_bytes=1_000_000, retry={"attempts": 1}))
        finally:
            sending.over.set()
    assert problem in str(error)


@pytest.mark.parametrize("flood", ["100 Continue", "trailers", "members of gzip", "JSON", "chunks of a byte"])
def test_a_token_server_is_counted_too(source: Make, flood: str) -> None:
    """What asks for a token has the limits of what asks for records."""
    sending = Flood(*FLOODS[flood])
    with Scripted(sending) as tokens, Scripted(lambda request, number: answer([])) as api:
        auth = {"type": "oauth2_client_credentials", "token_url": tokens.url, "client_id": "a", "client_secret": "b"}
        try:
            error = outcome_of(source(api.url, auth=auth, retry={"attempts": 1}))
        finally:
            sending.over.set()
    assert isinstance(error, (ConfigurationError, ConnectionFailedError)), error
    assert f"token server {tokens.url}" in str(error)
    assert sending.sent < 20_000_000


def test_a_flood_ends_in_time(source: Make) -> None:
    """The total time counts while bytes come without a pause, too."""
    sending = Flood(*FLOODS["chunks of a byte"])
    with Scripted(sending) as api:
        made = source(api.url, timeout={"total": "500ms"}, retry={"attempts": 1}, max_response_bytes=2**40)
        try:
            error = outcome_of(made)
        finally:
            sending.over.set()
    assert isinstance(error, ConnectionFailedError)
    assert "in time" in str(error)


def test_lines_may_be_more_than_an_answer(source: Make) -> None:
    """The limit is one record's where records are read as they come."""
    lines = b"".join(b'{"id": %d}\n' % number for number in range(300_000))
    for more in ([], ["Content-Encoding: gzip"]):
        body = gzip.compress(lines, 0) if more else lines
        # type ignored: defaults bind the loop's values
        with Scripted(lambda request, number, body=body, more=more: answer(body, LINES, *more)) as api:  # type: ignore[misc]
            assert len(read(source(api.url, max_response_bytes=100_000)).rows) == 300_000


def test_an_answer_may_be_as_large_as_the_limit(source: Make) -> None:
    """To the byte; small chunks and headers do not count against it."""
    body = json.dumps([{"id": "x" * 100_000}]).encode()
    chunks = b"".join(b"64\r\n%s\r\n" % body[index : index + 100] for index in range(0, len(body) // 100 * 100, 100))
    rest = body[len(body) // 100 * 100 :]
    chunked = head(JSON, "Transfer-Encoding: chunked") + chunks + b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest)
    for whole in (answer(body), chunked):
        # type ignored: defaults bind the loop's values
        with Scripted(lambda request, number, whole=whole: whole) as api:  # type: ignore[misc]
            assert len(read(source(api.url, max_response_bytes=len(body))).rows) == 1
    with (
        Scripted(lambda request, number: answer(body)) as api,
        pytest.raises(ConfigurationError, match="max_response_bytes"),
    ):
        read(source(api.url, max_response_bytes=len(body) - 1))


def test_gzip_of_many_small_members_and_zeros_at_its_end_is_read(source: Make) -> None:
    """Members follow each other, and an archive may be filled up with zeros (as tapes have it)."""
    rows = [b'{"id": %d}\n' % number for number in range(3000)]
    body = b"".join(gzip.compress(row) for row in rows) + b"\0" * 1000
    with Scripted(lambda request, number: answer(body, LINES, "Content-Encoding: gzip")) as api:
        assert len(read(source(api.url)).rows) == 3000


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_a_long_line_in_small_pieces_takes_linear_work(kind: str) -> None:
    """A line of 30 MB in 300,000 pieces: what came before is not copied with each piece."""
    piece, count = b"x" * 100, 300_000
    if kind == "ndjson":
        pieces = [b'{"a": "', *[piece] * count, b'"}\n']
        [[row]] = json_lines(iter(pieces), "exact", 2**40)
    else:
        pieces = [b"a\n", *[piece] * count, b"\n"]
        [[row]] = csv_rows(iter(pieces), "", CsvConfig(), 2**40)
    assert len(row["a"]) == count * 100


def test_a_header_of_many_columns_takes_linear_work() -> None:
    """A doubled name among 200,000 is found without comparing each with each."""
    header = ",".join(map(str, range(200_000)))
    with pytest.raises(Exception, match="'7' more than once"):
        list(csv_rows([f"{header},7\n".encode()], "", CsvConfig(), 2**40))


def test_large_records_of_csv_are_handed_on_a_few_at_a_time() -> None:
    """A thousand records of a megabyte are not collected first."""
    record = b"x" * 100_000 + b"\n"
    lists = list(csv_rows([b"a\n", *[record] * 100], "", CsvConfig(), 1_000_000))
    assert sum(map(len, lists)) == 100
    assert max(map(len, lists)) <= 20


def test_a_field_of_csv_may_be_as_large_as_a_record() -> None:
    """The standard library's own limit of 128 kB is not ours."""
    [[row]] = csv_rows([b'a\n"' + b"x\n" * 100_000 + b'"\n'], "", CsvConfig(), 1_000_000)
    assert len(row["a"]) == 200_000


def test_a_link_of_a_megabyte_is_not_followed(source: Make) -> None:
    """Taking it apart would cost many seconds, and no server reads a request line as long."""
    link = "https://" + "ä." * 500_000 + "com/"
    with (
        Scripted(lambda request, number: answer({"items": [{"id": 1}], "next": link})) as api,
        pytest.raises(ConfigurationError, match="it has 1,000,012 characters"),
    ):
        read(source(api.url))


def test_a_server_cannot_fill_the_memory_with_cookies(source: Make) -> None:
    """Each page sets another one; a client keeps as many as browsers do (RFC 6265, section 6.1)."""

    def page(request: str, number: int) -> bytes:
        following = f"/p{number}" if number < 600 else None
        cookies = [f"Set-Cookie: c{number}={'x' * 50}", f"Set-Cookie: big={'x' * 5000}", f"Set-Cookie: same={number}"]
        return answer({"items": [{"id": number}], "next": following}, JSON, *cookies)

    with Scripted(page) as api:
        assert len(read(source(api.url)).rows) == 601
        sent = api.requests[-1]
    assert sent.count("=x") <= 180
    assert "big=" not in sent
    assert "same=599" in sent
