"""A cursor, a page and a token go wherever the request has a place for them, in the shapes that APIs have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from support import Api, read
from vdk.plugin.datasource_base.contract import ConfigurationError, StateError

Make = Callable[..., Any]
AT = "2026-01-05T10:00:00Z"
LATER = "2026-01-05T09:55:00Z"
"""What the second run asks for: five minutes before the highest value."""


@pytest.mark.parametrize(
    ("stream", "first", "second"),
    [
        pytest.param(  # GitHub's search
            {"params": {"q": "repo:x updated:>{cursor}"}, "cursor": {"field": "at", "initial": "2026-01-01T00:00:00Z"}},
            ("items?q=repo:x updated:>2026-01-01T00:00:00Z", None),
            (f"items?q=repo:x updated:>{LATER}", None),
            id="inside a text",
        ),
        pytest.param(
            {"params": {"q": "updated:>{cursor}", "n": 9}, "cursor": {"field": "at"}},
            ("items?n=9", None),
            (f"items?q=updated:>{LATER}&n=9", None),
            id="a text without a first value is left out",
        ),
        pytest.param(  # a weather service
            {"path": "obs/{cursor}", "cursor": {"field": "at", "initial": "2026-01-01", "param_format": "%Y%m%d"}},
            ("obs/20260101", None),
            ("obs/20260105", None),
            id="in the path",
        ),
        pytest.param(
            {
                "method": "POST",
                "body": {"filters": [{"gte": ["at", "{cursor}"]}], "query": "{ items { cursor } }"},
                "cursor": {"field": "at", "initial": "2026-01-01T00:00:00Z"},
            },
            ("items", {"filters": [{"gte": ["at", "2026-01-01T00:00:00Z"]}], "query": "{ items { cursor } }"}),
            ("items", {"filters": [{"gte": ["at", LATER]}], "query": "{ items { cursor } }"}),
            id="in a list of a body",
        ),
        pytest.param(  # a report with zero-padded numbers
            {
                "params": {"from": "ID-{cursor}"},
                "cursor": {"field": "n", "type": "integer", "initial": 0, "param_format": "%08d"},
            },
            ("items?from=ID-00000000", None),
            ("items?from=ID-00000007", None),
            id="an integer in a format",
        ),
        pytest.param(
            {"cursor": {"field": "ns", "type": "epoch_ns", "param": "since", "initial": 0}},
            ("items?since=0", None),
            (f"items?since={1767607200000000000 - 300 * 10**9}", None),
            id="nanoseconds",
        ),
    ],
)
def test_the_cursor_goes_anywhere(
    source: Make, httpserver: HTTPServer, stream: Any, first: tuple[str, Any], second: tuple[str, Any]
) -> None:
    """The initial value is there in the first run, and the highest one in the second."""
    api = Api(httpserver, lambda _: [{"id": 1, "at": AT, "n": 7, "ns": 1767607200000000000}])
    made = source(api.url, {"name": "items", "primary_key": "id", **stream})
    landed = read(made)
    read(made, states=landed.states)
    assert [(url, body) for _, url, body in api.asked] == [first, second]


def test_months_are_named_by_their_start(source: Make, httpserver: HTTPServer) -> None:
    """A report per month in the path, the current one too; its records need no time of their own."""
    api = Api(httpserver, lambda asked: [{"month": asked.path[-7:]}])
    today = dt.datetime.now(dt.UTC).date()
    start = (today.replace(day=1) - dt.timedelta(days=40)).replace(day=1)
    cursor = {"field": "month", "type": "date", "format": "%Y-%m", "initial": f"{start:%Y-%m}"}
    stream = {"name": "items", "path": "reports/{cursor}", "cursor": {**cursor, "step": "28d", "step_end": "none"}}
    landed = read(source(api.url, stream))
    assert len(landed.rows) == len(api.asked) == 3
    assert api.urls()[-1] == f"reports/{today:%Y-%m}"


def test_windows_of_seconds_share_none(source: Make, httpserver: HTTPServer) -> None:
    """With a granularity, the end that an API includes lies one unit before the next start."""
    api = Api(httpserver, lambda _: [])
    cursor = {"field": "at", "initial": f"{dt.datetime.now(dt.UTC) - dt.timedelta(hours=36):%Y-%m-%dT%H:00:00Z}"}
    cursor |= {"step": "1d", "step_end": "inclusive", "granularity": "1s"}
    read(source(api.url, {"name": "items", "params": {"t": "{cursor.start}..{cursor.end}"}, "cursor": cursor}))
    (first, second) = (url.removeprefix("items?t=").split("..") for url in api.urls())
    assert dt.datetime.fromisoformat(second[0]) - dt.datetime.fromisoformat(first[1]) == dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("config", "next_url"),
    [
        ({"path": "nextSyncToken", "param": "syncToken", "first_params": {"timeMin": "2026"}}, "items?syncToken=t1"),
        ({"path": '"@odata.deltaLink"'}, "items/delta?x=t1"),
        ({"path": "last_seq", "param": "since"}, "items?since=[7, 'g1']"),
    ],
)
def test_a_sync_token_is_the_state(source: Make, httpserver: HTTPServer, config: Any, next_url: str) -> None:
    """The token of the last page goes into the next run as the API wants it, whatever it is; 410 says what to do."""
    expired = False

    def answer(asked: Request) -> Any:
        if expired:
            return Response("{}", status=410, content_type="application/json")
        if "page" not in asked.args:
            return {"value": [{"id": 1}], "next": f"{asked.path}?page=2"}
        last = {"nextSyncToken": "t1", "@odata.deltaLink": "items/delta?x=t1", "last_seq": "[7, 'g1']"}
        return {"value": [{"id": 2}], **last}

    api = Api(httpserver, answer)
    made = source(api.url, {"name": "items", "primary_key": "id", "sync_token": config})
    landed = read(made)
    assert (len(landed.rows), len(landed.yielded)) == (2, 1)
    assert made.stream("items").incremental
    second = read(made, states=landed.states)
    assert api.urls()[2] == next_url
    assert second.rows
    expired = True
    with pytest.raises(StateError, match=r"410 Gone.*has expired.*state reset"):
        read(made, states=landed.states)


def test_a_last_page_without_a_sync_token_fails(source: Make, httpserver: HTTPServer) -> None:
    """Else the next run would read everything again, or nothing."""
    api = Api(httpserver, lambda _: {"value": [{"id": 1}]})
    stream = {"name": "items", "primary_key": "id", "sync_token": {"path": "token", "param": "since"}}
    with pytest.raises(ConfigurationError, match=r"no token at sync_token.path 'token'; its fields are 'value'"):
        read(source(api.url, stream))


ROWS: list[dict[str, Any]] = [{"id": n, "at": n // 2, "name": f"n{n}"} for n in range(7)]


def _after(args: Any, *, sized: int = 3) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["id"] > int(args)][:sized]


def _search_after(asked: Request) -> Any:
    after = (asked.get_json(silent=True) or {}).get("search_after", [-1])
    hits = [{"_source": row, "sort": [row["id"], row["name"]]} for row in _after(after[0])]
    return {"hits": {"hits": hits}}


def _pages_that_repeat(asked: Request) -> Any:
    page = min(int(asked.args["page"]), 3)
    return ROWS[3 * page - 3 : 3 * page]


@pytest.mark.parametrize(
    ("stream", "answer", "requests"),
    [
        pytest.param(  # Elasticsearch
            {
                "method": "POST",
                "body": {"size": 3},
                "records": "hits.hits[]._source",
                "paginator": {"type": "cursor", "param": "body.search_after", "path": "hits.hits[-1].sort"},
            },
            _search_after,
            4,
            id="a list",
        ),
        pytest.param(  # the same as a template: left out on the first page
            {
                "method": "POST",
                "body": {"size": 3, "search_after": ["{id}", "{name}"]},
                "records": "hits.hits[]._source",
                "paginator": {
                    "type": "cursor",
                    "tokens": {"id": "hits.hits[-1].sort[0]", "name": "hits.hits[-1]._source.name"},
                },
            },
            _search_after,
            4,
            id="several, in a list",
        ),
        pytest.param(  # CouchDB
            {
                "records": "rows",
                "params": {"startkey": "{key:json}"},
                "paginator": {"type": "cursor", "param": "key", "path": "rows[-1].[id, name]"},
            },
            lambda asked: {"rows": _after(asked.args.get("startkey", "[-1,").strip("[").partition(",")[0])},
            4,
            id="a list as JSON in the query",
        ),
        pytest.param(
            {
                "paginator": {
                    "type": "cursor",
                    "tokens": {"after": "[-1].id", "name": "[-1].name"},
                    "size_param": "n",
                    "size": 3,
                    "short_page_ends": True,
                }
            },
            lambda asked: _after(asked.args.get("after", -1), sized=int(asked.args["n"])),
            3,
            id="the last record's fields, ended by a short page",
        ),
        pytest.param(
            {"path": "items/page/{page}", "paginator": {"type": "page"}},
            lambda asked: ROWS[3 * int(asked.path.rpartition("/")[2]) - 3 :][:3],
            4,
            id="the number in the path",
        ),
        pytest.param(
            {"path": "items/{offset}/{limit}", "paginator": {"type": "offset", "limit": 3, "short_page_ends": True}},
            lambda asked: ROWS[int(asked.path.split("/")[-2]) :][: int(asked.path.split("/")[-1])],
            3,
            id="offset and limit in the path",
        ),
        pytest.param(
            {"path": "feed/{after}", "paginator": {"type": "cursor", "param": "after", "path": "next", "initial": -1}},
            lambda asked: {
                "items": (rows := _after(asked.path.rpartition("/")[2])),
                "next": rows[-1]["id"] if rows else None,
            },
            4,
            id="a token in the path",
        ),
        pytest.param(
            {"paginator": {"type": "page", "repeated_page_ends": True}}, _pages_that_repeat, 4, id="the last page again"
        ),
        *(
            pytest.param(  # behind a proxy, the server names itself by another host
                {"paginator": {"type": kind, "next_link": "path", **path}},
                lambda asked: {
                    "items": (rows := _after(asked.args.get("after", -1))),
                    "next": f"http://inside:80/v1/items?after={rows[-1]['id']}" if rows else None,
                },
                4,
                id=f"the path of a link: {kind}",
            )
            for kind, path in (("next_url", {"path": "next"}), ("auto", {}))
        ),
    ],
)
def test_pages_are_asked_for_as_the_api_wants_them(
    source: Make, httpserver: HTTPServer, stream: Any, answer: Callable[[Request], Any], requests: int
) -> None:
    """Every record once, and no request more than the end needs."""
    api = Api(httpserver, answer)
    landed = read(source(api.url, {"name": "items", "primary_key": "id", **stream}))
    assert [row["id"] for row in landed.rows] == list(range(7))
    assert len(api.asked) == requests


def test_a_capped_list_is_read_on(source: Make, httpserver: HTTPServer) -> None:
    """At the cap, reading begins again at the highest value; its equal records are not delivered twice."""

    def answer(asked: Request) -> Any:
        offset, since = int(asked.args["offset"]), int(asked.args.get("since", 0))
        if offset >= 6:
            return Response("too deep", status=400)
        return [row for row in ROWS if row["at"] >= since - 1][offset : offset + 2]  # some APIs are generous

    api = Api(httpserver, answer)
    cursor = {"field": "at", "type": "integer", "param": "since", "order": "ascending", "restart_at": 6}
    stream = {"name": "items", "paginator": {"type": "offset", "limit": 2}, "cursor": cursor}
    landed = read(source(api.url, stream))
    assert [row["id"] for row in landed.rows] == list(range(7))
    equal = {**stream, "cursor": {**cursor, "restart_at": 2}}
    with pytest.raises(ConfigurationError, match=r"more than cursor.restart_at = 2 records have the same value"):
        read(source(api.url, equal))


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        ({"path": "x/{cursor}"}, r"\{cursor.start\} has no value; add a cursor"),
        ({"path": "x/{cursor}", "cursor": {"field": "at"}}, r"no value for \{cursor.start\}; set cursor.initial"),
        ({"path": "x/{cursor}", "cursor": {"field": "at", "param": "since"}}, "remove param or the placeholder"),
        (
            {"path": "x/{t}", "paginator": {"type": "cursor", "param": "t", "path": "next"}},
            r"no value for \{t\}; set paginator.initial",
        ),
        ({"paginator": {"type": "cursor", "path": "next"}}, "set param and path"),
        ({"paginator": {"type": "cursor", "path": "next", "tokens": {"a": "b"}}}, "remove path and header"),
        ({"paginator": {"type": "cursor", "tokens": {"a": "b["}}}, r"paginator\.tokens\.a: 'b\[' is not a JMESPath"),
        ({"paginator": {"type": "page", "short_page_ends": True}}, "set size = 100"),
        ({"cursor": {"field": "at", "restart_at": 5}}, 'set order = "ascending" and param'),
        ({"cursor": {"field": "at", "granularity": "1s"}}, 'set step_end = "inclusive"'),
        ({"cursor": {"field": "at"}, "sync_token": {"path": "t"}}, "remove cursor"),
        ({"sync_token": {"path": "t["}}, r"sync_token\.path: 't\[' is not a JMESPath"),
    ],
)
def test_places_that_do_not_fit(source: Make, stream: Any, problem: str) -> None:
    """Before any request: the option, the value, and the line that fits."""
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", {"name": "items", **stream})
