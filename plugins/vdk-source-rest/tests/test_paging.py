"""Pages: every way of naming the next one, the end, and servers whose pages would never end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request as Asked
from werkzeug import Response as Reply

from support import JSON, Scripted, answer, read
from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError
from vdk.plugin.source_rest._paginators import links

Make = Callable[..., Any]
TOTAL = 25
IDS = list(range(TOTAL))


def rows(start: int, count: int = 10) -> list[dict[str, int]]:
    return [{"id": number} for number in IDS[start : start + count]]


def serve(server: HTTPServer, handler: Callable[[Asked], Reply | dict[str, Any] | list[Any]]) -> str:
    """Serves ``/items`` and everything below it."""

    def reply(asked: Asked) -> Reply:
        found = handler(asked)
        return found if isinstance(found, Reply) else Reply(json.dumps(found), content_type="application/json")

    server.expect_request("/items").respond_with_handler(reply)
    return server.url_for("/").rstrip("/")


def number_of(asked: Asked, name: str, default: int = 0) -> int:
    return int(asked.args.get(name, default))


def ids(landed: Any) -> list[int]:
    return [row["id"] for row in landed.rows]


@pytest.mark.parametrize("paginator", [None, {"type": "link_header"}])
def test_link_headers_are_followed(source: Make, httpserver: HTTPServer, paginator: Any) -> None:
    """RFC 8288, as GitHub has it; found by itself, too."""

    def page(asked: Asked) -> Reply:
        at = number_of(asked, "from")
        more = f'<{httpserver.url_for("/items")}?from={at + 10}>; rel="next"' if at + 10 < TOTAL else ""
        header = ", ".join(filter(None, ['</items>; rel="first"; title="a, b"', more]))
        return Reply(json.dumps(rows(at)), content_type="application/json", headers={"Link": header})

    made = source(serve(httpserver, page), {"name": "items", **({"paginator": paginator} if paginator else {})})
    assert ids(read(made)) == IDS


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('<http://x/?a=1;b=2>; rel="next"', "http://x/?a=1;b=2"),
        ('<http://x/?a=1,2>; title="a, <b>; rel=prev"; rel="prev NEXT"', "http://x/?a=1,2"),
        ("<?page=2>;rel=next", "?page=2"),
        ('<a>; rel="prev", <b> ; REL = next , <c>; rel="next"', "b"),
        ('<a>; rel="nextish"', None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_link_header_is_read_as_rfc_8288_writes_it(header: str, found: str | None) -> None:
    """Semicolons and commas inside of URLs and of quotes part nothing; relations are a list, and in any case."""
    assert links(header).get("next") == found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("next", "{base}/items?from={at}"),
        ("next", "/items?from={at}"),
        ("next_url", "?from={at}"),
        ("links", {"next": "/items?from={at}"}),
        ("_links", {"next": {"href": "/items?from={at}"}}),
        ("@odata.nextLink", "{base}/items?from={at}"),
        ("nextPageToken", "{at}"),
    ],
)
def test_next_urls_and_known_tokens_are_found(source: Make, httpserver: HTTPServer, field: str, value: Any) -> None:
    """A URL in one of the usual fields is followed, absolute or relative, until it is null or missing."""

    def page(asked: Asked) -> dict[str, Any]:
        at = number_of(asked, "from") or number_of(asked, "pageToken")
        named = json.dumps(value).replace("{base}", base).replace("{at}", str(at + 10))
        return {"items": rows(at), "total": TOTAL, field: json.loads(named) if at + 10 < TOTAL else None}

    base = serve(httpserver, page)
    assert ids(read(source(base))) == IDS


def test_a_token_in_the_body_goes_into_a_parameter(source: Make, httpserver: HTTPServer) -> None:
    """An empty page in the middle is not the end: the token says where that is."""

    def page(asked: Asked) -> dict[str, Any]:
        at = number_of(asked, "after")
        assert asked.args.get("limit") == "10"
        assert asked.args.get("kind") == "all"
        return {"data": rows(at) if at != 10 else [], "meta": {"next": at + 10 if at + 10 < TOTAL else ""}}

    paginator = {"type": "cursor", "path": "meta.next", "param": "after", "size_param": "limit", "size": 10}
    made = source(serve(httpserver, page), {"name": "items", "paginator": paginator, "params": {"kind": "all"}})
    assert ids(read(made)) == [*range(10), *range(20, 25)]


def test_a_token_in_a_header_goes_into_a_parameter(source: Make, httpserver: HTTPServer) -> None:
    """Headers hold tokens, too."""

    def page(asked: Asked) -> Reply:
        at = number_of(asked, "after")
        headers = {"X-Next": str(at + 10)} if at + 10 < TOTAL else {}
        return Reply(json.dumps(rows(at)), content_type="application/json", headers=headers)

    made = source(serve(httpserver, page), paginator={"type": "cursor", "header": "X-Next", "param": "after"})
    assert ids(read(made)) == IDS


def test_the_last_record_is_a_token(source: Make, httpserver: HTTPServer) -> None:
    """As Stripe has it: the id of the last record, for as long as has_more is true."""

    def page(asked: Asked) -> dict[str, Any]:
        at = number_of(asked, "starting_after", -1) + 1
        return {"data": rows(at), "has_more": at + 10 < TOTAL}

    paginator = {"type": "cursor", "path": "data[-1].id", "param": "starting_after", "more_path": "has_more"}
    assert ids(read(source(serve(httpserver, page), paginator=paginator))) == IDS


@pytest.mark.parametrize("extra", [{}, {"total_path": "pages"}, {"more_path": "more"}])
@pytest.mark.parametrize("first", [0, 1])
def test_pages_are_numbered(source: Make, httpserver: HTTPServer, extra: dict[str, str], first: int) -> None:
    """Up to the total, as long as there is more, or until a page is empty."""

    def page(asked: Asked) -> dict[str, Any]:
        at = (number_of(asked, "p", -1) - first) * 10
        assert number_of(asked, "size") == 10
        return {"items": rows(at), "pages": 3, "more": at + 10 < TOTAL}

    paginator = {"type": "page", "param": "p", "size_param": "size", "size": 10, "first": first, **extra}
    assert ids(read(source(serve(httpserver, page), paginator=paginator))) == IDS
    assert len(httpserver.log) == (3 if extra else 4)


@pytest.mark.parametrize("extra", [{}, {"total_path": "total"}])
def test_a_short_page_is_not_the_end(source: Make, httpserver: HTTPServer, extra: dict[str, str]) -> None:
    """A server may filter a page after it was cut, or give less than it is asked for."""

    def page(asked: Asked) -> dict[str, Any]:
        at = number_of(asked, "offset")
        return {"items": rows(at, 4), "total": TOTAL}  # never the 100 that were asked for

    assert ids(read(source(serve(httpserver, page), paginator={"type": "offset", **extra}))) == IDS
    assert len(httpserver.log) == (7 if extra else 8)


def test_pages_may_be_posted(source: Make, httpserver: HTTPServer) -> None:
    """A parameter that begins with body. is a place in the JSON body; the rest of the body stays."""

    def page(asked: Asked) -> dict[str, Any]:
        assert asked.method == "POST"
        variables = asked.get_json()["variables"]
        assert variables["kind"] == "all"
        at = variables.get("after") or 0
        info = {"endCursor": at + 10, "hasNextPage": at + 10 < TOTAL}
        return {"data": {"nodes": rows(at), "pageInfo": info}}

    stream = {
        "name": "items",
        "method": "POST",
        "body": {"query": "query { nodes { id } }", "variables": {"kind": "all"}},
        "records": "data.nodes",
        "paginator": {
            "type": "cursor",
            "path": "data.pageInfo.endCursor",
            "more_path": "data.pageInfo.hasNextPage",
            "param": "body.variables.after",
        },
    }
    assert ids(read(source(serve(httpserver, page), stream))) == IDS


SUSPICIOUS: list[Any] = [
    {"items": [{"id": 1}], "has_more": True},
    {"items": [{"id": 1}], "total": 2},
    {"items": [{"id": 1}], "total_pages": 3},
    {"items": [{"id": 1}], "next": 2},
    {"items": [{"id": 1}], "next": "abc"},
    {"items": [{"id": 1}], "total": "2"},
    {"records": [{"id": 1}], "done": False, "nextRecordsUrl": "/query/01g-2000"},
    {"records": [{"id": 1}], "offset": "itr1/rec1"},
    {"data": [{"id": 1}], "next_page": {"offset": "abc", "uri": "https://api.example/tasks?offset=abc"}},
    {"data": [{"id": 1}], "additional_data": {"pagination": {"more_items_in_collection": True, "next_start": 100}}},
    {"data": [{"id": 1}], "meta": {"next_token": "abc"}},
    {"content": [{"id": 1}], "last": False, "totalPages": 3},
    {"list": [{"id": 1}], "next_offset": "abc"},
    {"customers": [{"id": 1}], "cursor": "abc"},
    {"Contents": [{"id": 1}], "IsTruncated": True},
    {"ids": ["a", "b"], "has_more": True},
]
COMPLETE: list[Any] = [
    {"items": [{"id": 1}], "has_more": False, "next": None, "total": 1, "total_pages": 1},
    {"items": [{"id": 1}], "done": True, "offset": 0, "limit": 100, "next_page": {"uri": None}},
    {"items": [{"id": 1, "next": "abc", "has_more": True}], "context": {"total": 2}, "pages": "1", "after": ""},
    {"id": 1, "next_run": "2026-01-02", "count": 5},
]
PARTIAL_HEADERS = ["X-Total-Count: 9", "X-Total: 9", "X-Next-Page: 2", "Content-Range: items 0-0/9"]


@pytest.mark.parametrize("body", SUSPICIOUS)
def test_one_page_of_several_is_not_taken_for_all(source: Make, body: Any) -> None:
    """Where it shows that there is more, and not how to get it, that is an error, and no silence."""
    with Scripted(lambda request, number: answer(body)) as api:
        with pytest.raises(ConfigurationError, match=r'looks like one page.*type = "none"'):
            read(source(api.url))
        assert len(read(source(api.url, paginator={"type": "none"})).rows) == 1


@pytest.mark.parametrize("body", COMPLETE)
def test_what_says_that_it_is_all_is_taken_for_all(source: Make, body: Any) -> None:
    """A record's fields are no signs, nor are those that name no next page."""
    with Scripted(lambda request, number: answer(body)) as api:
        assert read(source(api.url)).rows == body.get("items", [body])


@pytest.mark.parametrize("header", PARTIAL_HEADERS)
def test_a_header_that_tells_of_more_is_noticed(source: Make, header: str) -> None:
    """One that names the next page, or says how many records there are."""
    with (
        Scripted(lambda request, number: answer([{"id": 1}], JSON, header)) as api,
        pytest.raises(ConfigurationError, match=f"the header {header.partition(':')[0]} is"),
    ):
        read(source(api.url))


def test_partial_content_is_not_taken_for_all(source: Make) -> None:
    """PostgREST answers 206 to those who ask for a count and get a part."""
    with (
        Scripted(lambda request, number: answer([{"id": 1}], status="206 Partial Content")) as api,
        pytest.raises(ConfigurationError, match="206 Partial Content"),
    ):
        read(source(api.url))


@pytest.mark.parametrize("cycle", [1, 2, 3])
def test_pages_in_a_circle_are_an_error(source: Make, cycle: int) -> None:
    """A to B to A: the server names a page again that was read; a fragment makes it no other page."""

    def page(request: str, number: int) -> bytes:
        return answer({"items": [{"id": number}], "next": f"/items?p={number % cycle}#{number}"})

    with Scripted(page) as api:
        with pytest.raises(DataSourceError, match="never end"):
            read(source(api.url))
        assert len(api.requests) == cycle + 1


def test_a_repeated_token_is_an_error(source: Make) -> None:
    """A token that comes again would come for ever."""
    with Scripted(lambda request, number: answer({"data": [{"id": number}], "cur": "same"})) as api:
        with pytest.raises(DataSourceError, match="never end"):
            read(source(api.url, paginator={"type": "cursor", "path": "cur", "param": "c"}))
        assert len(api.requests) == 2


def test_a_server_that_does_not_know_the_parameter_is_noticed(source: Make) -> None:
    """Page 2 that is page 1 means that the parameter is ignored."""
    with Scripted(lambda request, number: answer([{"id": 1}])) as api:
        with pytest.raises(DataSourceError, match="very records of the page before"):
            read(source(api.url, paginator={"type": "page"}))
        many = source(api.url, paginator={"type": "page"}, allow_repeated_pages=True, max_pages=5)
        with pytest.raises(DataSourceError, match="max_pages = 5"):
            read(many)


def test_endless_empty_pages_end(source: Make) -> None:
    """New tokens and no records, for ever, are an error in the end."""
    with (
        Scripted(lambda request, number: answer({"data": [], "cur": number})) as api,
        pytest.raises(DataSourceError, match="1000 pages in a row"),
    ):
        read(source(api.url, paginator={"type": "cursor", "path": "cur", "param": "c"}))


def test_an_offset_that_ends_before_its_total_is_an_error(source: Make) -> None:
    """No records where the server says that there are more are lost records."""

    def page(request: str, number: int) -> bytes:
        return answer({"items": [{"id": 1}] if number == 0 else [], "total": 5})

    with Scripted(page) as api, pytest.raises(ConfigurationError, match="that there are 5"):
        read(source(api.url, paginator={"type": "offset", "total_path": "total"}))


@pytest.mark.parametrize(
    ("paginator", "body", "problem"),
    [
        ({"type": "next_url", "path": "next"}, {"items": [], "next": 5}, "no URL"),
        ({"type": "cursor", "path": "next", "param": "p"}, {"items": [], "next": {"a": 1}}, "no token"),
        ({"type": "page", "total_path": "n"}, {"items": [], "n": "many"}, "not a whole number"),
        ({"type": "cursor", "path": "c", "param": "p", "more_path": "m"}, {"items": [{}], "m": True}, "no token"),
    ],
)
def test_what_cannot_be_a_next_page_is_an_error(source: Make, paginator: Any, body: Any, problem: str) -> None:
    """An answer that does not fit its paginator is told with the request."""
    with (
        Scripted(lambda request, number: answer(body)) as api,
        pytest.raises(ConfigurationError, match=f"GET http://127.*{problem}"),
    ):
        read(source(api.url, {"name": "items", "records": "items"}, paginator=paginator))


def test_a_later_page_without_the_list_is_an_error(source: Make) -> None:
    """An error in page 2, with status 200, does not become a record."""

    def page(request: str, number: int) -> bytes:
        return answer({"items": [{"id": 1}], "next": "/x"} if number == 0 else {"message": "sorry"})

    with Scripted(page) as api, pytest.raises(DataSourceError, match="sorry"):
        read(source(api.url))


def test_a_thousand_and_one_pages_cost_the_same_memory(source: Make) -> None:
    """A cycle that is longer than what is remembered is noticed all the same (Brent)."""
    from vdk.plugin.source_rest import _guards
    from vdk.plugin.source_rest._messages import Request

    guard = _guards.Guard("s", max_pages=None, repeats=False)
    cycle = _guards.RECENT + 5
    requests = (Request("GET", f"http://x/{number % cycle}") for number in range(10 * cycle))
    with pytest.raises(DataSourceError, match="an earlier page"):
        any(map(guard.asking, requests))
    assert guard.pages < 5 * cycle


def test_parameters_are_encoded(source: Make) -> None:
    """Lists are repeated, truth values are lower case, blanks and ampersands are escaped."""
    with Scripted(lambda request, number: answer([])) as api:
        read(source(api.url, {"name": "items", "params": {"tag": ["a b", "c&d"], "all": True, "n": 1.5}}))
    path = api.requests[0].split()[1]
    assert parse_qs(urlsplit(path).query) == {"tag": ["a b", "c&d"], "all": ["true"], "n": ["1.5"]}
