"""Responses are kept without secrets and read again without network; objects in records are columns if wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from support import Api, read
from vdk.plugin.datasource_base.contract import ConfigurationError

Make = Callable[..., Any]


def test_a_recorded_run_is_repeated_without_network(source: Make, httpserver: HTTPServer, tmp_path: Path) -> None:
    """All that a run needs: pages, retries, lines and children; and no secret in any file, whatever the API echoes."""
    failures = iter([503])

    def answer(asked: Request) -> Any:
        if (status := next(failures, None)) is not None:
            return Response("later", status=status)
        if asked.path.endswith("lines"):
            return Response('{"n": 1}\n{"n": 2}\n', content_type="application/x-ndjson")
        page = int(asked.args["page"])
        return [{"id": page, "echo": asked.headers["Authorization"], "ü": "ü"}] if page < 3 else []

    api = Api(httpserver, answer)
    streams = [
        {"name": "items", "paginator": {"type": "page"}},
        {"name": "lines", "path": "{id}/lines", "parent": {"stream": "items", "bind": {"id": "id"}}},
    ]
    auth = {"type": "bearer", "token": "canary-canary"}
    kept = str(tmp_path / "recorded")
    recorded = source(api.url, *streams, auth=auth, record=kept)
    items, lines = read(recorded), read(recorded, "lines")
    assert (len(items.rows), len(lines.rows)) == (2, 4)
    assert not any("canary" in file.read_text("utf-8") for file in Path(kept).iterdir())
    count = len(api.asked)
    again = source(api.url, *streams, auth={"type": "bearer", "token": "another-token"}, replay=kept)
    assert [row["id"] for row in read(again).rows] == [1, 2]
    assert read(again, "lines").rows == lines.rows
    assert len(api.asked) == count
    other = source(api.url, {"name": "items", "params": {"x": 1}}, replay=kept)
    with pytest.raises(ConfigurationError, match=r"has no response to GET .*/items with .*'x': 1.* record again"):
        read(other)


def test_record_and_replay_exclude_each_other(source: Make) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match="either kept or read; remove one of them"):
        source("http://127.0.0.1:9", {"name": "items"}, record="a", replay="b")


@pytest.mark.parametrize(
    ("options", "row"),
    [
        ({}, {"id": 1, "a": {"b": {"c": 1}, "l": [{"x": 1}]}, "n": None}),
        ({"nested": "flatten"}, {"id": 1, "a__b__c": 1, "a__l": [{"x": 1}], "n": None}),
        ({"nested": "flatten", "nested_depth": 1}, {"id": 1, "a__b": {"c": 1}, "a__l": [{"x": 1}], "n": None}),
    ],
)
def test_objects_are_columns_if_wanted(source: Make, httpserver: HTTPServer, options: Any, row: Any) -> None:
    """To a depth; lists stay. Children bind to the fields as the API has them."""
    record = {"id": 1, "a": {"b": {"c": 1}, "l": [{"x": 1}]}, "n": None}
    api = Api(httpserver, lambda asked: [record] if asked.path.endswith("items") else [{"id": asked.path[-1]}])
    child = {"name": "child", "path": "child/{c}", "parent": {"stream": "items", "bind": {"c": "a.b.c"}}}
    made = source(api.url, {"name": "items", **options}, child)
    assert read(made).rows == [row]
    assert read(made, "child").rows == [{"id": "1"}]


def test_a_flattened_name_hides_no_field(source: Make, httpserver: HTTPServer) -> None:
    """One of the two would be lost."""
    api = Api(httpserver, lambda _: [{"a": {"b": 1}, "a__b": 2}])
    with pytest.raises(ConfigurationError, match="two fields of a record are the column 'a__b'"):
        read(source(api.url, {"name": "items", "nested": "flatten"}))
    with pytest.raises(ConfigurationError, match='it is for nested = "flatten"'):
        source(api.url, {"name": "items", "nested_depth": 1})


def test_the_cursor_of_a_flattened_record_is_its_column(source: Make) -> None:
    """The state and the table speak of the same column."""
    stream = {"name": "items", "nested": "flatten", "cursor": {"field": "meta.at"}}
    schema = source("http://127.0.0.1:9", stream).stream("items").schema()
    assert schema.cursor == "meta__at"
