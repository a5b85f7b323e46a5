"""Ranges of integers: each record once, an end that is declared, and nothing behind a gap that is lost in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from support import Api, Landed, read
from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

Make = Callable[..., Any]
END: dict[str, Callable[[int, int], bool]] = {
    "shared": lambda id, end: id <= end,
    "exclusive": lambda id, end: id < end,
    "inclusive": lambda id, end: id <= end,
}


class Blocks(Api):
    """Records by ranges of their ids, and the highest id at ``last``."""

    def __init__(self, server: HTTPServer, ids: list[int], *, end: str = "inclusive", missing: int = 200) -> None:
        self.ids, self.last, self._end, self._missing = ids, str(max(ids)), END[end], missing
        super().__init__(server, self._find)

    def _find(self, asked: Request) -> Any:
        if asked.path.endswith("last"):
            return {"block": {"number": self.last}}
        begin, end = int(asked.args["from"]), int(asked.args["to"])
        found = [{"id": id} for id in self.ids if begin <= id and self._end(id, end)]
        return found if found or self._missing == 200 else Response("{}", status=self._missing)


def stream(*, step_end: str = "shared", **ranges: Any) -> dict[str, Any]:
    cursor = {"field": "id", "type": "integer", "initial": 0, "ranges": {"size": 10, **ranges}, "step_end": step_end}
    return {"name": "items", "params": {"from": "{cursor.start}", "to": "{cursor.end}"}, "cursor": cursor}


LAST = {"last_path": "last", "last": "block.number"}
IDS = [0, 5, 10, 11, 19, 20, 45]


@pytest.mark.parametrize("ranges", [LAST, {"empty": 3}])
@pytest.mark.parametrize(
    ("end", "step_end"), [("shared", "shared"), ("exclusive", "shared"), ("inclusive", "inclusive")]
)
def test_each_record_is_read_once(source: Make, httpserver: HTTPServer, ranges: Any, end: str, step_end: str) -> None:
    """However the API understands the end, also at the borders of ranges; the next run begins at the highest one."""
    api = Blocks(httpserver, list(IDS), end=end)
    made = source(api.url, stream(step_end=step_end, **ranges))
    first = read(made)
    assert [row["id"] for row in first.rows] == IDS
    assert first.states[""]["high"] == 45
    asked = [url for url in api.urls() if url != "last"]
    if "empty" in ranges:
        assert len(asked) == 8  # three without records follow
    else:
        assert asked[-1] == f"items?from=40&to={46 if step_end == 'shared' else 45}"
    api.ids += [46, 50, 71]
    api.last = "71"
    second = read(made, states=first.states)
    assert [row["id"] for row in second.rows] == [46, 50, 71]
    assert read(made, states=second.states).rows == []


def test_a_response_without_records_that_is_ignored_ends_the_ranges(source: Make, httpserver: HTTPServer) -> None:
    """Some APIs answer 404 beyond the last id: reading ends there all the same."""
    api = Blocks(httpserver, IDS, missing=404)
    rule = {"responses": [{"status": 404, "action": "ignore"}]}
    assert len(read(source(api.url, stream(empty=3) | rule)).rows) == len(IDS)


def test_a_range_of_integers_is_read_again(source: Make, httpserver: HTTPServer) -> None:
    """Its end is the range's; without one there is none."""
    api = Blocks(httpserver, IDS)
    made = source(api.url, stream(empty=1)).stream("items")
    landed = Landed()
    for partition in made.between("10", "46").partitions({}):
        landed.take_all(partition)
    assert [row["id"] for row in landed.rows] == [10, 11, 19, 20, 45]
    with pytest.raises(ConfigurationError, match="add the end, as in --until 1000"):
        made.between("10", None)


def test_a_highest_value_that_is_none_is_an_error(source: Make, httpserver: HTTPServer) -> None:
    """Without it, a run would read nothing and succeed."""
    api = Blocks(httpserver, IDS)
    api.last = "soon"
    with pytest.raises(DataSourceError, match=r"'block.number' leads to 'soon' in the response of 'last'"):
        read(source(api.url, stream(**LAST)))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ranges": {"size": 10}}, r'Set one of last_path = "items/last", .* and empty = 3'),
        ({"ranges": {"size": 10, "empty": 1, "last_path": "x"}}, "Set one of last_path"),
        ({"ranges": {"size": 10, "empty": 1}, "type": "datetime"}, 'set type = "integer"'),
        ({"ranges": {"size": 10, "empty": 1}, "initial": None}, r"cursor.ranges: windows need param, end_param and"),
        ({"ranges": {"size": 10, "last_path": "x", "last": "a["}}, r"cursor.ranges.last: 'a\[' is not a JMESPath"),
        ({"step": "1d"}, r"the type is 'integer'; integers have ranges = \{ size = 1000, empty = 3 \}"),
        ({}, r"only times end at the present.*set ranges = "),
    ],
)
def test_ranges_that_do_not_fit(source: Make, options: Any, problem: str) -> None:
    """Before any request."""
    cursor = {"field": "id", "type": "integer", "param": "from", "end_param": "to", "initial": 0, **options}
    if options.get("type") == "datetime":
        cursor["initial"] = "2026-01-01T00:00:00Z"
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", {"name": "items", "cursor": cursor})
