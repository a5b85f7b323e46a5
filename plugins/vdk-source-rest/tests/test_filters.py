"""Filters and pages: what a path or a subclass leaves out is counted, and does not end the reading or shift it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request as Asked
from werkzeug import Response as Reply

from support import Scripted, answer, read
from vdk.plugin.datasource_base.contract import data_source
from vdk.plugin.source_rest import RestConfig, RestSource, StreamConfig
from vdk.plugin.source_rest.responses.extract import unfiltered

Make = Callable[..., Any]
ROWS: list[dict[str, Any]] = [{"id": number, "kind": "a" if number // 10 in (0, 3) else "b"} for number in range(45)]
"""Pages 2 and 3 of ten have no record of kind a, page 5 neither."""
WANTED = [row["id"] for row in ROWS if row["kind"] == "a"]
PAGINATORS: list[dict[str, Any]] = [{"type": "page"}, {"type": "offset"}]


@pytest.fixture
def api(httpserver: HTTPServer) -> str:
    def page(asked: Asked) -> Reply:
        start = int(asked.args["offset"]) if "offset" in asked.args else (int(asked.args["page"]) - 1) * 10
        result: Any = ROWS[start : start + 10]
        if asked.args.get("shape") == "envelope":
            result = {"items": result}
        if asked.args.get("shape") == "groups":
            result = {"groups": [{"name": "g", "items": result[:4]}, {"name": "h", "items": result[4:]}]}
        return Reply(json.dumps(result), content_type="application/json")

    httpserver.expect_request("/items").respond_with_handler(page)
    return httpserver.url_for("/")


@data_source(name="picky", config=RestConfig)
class PickySource(RestSource):
    """Leaves records out."""

    def records(self, stream: StreamConfig, body: Any) -> Sequence[Any]:
        return [row for row in super().records(stream, body) if row["kind"] == "a"]


@data_source(name="own", config=RestConfig)
class OwnSource(RestSource):
    """Leaves records out, without asking where they are."""

    def records(self, stream: StreamConfig, body: Any) -> Sequence[Any]:
        return [row for row in body["items"] if row["kind"] == "a"]


@pytest.mark.parametrize("paginator", PAGINATORS)
@pytest.mark.parametrize(
    "records",
    [
        "items[?kind=='a']",
        "items[?kind=='a'].{id: id, kind: kind}",
        "items | [?kind=='a']",
        "items[] | [?kind=='a']",
        "sort_by(items[?kind=='a'], &id)",
        "items[?kind=='a'] | sort_by(@, &id)",
        "items[?id >= `0`] | [?kind=='a']",
    ],
)
def test_a_path_that_filters_does_not_end_the_pages(
    source: Make, httpserver: HTTPServer, api: str, paginator: Any, records: str
) -> None:
    """Pages are read until the server has no more records, however few of them are left by the path."""
    stream = {"name": "items", "records": records, "paginator": paginator, "params": {"shape": "envelope"}}
    landed = read(source(api, stream))
    assert [row["id"] for row in landed.rows] == WANTED
    assert landed.counts["rows_filtered"] == len(ROWS) - len(WANTED)
    assert len(httpserver.log) == 6


@pytest.mark.parametrize("paginator", PAGINATORS)
@pytest.mark.parametrize(("kind", "shape"), [(PickySource, "list"), (PickySource, "envelope"), (OwnSource, "envelope")])
@pytest.mark.parametrize("cursor", [None, {"field": "id", "type": "integer"}])
def test_a_subclass_that_filters_does_not_end_the_pages(
    source: Make, httpserver: HTTPServer, api: str, paginator: Any, kind: Any, shape: str, cursor: Any
) -> None:
    """What ``records`` leaves out was on the page all the same."""
    stream = {"name": "items", "paginator": paginator, "params": {"shape": shape}, "cursor": cursor}
    landed = read(source(api, stream, kind=kind))
    assert [row["id"] for row in landed.rows] == WANTED
    assert landed.counts["rows_filtered"] == len(ROWS) - len(WANTED)
    assert len(httpserver.log) == 6


def test_lists_of_lists_are_counted_by_their_records(source: Make, httpserver: HTTPServer, api: str) -> None:
    """A filter on the outer list does not hide the records of the inner ones from the offset."""
    records = "groups[?name=='g'].items[]"
    stream = {"name": "items", "records": records, "paginator": {"type": "offset"}, "params": {"shape": "groups"}}
    landed = read(source(api, stream))
    assert [row["id"] for row in landed.rows] == [row["id"] for row in ROWS if row["id"] % 10 < 4]
    assert landed.counts["rows_filtered"] == len(ROWS) - len(landed.rows)


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [
        ("items", {"items": [1, 2]}, 2),
        ("items[].{v: @}", {"items": [1, None]}, 2),
        ("items[1:]", {"items": [1, 2]}, 2),
        ("items[*].inner", {"items": [{"inner": {}}, {}]}, 2),
        ("rows[]", {"rows": [[1, 2], [3]]}, 3),
        ("rows[?[0] > `1`].{v: [0]}", {"rows": [[1], [2]]}, 2),
        ("[a, b][]", {"a": [1], "b": [2, 3]}, 3),
        ("[a, b][][?v]", {"a": [{"v": 1}], "b": [{}, {}]}, 3),
        ("*", {"a": {"v": 1}, "b": {"v": 2}}, 2),
        ("values(@)[?v]", {"a": {"v": 1}, "b": {}}, 2),
        ("items || @", {"items": [1]}, 1),
        ("items[?v] || @", [1, 2], 2),
        ("@", {"id": 1}, None),
        ("items[0]", {"items": [{"v": 1}]}, None),
        ("length(@)", {}, None),
    ],
)
def test_records_are_counted_before_any_filter(path: str, body: Any, count: int | None) -> None:
    """Whatever a JMESPath does with the list of an answer; None: it is about no list."""
    result = unfiltered(body, path)
    assert (None if result is None else len(result)) == count


def test_equal_rests_of_different_pages_are_no_repetition(source: Make) -> None:
    """Two pages of which the same is left are not the same page."""
    pages = [[{"v": 1}, {"v": 2}], [{"v": 1}, {"v": 3}], []]
    with Scripted(lambda request, number: answer(pages[number])) as server:
        landed = read(source(server.url, {"name": "items", "records": "[?v==`1`]", "paginator": {"type": "page"}}))
    assert landed.rows == [{"v": 1}, {"v": 1}]


def test_a_total_is_compared_with_what_came(source: Make) -> None:
    """A filter is not a sign of more pages."""
    with Scripted(lambda request, number: answer({"items": [{"v": 1}, {"v": 2}], "total": 2})) as server:
        landed = read(source(server.url, {"name": "items", "records": "items[?v==`1`]"}))
    assert landed.rows == [{"v": 1}]
    assert landed.counts["rows_filtered"] == 1


def test_lines_that_are_left_out_are_counted(source: Make) -> None:
    """Lines are filtered as they come."""
    lines = b"".join(b'{"v": %d}\n' % number for number in range(10))
    with Scripted(lambda request, number: answer(lines, "Content-Type: application/x-ndjson")) as server:
        landed = read(source(server.url, {"name": "items", "records": "[?v < `3`]"}))
    assert len(landed.rows) == 3
    assert landed.counts["rows_filtered"] == 7


@pytest.mark.parametrize("cursor", [None, {"field": "id", "type": "integer"}])
def test_answers_that_a_rule_drops_are_counted(source: Make, cursor: Any) -> None:
    """``ignore`` leaves out what was there, and the summary has it."""
    pages = [answer([{"id": 1}]), answer([{"id": 2}], status="404 Gone")]
    with Scripted(lambda request, number: pages[number]) as server:
        stream = {"name": "items", "paginator": {"type": "page"}, "cursor": cursor}
        landed = read(source(server.url, stream, responses=[{"status": 404, "action": "ignore"}]))
    assert landed.rows == [{"id": 1}]
    assert landed.counts["responses_ignored"] == 1
