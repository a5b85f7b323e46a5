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
from vdk.plugin.datasource_base.parts import toml_value
from vdk.plugin.source_rest import HttpRequest
from vdk.plugin.source_rest.pagination.link_header import parse_link_header
from vdk.plugin.source_rest.pagination.reader import MAX_RECENT, LoopGuard

Make = Callable[..., Any]
TOTAL = 25
IDS = list(range(TOTAL))


def rows(start: int, count: int = 10) -> list[dict[str, int]]:
    return [{"id": number} for number in IDS[start : start + count]]


def serve(server: HTTPServer, handler: Callable[[Asked], Reply | dict[str, Any] | list[Any]]) -> str:
    """Serves ``/items`` and everything below it."""

    def reply(asked: Asked) -> Reply:
        result = handler(asked)
        return result if isinstance(result, Reply) else Reply(json.dumps(result), content_type="application/json")

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
        start = number_of(asked, "from")
        more = f'<{httpserver.url_for("/items")}?from={start + 10}>; rel="next"' if start + 10 < TOTAL else ""
        header = ", ".join(filter(None, ['</items>; rel="first"; title="a, b"', more]))
        return Reply(json.dumps(rows(start)), content_type="application/json", headers={"Link": header})

    made = source(serve(httpserver, page), {"name": "items", **({"paginator": paginator} if paginator else {})})
    assert ids(read(made)) == IDS


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ('<http://x/?a=1;b=2>; rel="next"', "http://x/?a=1;b=2"),
        ('<http://x/?a=1,2>; title="a, <b>; rel=prev"; rel="prev NEXT"', "http://x/?a=1,2"),
        ("<?page=2>;rel=next", "?page=2"),
        ('<a>; rel="prev", <b> ; REL = next , <c>; rel="next"', "b"),
        ("<?page=2>; rel='next'", "?page=2"),
        ("<?page=2>; title='a, b'; rel='prev next'", "?page=2"),
        ("<?page=2&q=a,b>; rel=next, <?page=9>; rel=last", "?page=2&q=a,b"),
        ("http://x/?page=2; rel=next", "http://x/?page=2"),
        ('</first>; rel="first", http://x/?page=2; rel="next"', "http://x/?page=2"),
        ("<http://x/?page=2; rel='next'", "http://x/?page=2"),
        ("<?page=2>; rel = next", "?page=2"),
        ("<a>; rel='it", None),
        ('<a>; rel="nextish"', None),
        (";;,,;=,<", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_link_header_is_read_in_every_spelling(header: str, url: str | None) -> None:
    """As browsers and ``requests`` do: single quotes, no quotes and no brackets are read as well."""
    assert parse_link_header(header).get("next") == url


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
        start = number_of(asked, "from") or number_of(asked, "pageToken")
        named = json.dumps(value).replace("{base}", base).replace("{at}", str(start + 10))
        return {"items": rows(start), "total": TOTAL, field: json.loads(named) if start + 10 < TOTAL else None}

    base = serve(httpserver, page)
    assert ids(read(source(base))) == IDS


NESTED: dict[str, Callable[[int], dict[str, Any]]] = {
    "OData 2": lambda start: {
        "d": {"results": rows(start), "__next": f"items?from={start + 10}" if start < 15 else None}
    },
    "a wrapped URL": lambda start: {
        "result": {"items": rows(start), "next_url": f"?from={start + 10}" if start < 15 else ""}
    },
    "a wrapped token": lambda n: {"data": {"list": rows(n), "next_token": n + 10 if n < 15 else 0}},
}


@pytest.mark.parametrize("shape", NESTED.values(), ids=NESTED)
def test_the_next_page_is_found_where_the_list_is(source: Make, httpserver: HTTPServer, shape: Any) -> None:
    """One level down, beside the records."""
    base = serve(httpserver, lambda asked: shape(number_of(asked, "from") or number_of(asked, "next_token")))
    assert ids(read(source(base))) == IDS


@pytest.mark.parametrize("end", [0, "0", "false", False, None, "", "null"])
@pytest.mark.parametrize("paginator", [None, {"type": "cursor", "path": "next_cursor", "param": "cursor"}])
def test_a_numeric_cursor_ends_at_each_marker(source: Make, httpserver: HTTPServer, paginator: Any, end: Any) -> None:
    """A cursor may be a number; 0, "0" and "false" end the pages."""

    def page(asked: Asked) -> dict[str, Any]:
        start = number_of(asked, "cursor")
        return {"items": rows(start), "next_cursor": start + 10 if start < 15 else end}

    made = source(serve(httpserver, page), **({"paginator": paginator} if paginator else {}))
    assert ids(read(made)) == IDS
    assert len(httpserver.log) == 3


@pytest.mark.parametrize("no", [False, "false", "0", 0, None])
def test_more_path_says_no_in_every_spelling(source: Make, httpserver: HTTPServer, no: Any) -> None:
    """A text "false" is no. Where more_path says yes, a token of 0 is a token."""

    def page(asked: Asked) -> dict[str, Any]:
        start = 20 - number_of(asked, "before", 30)
        return {"data": [{"id": 20 - start - 10}], "more": "true" if start < 20 else no}

    paginator = {"type": "cursor", "path": "data[-1].id", "param": "before", "more_path": "more"}
    assert ids(read(source(serve(httpserver, page), paginator=paginator))) == [20, 10, 0, -10]


def test_the_last_record_may_be_number_zero(source: Make, httpserver: HTTPServer) -> None:
    """A field of a record is a token whatever its value: only an empty page has none."""

    def page(asked: Asked) -> dict[str, Any]:
        before = number_of(asked, "before", 2)
        return {"data": [{"id": before - 1}] if before > -2 else []}

    paginator = {"type": "cursor", "path": "data[-1].id", "param": "before"}
    assert ids(read(source(serve(httpserver, page), paginator=paginator))) == [1, 0, -1, -2]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("GET", ("NextToken", "NextToken")),
        ("POST", ("NextToken", "NextToken")),
        ("GET", ("NextMarker", "Marker")),
        ("POST", ("LastEvaluatedTableName", "ExclusiveStartTableName")),
        ("POST", ("LastEvaluatedKey", "ExclusiveStartKey")),
        ("GET", ("Marker", "Marker")),
    ],
)
def test_the_words_of_aws_are_known(source: Make, httpserver: HTTPServer, method: str, words: tuple[str, str]) -> None:
    """In the query of a GET and in the body of a POST; a last key is an object."""
    token_name, param = words
    as_object = token_name == "LastEvaluatedKey"

    def page(asked: Asked) -> dict[str, Any]:
        token = asked.get_json().get(param, 0) if method == "POST" else number_of(asked, param)
        start = int(token["id"]["N"]) if isinstance(token, dict) else int(token)
        following: Any = {"id": {"N": str(start + 10)}} if as_object else str(start + 10)
        return {"Items": rows(start), "IsTruncated": start < 15, **({token_name: following} if start < 15 else {})}

    stream = {"name": "items", "method": method, **({"body": {"TableName": "t"}} if method == "POST" else {})}
    assert ids(read(source(serve(httpserver, page), stream))) == IDS


def test_a_parameter_reaches_into_a_list_of_the_body(source: Make, httpserver: HTTPServer) -> None:
    """body.a.0.b is one place; the rest of the list, and what is beside it, is sent as it is written."""

    def page(asked: Asked) -> dict[str, Any]:
        first, second = asked.get_json()["queries"]
        assert second == {"kind": "other"}
        assert first["kind"] == "all"
        start = first.get("offset", 0)
        return {"items": rows(start)}

    stream = {
        "name": "items",
        "method": "POST",
        "body": {"queries": [{"kind": "all"}, {"kind": "other"}]},
        "paginator": {"type": "offset", "offset_param": "body.queries.0.offset", "limit_param": "body.queries.0.size"},
    }
    assert ids(read(source(serve(httpserver, page), stream))) == IDS


@pytest.mark.parametrize("later", [{}, {"total": None}, {"total": 0}, {"total": ""}])
@pytest.mark.parametrize("paginator", [{"type": "offset"}, {"type": "page", "size_param": "limit"}])
def test_a_total_that_only_the_first_page_has_is_kept(
    source: Make, httpserver: HTTPServer, paginator: Any, later: Any
) -> None:
    """Counting is dear, so some APIs do it once."""

    def page(asked: Asked) -> dict[str, Any]:
        start = number_of(asked, "offset") if paginator["type"] == "offset" else (number_of(asked, "page") - 1) * 10
        total = TOTAL if paginator["type"] == "offset" else 3
        return {"items": rows(start), **({"total": total} if start == 0 else later)}

    assert ids(read(source(serve(httpserver, page), paginator={**paginator, "total_path": "total"}))) == IDS
    assert len(httpserver.log) == 3


def test_an_end_before_the_total_of_the_first_page_is_an_error(source: Make) -> None:
    """Page 2 has no total and no records, and page 1 counted more: records are missing."""
    pages = [{"items": [{"id": 1}], "total": 5}, {"items": []}]
    with Scripted(lambda request, number: answer(pages[number])) as api, pytest.raises(ConfigurationError, match="5"):
        read(source(api.url, paginator={"type": "offset", "total_path": "total"}))


def test_a_token_in_the_body_goes_into_a_parameter(source: Make, httpserver: HTTPServer) -> None:
    """An empty page in the middle is not the end: the token says where that is."""

    def page(asked: Asked) -> dict[str, Any]:
        start = number_of(asked, "after")
        assert asked.args.get("limit") == "10"
        assert asked.args.get("kind") == "all"
        return {"data": rows(start) if start != 10 else [], "meta": {"next": start + 10 if start + 10 < TOTAL else ""}}

    paginator = {"type": "cursor", "path": "meta.next", "param": "after", "size_param": "limit", "size": 10}
    made = source(serve(httpserver, page), {"name": "items", "paginator": paginator, "params": {"kind": "all"}})
    assert ids(read(made)) == [*range(10), *range(20, 25)]


def test_a_token_in_a_header_goes_into_a_parameter(source: Make, httpserver: HTTPServer) -> None:
    """Headers hold tokens, too."""

    def page(asked: Asked) -> Reply:
        start = number_of(asked, "after")
        headers = {"X-Next": str(start + 10)} if start + 10 < TOTAL else {}
        return Reply(json.dumps(rows(start)), content_type="application/json", headers=headers)

    made = source(serve(httpserver, page), paginator={"type": "cursor", "header": "X-Next", "param": "after"})
    assert ids(read(made)) == IDS


def test_the_last_record_is_a_token(source: Make, httpserver: HTTPServer) -> None:
    """As Stripe has it: the id of the last record, for as long as has_more is true."""

    def page(asked: Asked) -> dict[str, Any]:
        start = number_of(asked, "starting_after", -1) + 1
        return {"data": rows(start), "has_more": start + 10 < TOTAL}

    paginator = {"type": "cursor", "path": "data[-1].id", "param": "starting_after", "more_path": "has_more"}
    assert ids(read(source(serve(httpserver, page), paginator=paginator))) == IDS


@pytest.mark.parametrize("extra", [{}, {"total_path": "pages"}, {"more_path": "more"}])
@pytest.mark.parametrize("first", [0, 1])
def test_pages_are_numbered(source: Make, httpserver: HTTPServer, extra: dict[str, str], first: int) -> None:
    """Up to the total, as long as there is more, or until a page is empty."""

    def page(asked: Asked) -> dict[str, Any]:
        start = (number_of(asked, "p", -1) - first) * 10
        assert number_of(asked, "size") == 10
        return {"items": rows(start), "pages": 3, "more": start + 10 < TOTAL}

    paginator = {"type": "page", "param": "p", "size_param": "size", "size": 10, "first": first, **extra}
    assert ids(read(source(serve(httpserver, page), paginator=paginator))) == IDS
    assert len(httpserver.log) == (3 if extra else 4)


@pytest.mark.parametrize("extra", [{}, {"total_path": "total"}])
def test_a_short_page_is_not_the_end(source: Make, httpserver: HTTPServer, extra: dict[str, str]) -> None:
    """A server may filter a page after it was cut, or give less than it is asked for."""

    def page(asked: Asked) -> dict[str, Any]:
        start = number_of(asked, "offset")
        return {"items": rows(start, 4), "total": TOTAL}  # never the 100 that were asked for

    assert ids(read(source(serve(httpserver, page), paginator={"type": "offset", **extra}))) == IDS
    assert len(httpserver.log) == (7 if extra else 8)


def test_pages_may_be_posted(source: Make, httpserver: HTTPServer) -> None:
    """A parameter that begins with body. is a place in the JSON body; the rest of the body stays."""

    def page(asked: Asked) -> dict[str, Any]:
        assert asked.method == "POST"
        variables = asked.get_json()["variables"]
        assert variables["kind"] == "all"
        start = variables.get("after") or 0
        info = {"endCursor": start + 10, "hasNextPage": start + 10 < TOTAL}
        return {"data": {"nodes": rows(start), "pageInfo": info}}

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
    {"items": [{"id": 1}], "LastEvaluatedKey": {"id": {"S": "1"}}},
    {"items": [{"id": 1}], "LastEvaluatedStreamArn": "arn:1"},
    {"items": [{"id": 1}], "Marker": "abc"},
    {"items": [{"id": 1}], "IsTruncated": "true"},
    {"customers": [{"id": 1}], "cursor": 4711},
    {"customers": [{"id": 1}], "after": "4711"},
    {"d": {"results": [{"id": 1}], "__count": "7"}},
    {"response": {"numFound": 100, "start": 0, "docs": [{"id": 1}]}},
    {"took": 3, "hits": {"total": {"value": 100, "relation": "eq"}, "hits": [{"_id": "1"}]}},
    {"kind": "Listing", "data": {"after": "t3_abc", "children": [{"kind": "t3", "data": {"id": 1}}]}},
    {"feed": {"entries": [{"id": 1}], "pages": 4}},
]
COMPLETE: list[Any] = [
    {"items": [{"id": 1}], "has_more": False, "next": None, "total": 1, "total_pages": 1},
    {"items": [{"id": 1}], "done": True, "offset": 0, "limit": 100, "next_page": {"uri": None}},
    {"items": [{"id": 1, "next": "abc", "has_more": True}], "context": {"total": 2}, "pages": "1", "after": ""},
    {"id": 1, "next_run": "2026-01-02", "count": 5},
    {"items": [{"id": 1}], "next_cursor": 0, "cursor": "0", "after": "false", "IsTruncated": False, "Marker": ""},
    {"items": [{"id": 1}], "LastEvaluatedKey": {}, "next": "null", "offset": 100},
]
PARTIAL_HEADERS = ["X-Total-Count: 9", "X-Total: 9", "X-Next-Page: 2", "Content-Range: items 0-0/9"]


@pytest.mark.parametrize("body", SUSPICIOUS)
def test_one_page_of_several_is_not_the_full_result(source: Make, body: Any) -> None:
    """If it shows that more pages exist, and not how to request them, that is an error."""
    with Scripted(lambda request, number: answer(body)) as api:
        with pytest.raises(ConfigurationError, match=r'looks like one page.*type = "none"'):
            read(source(api.url))
        assert len(read(source(api.url, paginator={"type": "none"})).rows) == 1


@pytest.mark.parametrize(
    ("body", "paginator"),
    [
        ({"total_pages": 3, "page": 1}, {"type": "page", "total_path": "total_pages"}),
        ({"meta": {"lastPage": 3, "page": 1}}, {"type": "page", "total_path": "meta.lastPage"}),
        ({"page": {"number": 0, "total-pages": 3}}, {"type": "page", "first": 0, "total_path": 'page."total-pages"'}),
        ({"page": 0, "last_page": 3}, {"type": "page", "first": 0}),  # pages 0 to 3, of which 3 is not the count
        ({"total": 9}, None),
    ],
)
def test_numbered_pages_suggest_their_paginator(
    source: Make, body: dict[str, Any], paginator: dict[str, Any] | None
) -> None:
    with (
        Scripted(lambda request, number: answer({"items": [{"id": 1}], **body})) as api,
        pytest.raises(ConfigurationError, match="looks like one page") as caught,
    ):
        read(source(api.url))
    assert caught.value.options == ({} if paginator is None else {"paginator": paginator})
    assert toml_value(paginator or {"type": "page"}) in str(caught.value)


@pytest.mark.parametrize("body", COMPLETE)
def test_a_full_result_is_read_as_one(source: Make, body: Any) -> None:
    """The fields of a record do not count as signs, nor do those that name no next page."""
    with Scripted(lambda request, number: answer(body)) as api:
        assert read(source(api.url)).rows == body.get("items", [body])


@pytest.mark.parametrize(
    ("count", "options", "header", "warned"),
    [
        (10, {}, None, True),
        (25, {}, None, True),
        (100, {}, None, True),
        (9, {}, None, False),
        (15, {}, None, False),
        (10, {"paginator": {"type": "none"}}, None, False),
        (10, {}, "X-Total-Count: 10", False),
        (10, {}, 'Link: </items>; rel="last"', False),
    ],
)
def test_a_round_number_of_records_may_be_the_first_of_many_pages(
    source: Make, caplog: pytest.LogCaptureFixture, count: int, options: Any, header: str | None, warned: bool
) -> None:
    """A bare list shows nothing of pages; the warning names the remedy, and what silences it."""
    with Scripted(lambda request, number: answer([{"id": 1}] * count, JSON, *filter(None, [header]))) as api:
        made = source(api.url, **options)
        assert len(read(made).rows) == count
        made.disconnect()
    assert ("one page of" in caplog.text) is warned
    assert ('paginator = { type = "none" }' in caplog.text) is warned


def test_of_several_readings_the_largest_must_come_twice(source: Make, caplog: pytest.LogCaptureFixture) -> None:
    """One of many parents has ten children by chance."""
    for counts, warned in (((10, 3, 7), False), ((10, 3, 10), True), ((10, 10, 11), False)):
        caplog.clear()
        with Scripted(lambda request, number: answer([{"id": 1}] * counts[number])) as api:  # noqa: B023  # it ends here
            made = source(api.url, streams=[{"name": "items", "path": "{n}", "slices": [{"n": n} for n in range(3)]}])
            read(made)
            made.disconnect()
        assert ("one page of 10 records" in caplog.text) is warned


@pytest.mark.parametrize("header", PARTIAL_HEADERS)
def test_a_header_that_shows_more_is_noticed(source: Make, header: str) -> None:
    """One that names the next page, or says how many records there are."""
    with (
        Scripted(lambda request, number: answer([{"id": 1}], JSON, header)) as api,
        pytest.raises(ConfigurationError, match=f"the header {header.partition(':')[0]} is"),
    ):
        read(source(api.url))


def test_partial_content_is_not_the_full_result(source: Make) -> None:
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
    """A token that comes again would come again and again."""
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


@pytest.mark.heavy
def test_endless_empty_pages_end(source: Make) -> None:
    """Ever new tokens without records are an error in the end."""
    with (
        Scripted(lambda request, number: answer({"data": [], "cur": number + 1})) as api,
        pytest.raises(DataSourceError, match="1000 pages in a row"),
    ):
        read(source(api.url, paginator={"type": "cursor", "path": "cur", "param": "c"}))


def test_an_offset_that_ends_before_its_total_is_an_error(source: Make) -> None:
    """No records where the server says that there are more are lost records."""

    def page(request: str, number: int) -> bytes:
        return answer({"items": [{"id": 1}] if number == 0 else [], "total": 5})

    with Scripted(page) as api, pytest.raises(ConfigurationError, match="there are 5 by 'total'"):
        read(source(api.url, paginator={"type": "offset", "total_path": "total"}))


@pytest.mark.parametrize(
    ("paginator", "body", "problem"),
    [
        ({"type": "next_url", "path": "next"}, {"items": [], "next": 5}, "not a URL"),
        ({"type": "cursor", "path": "next", "param": "p"}, {"items": [], "next": {"a": 1}}, "not a token"),
        ({"type": "page", "total_path": "n"}, {"items": [], "n": "many"}, "not a whole number"),
        ({"type": "cursor", "path": "c", "param": "p", "more_path": "m"}, {"items": [{}], "m": True}, "no token"),
    ],
)
def test_what_cannot_be_a_next_page_is_an_error(source: Make, paginator: Any, body: Any, problem: str) -> None:
    """The error about a response that does not fit its paginator names the request."""
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
    guard = LoopGuard("s", max_pages=None, allow_repeats=False)
    cycle = MAX_RECENT + 5
    requests = (HttpRequest("GET", f"http://x/{number % cycle}") for number in range(10 * cycle))
    with pytest.raises(DataSourceError, match="an earlier page"):
        any(map(guard.before_request, requests))
    assert guard.pages < 5 * cycle


def test_parameters_are_encoded(source: Make) -> None:
    """Lists are repeated, truth values are lower case, blanks and ampersands are escaped."""
    with Scripted(lambda request, number: answer([])) as api:
        read(source(api.url, {"name": "items", "params": {"tag": ["a b", "c&d"], "all": True, "n": 1.5}}))
    path = api.requests[0].split()[1]
    assert parse_qs(urlsplit(path).query) == {"tag": ["a b", "c&d"], "all": ["true"], "n": ["1.5"]}
