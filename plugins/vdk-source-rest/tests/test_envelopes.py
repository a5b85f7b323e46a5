"""Where records are when nobody says: found where that is certain, else refused with the line to paste."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from support import Scripted, answer, read
from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError
from vdk.plugin.source_rest.responses.envelopes import error_in, locate_records

Make = Callable[..., Any]
ROW = {"id": 1, "v": "x"}

ERRORS: dict[str, Any] = {
    "ok is false": {"ok": False, "error": "invalid_auth"},
    "success is false": {"success": False},
    "an error": {"error": {"type": "quota", "info": "monthly limit"}},
    "a text": {"error": "no such table", "status": 500},
    "errors": {"errors": [{"title": "Forbidden"}]},
    "errors without data": {"data": None, "errors": [{"message": "Cannot query field"}]},
    "message and code": {"message": "The token has expired", "code": 4010},
    "message and code in capitals": {"Message": "The table does not exist", "Code": "ResourceNotFoundException"},
    "status in capitals": {"Status": "Error", "Detail": "down for maintenance"},
    "status and message": {"status": "error", "message": "down for maintenance"},
    "an error beside an empty list": {"items": [], "error": "timeout"},
    "an error beside records": {"items": [ROW], "errors": ["shard 3 failed"]},
    "a code beside an empty list": {"code": 500, "message": "oops", "data": []},
    "an envelope with a record": {"code": 0, "message": "ok", "data": ROW, "ok": False},
}


@pytest.mark.parametrize("key", [None, "id"])
@pytest.mark.parametrize("body", ERRORS.values(), ids=ERRORS)
def test_an_error_with_status_200_is_not_a_record(source: Make, body: Any, key: str | None) -> None:
    """It would replace a good table by one row of an error message, or by none."""
    with Scripted(lambda request, number: answer(body)) as api:
        with pytest.raises(DataSourceError, match="the response begins") as caught:
            read(source(api.url, {"name": "items", "primary_key": key}))
        assert len(api.requests) == 1
    assert "looks like an error" in str(caught.value)
    assert 'action = "accept"' in str(caught.value)


@pytest.mark.parametrize("body", [{"items": [], "error": "timeout"}, {"items": None, "ok": False}, {"ok": False}])
def test_an_error_is_no_empty_list_where_a_path_is_configured_either(source: Make, body: Any) -> None:
    """The list at the configured place is empty because there was an error."""
    with Scripted(lambda request, number: answer(body)) as api, pytest.raises(DataSourceError):
        read(source(api.url, {"name": "items", "records": "items"}))


def test_the_line_of_the_message_accepts_such_answers(source: Make) -> None:
    """What the message says to add makes the answer a good one."""
    body = {"ok": False, "items": [ROW]}
    with Scripted(lambda request, number: answer(body)) as api:
        with pytest.raises(DataSourceError) as caught:
            read(source(api.url))
        line = str(caught.value).partition("add ")[2].partition("; ")[0]
        landed = read(source(api.url, **tomllib.loads(line)))
    assert landed.rows == [ROW]


def test_a_record_may_have_a_field_called_error(source: Make) -> None:
    """With the primary key it is a record, and so it is where a rule accepts it."""
    job = {"id": 7, "error": "out of memory", "message": "stopped", "code": 9}
    with Scripted(lambda request, number: answer(job)) as api:
        assert read(source(api.url, primary_key="id")).rows == [job]
        accepting = [{"when": "error", "action": "accept"}]
        assert read(source(api.url, responses=accepting)).rows == [job]
        assert read(source(api.url, {"name": "items", "records": "@"})).rows == [job]


SHAPES: dict[str, tuple[Any, str]] = {
    "OData 2": ({"d": {"results": [ROW], "__count": "1"}}, "d.results"),
    "OData 2 without paging": ({"d": [ROW]}, "d"),
    "Solr": ({"responseHeader": {"status": 0}, "response": {"numFound": 1, "docs": [ROW]}}, "response.docs"),
    "Solr with facets": (
        {"response": {"docs": [ROW]}, "facet_counts": {"facet_fields": {"kind": ["a", 1], "size": []}}},
        "response.docs",
    ),
    "Elasticsearch": ({"took": 1, "hits": {"total": {"value": 1}, "hits": [ROW]}}, "hits.hits"),
    "Elasticsearch with aggregations": (
        {"hits": {"hits": [ROW]}, "aggregations": {"kinds": {"buckets": [{"key": "a"}]}}},
        "hits.hits",
    ),
    "Reddit": ({"kind": "Listing", "data": {"after": None, "children": [ROW]}}, "data.children"),
    "HAL": (
        {"_embedded": {"orders": [ROW]}, "_links": {"self": {"href": "/"}}, "page": {"size": 20}},
        "_embedded.orders",
    ),
    "a code of success": ({"code": 0, "message": "ok", "data": {"list": [ROW], "total": 1}}, "data.list"),
    "empty": ({"data": {"items": []}}, "data.items"),
    "empty, with warnings": ({"items": [], "warnings": [{"message": "slow"}]}, "items"),
    "no errors": ({"items": [ROW], "errors": []}, "items"),
    "facets deeper": ({"items": [ROW], "meta": {"filters": [{"name": "f"}]}}, "items"),
    "links of the page": ({"content": [ROW], "links": [{"rel": "self", "href": "/x"}]}, "content"),
    "links as records": ({"links": [{"id": 1, "link": "x"}]}, "links"),
    "the stream's name, empty": ({"things": [], "name": "a list of things"}, "things"),
    "any name, empty": ({"widgets": [], "total": 0, "request_id": "r"}, "widgets"),
    "odd names": ({"odd-name": [ROW]}, '"odd-name"'),
}


@pytest.mark.parametrize(("body", "place"), SHAPES.values(), ids=SHAPES)
def test_lists_are_found_at_the_top_and_below(source: Make, body: Any, place: str) -> None:
    """The shapes of well-known APIs, up to two levels down."""
    assert locate_records(body, (), ["things"]) == place
    with Scripted(lambda request, number: answer(body)) as api:
        rows = read(source(api.url, {"name": "things"}), "things").rows
        assert rows == read(source(api.url, {"name": "things", "records": place}), "things").rows


def test_the_list_with_the_primary_key_is_found_among_several(source: Make) -> None:
    """A declared key tells which list it is about."""
    body = {"included": [{"ref": 1}], "people": [{"id": 1}], "tags": []}
    with Scripted(lambda request, number: answer(body)) as api:
        assert read(source(api.url, primary_key="id")).rows == [{"id": 1}]


UNCERTAIN: dict[str, tuple[Any, list[str]]] = {
    "two lists": ({"data": [ROW], "included": [ROW]}, ["data", "included"]),
    "two lists of which the usual one is empty": ({"items": [], "extra": [ROW]}, ["items", "extra"]),
    "a record with a list": ({"name": "Ann", "address": {"phones": [{"n": 1}]}}, ["address.phones", "@"]),
    "a record with an empty list": ({"name": "Ann", "tags": []}, ["tags", "@"]),
    "a record with two empty lists": ({"name": "Ann", "tags": [], "phones": []}, ["tags", "phones", "@"]),
    "GraphQL": (
        {"data": {"repository": {"issues": {"nodes": [ROW]}}}},
        ["data.repository.issues.nodes", "@"],
    ),
    "odd names": ({"data": {"a b": {"c.d": {"e": [ROW]}}}}, ['data."a b"."c.d".e', "@"]),
}


@pytest.mark.parametrize(("body", "places"), UNCERTAIN.values(), ids=UNCERTAIN)
def test_what_is_not_certain_is_refused_with_the_lines_to_paste(source: Make, body: Any, places: list[str]) -> None:
    """A wrong guess lands wrong rows; each line of the message is TOML and works."""
    with Scripted(lambda request, number: answer(body)) as api:
        with pytest.raises(DataSourceError, match="records = ") as caught:
            read(source(api.url))
        lines = re.findall(r"""records = (?:"[^"]*"|'[^']*')""", str(caught.value))
        assert [tomllib.loads(line)["records"] for line in lines] == places
        for line in lines:
            read(source(api.url, {"name": "items", **tomllib.loads(line)}))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"data": {"id": 1}}, 'records = "data"'),
        ({"jsonrpc": "2.0", "id": 7, "result": [{"id": 1}]}, 'records = "result" or records = "@"'),
        ({"name": "x"}, "without the primary key 'id'"),
        ([{"ID": 1}, {"ID": 2}], "no record has the field 'id' of its primary_key; the fields are 'ID'"),
        ({"items": [{"ID": 1}]}, "no record has the field 'id' of its primary_key"),
    ],
)
def test_a_declared_key_that_no_record_has_is_an_error(source: Make, body: Any, problem: str) -> None:
    """The key is misspelt, or the records are elsewhere."""
    with Scripted(lambda request, number: answer(body)) as api, pytest.raises(DataSourceError) as caught:
        read(source(api.url, primary_key="id"))
    assert problem in str(caught.value)


def test_the_key_is_looked_for_on_the_first_page_with_records(source: Make) -> None:
    """An empty page has no key, and says nothing about where the records are."""
    pages = [{"people": [], "tags": [], "total": 0, "next": "/2"}, {"people": [{"ID": 1}], "next": None}]
    with Scripted(lambda request, number: answer(pages[number])) as api:
        with pytest.raises(ConfigurationError, match="'id'"):
            read(source(api.url, primary_key="id"))
        assert len(api.requests) == 2


def test_a_key_of_the_parent_is_not_looked_for_in_the_record(source: Make) -> None:
    """A child's record gets it from its parent."""
    bodies = {"/repos": [{"id": 5}], "/repos/5/stats": {"stars": 3}}
    child = {
        "name": "stats",
        "path": "repos/{repo}/stats",
        "primary_key": ["repos_id"],
        "parent": {"stream": "repos", "bind": {"repo": "id"}, "include": ["id"]},
    }
    with Scripted(lambda request, number: answer(bodies[request.split()[1]])) as api:
        assert read(source(api.url, {"name": "repos"}, child), "stats").rows == [{"stars": 3, "repos_id": 5}]


@pytest.mark.parametrize("first", [[ROW], {"items": [ROW]}, {"d": {"results": [ROW]}}])
@pytest.mark.parametrize("second", [{"message": "sorry"}, {"items": ROW}, {"d": {"results": None}}])
def test_a_later_page_without_the_list_is_an_error(source: Make, first: Any, second: Any) -> None:
    """The list stays where the first page has it."""
    pages = [first, second]
    with Scripted(lambda request, number: answer(pages[number])) as api, pytest.raises(DataSourceError, match="list"):
        read(source(api.url, paginator={"type": "page"}))


@pytest.mark.parametrize("body", [{}, {"data": {"items": None}}, {"d": {"results": None}}])
def test_nothing_is_not_a_record(source: Make, body: Any) -> None:
    """An object without fields, and null where a list was expected, are errors."""
    with Scripted(lambda request, number: answer(body)) as api, pytest.raises(DataSourceError, match="expected"):
        read(source(api.url))


@pytest.mark.parametrize(
    "body",
    [
        {"error": None, "errors": [], "ok": True, "success": True},
        {"message": "fine", "code": 0},
        {"message": "OK", "code": "200", "status": "ok"},
        {"error": "", "status": "success"},
        [{"error": "x"}],
    ],
)
def test_what_says_that_all_is_well_is_no_error(body: Any) -> None:
    """Fields for errors that have none in them."""
    assert error_in(body, empty=True) is None


def test_one_line_that_is_an_error_is_not_a_record(source: Make) -> None:
    """Formats of lines have errors with status 200, too."""
    line, headers = b'{"error": "warehouse is asleep", "id": 1}\n', "Content-Type: application/x-ndjson"
    with Scripted(lambda request, number: answer(line, headers)) as api:
        with pytest.raises(DataSourceError, match="only line") as caught:
            read(source(api.url))
        rule = str(caught.value).partition("add ")[2].partition("; ")[0]
        assert len(read(source(api.url, **tomllib.loads(rule))).rows) == 1
        assert len(read(source(api.url, primary_key="id")).rows) == 1
    with Scripted(lambda request, number: answer(line * 2, headers)) as api:
        assert len(read(source(api.url)).rows) == 2
