"""A range of a stream: asked for by the cursor's parameters, exact here, without a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support import Landed, Scripted, answer
from vdk.plugin.datasource_base.contract import ConfigurationError, StateError

Make = Callable[..., Any]
DAYS = [{"id": day, "at": f"2026-01-{day:02d}T12:00:00Z"} for day in range(1, 10)]


def stream(**cursor: Any) -> dict[str, Any]:
    return {"name": "items", "cursor": {"field": "at", "lookback": "0s", "param": "since", **cursor}}


def between(source: Any, begin: str | None, end: str | None) -> Landed:
    landed = Landed()
    for partition in source.stream("items").between(begin, end).partitions({}):
        landed.take_all(partition)
    return landed


NOON = "2026-01-03T12:00:00Z", "2026-01-06T12:00:00Z"


@pytest.mark.parametrize(
    ("cursor", "bounds", "ids", "asked"),
    [
        ({}, NOON, [3, 4, 5], [("2026-01-03T12:00:00Z", None)]),
        ({}, ("2026-01-04", None), [4, 5, 6, 7, 8, 9], [("2026-01-04T00:00:00Z", None)]),
        ({"end_param": "until"}, NOON, [3, 4, 5], [("2026-01-03T12:00:00Z", "2026-01-06T12:00:00Z")]),
        # a day as a parameter leaves out the hours, before and after
        ({"end_param": "until", "param_format": "date"}, NOON, [3, 4, 5], [("2026-01-03", "2026-01-07")]),
        ({"lookback": "1d"}, NOON, [3, 4, 5], [("2026-01-02T12:00:00Z", None)]),
        ({"order": "descending"}, NOON, [5, 4, 3], [("2026-01-03T12:00:00Z", None)]),
        (
            {"end_param": "until", "step": "2d", "initial": "2025-01-01T00:00:00Z"},
            NOON,
            [3, 4, 5],
            [("2026-01-03T12:00:00Z", "2026-01-05T12:00:00Z"), ("2026-01-05T12:00:00Z", "2026-01-06T12:00:00Z")],
        ),
    ],
)
def test_exactly_the_range_is_read(
    source: Make, cursor: dict[str, Any], bounds: tuple[str, str | None], ids: list[int], asked: list[Any]
) -> None:
    """Half-open, each record once, also one at the boundary of two windows; those without a value are in no range."""
    queries: list[tuple[str, str | None]] = []

    def page(request: str, number: int) -> bytes:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.split()[1]).query).items()}
        queries.append((query["since"], query.get("until")))
        rows = [row for row in DAYS if query["since"] <= str(row["at"]) <= query.get("until", "9")]
        return answer([*(reversed(rows) if cursor.get("order") else rows), {"id": 0, "at": None}])

    with Scripted(page) as api:
        landed = between(source(api.url, stream(**cursor)), *bounds)
    assert ([row["id"] for row in landed.rows], landed.states) == (ids, {})
    assert queries == asked


@pytest.mark.parametrize(
    ("stream", "begin", "end", "problem"),
    [
        (stream(), "soon", None, r"--since: 'soon' is not a value of type datetime.*--since 2026-01-01T00:00:00Z"),
        (stream(), "2026-01-02", "2026-01-01", "the range is empty"),
        (stream(type="integer", lookback=None), None, "x", "--until: 'x' is not a value of type integer.*--until 1000"),
        (stream(param=None), "2026-01-01", None, 'param = "since" of streams.items.cursor'),
        ({"name": "items"}, "2026-01-01", None, "has no cursor"),
    ],
)
def test_what_cannot_be_read_is_refused(
    source: Make, stream: dict[str, Any], begin: str | None, end: str | None, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", stream).stream("items").between(begin, end)


def test_a_state_is_checked(source: Make) -> None:
    """``state set`` and ``import`` refuse what a run would refuse."""
    made = source("http://127.0.0.1:9", stream()).stream("items")
    made.check_state("", {"v": 1, "cursor": "at", "type": "datetime", "high": "2026-01-01T00:00:00Z"})
    with pytest.raises(StateError, match="damaged"):
        made.check_state("", {"v": 1, "cursor": "at", "type": "datetime", "high": "soon"})
