"""Paths, columns and parameters that an API does not know: no page and no value is lost without a message."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support import JSON, Scripted, answer, read
from vdk.plugin.datasource_base.contract import ConfigurationError

Make = Callable[..., Any]
CURSOR = {"type": "cursor", "path": "meta.next", "param": "after"}
TEN = [{"id": number} for number in range(10)]


def pages(request: str, number: int) -> bytes:
    """25 rows in pages of 10, named in every way."""
    query = parse_qs(urlsplit(request.split()[1]).query)
    start = int(query.get("after", ["0"])[0]) or 10 * (int(query.get("page", ["1"])[0]) - 1)
    more = start + 10 < 25
    meta = {"next_token": str(start + 10) if more else None, "has_more": more, "total": 25}
    rows = [{"id": row} for row in range(start, min(start + 10, 25))]
    return answer({"items": rows, "meta": {**meta, "next": f"/items?after={start + 10}" if more else None}})


@pytest.mark.parametrize(
    ("paginator", "problem"),
    [
        ({"type": "page", "more_path": "meta.more"}, 'did you mean more_path = "meta.has_more"'),
        ({"type": "cursor", "path": "meta.nexttoken", "param": "after"}, 'did you mean path = "meta.next_token"'),
        ({"type": "next_url", "path": "meta.nxt"}, 'did you mean path = "meta.next"'),
        (
            {"type": "cursor", "path": "meta.next_token", "param": "after", "more_path": "meta.more"},
            "no field 'meta.more' exists, which paginator.more_path names; did you mean more_path = \"meta.has_more\"",
        ),
        ({"type": "cursor", "tokens": {"after": "items[-1].idd"}}, r"did you mean tokens.after = .items\[-1\].id"),
        ({"type": "cursor", "header": "X-Next", "param": "after"}, "no header 'X-Next' exists"),
        ({"type": "link_header"}, 'no header Link with rel="next" exists.*meta.next_token, meta.has_more'),
        (
            {"type": "offset", "limit": 50, "short_page_ends": True, "total_path": "meta.totl"},
            'did you mean total_path = "meta.total"',
        ),
    ],
)
def test_a_path_that_no_response_has_ends_no_reading(source: Make, paginator: Any, problem: str) -> None:
    """The error names the path, the sign of more pages and the fields that the response has."""
    with Scripted(pages) as api, pytest.raises(ConfigurationError, match=rf"GET http.*one page of several.*{problem}"):
        read(source(api.url, paginator=paginator))


@pytest.mark.parametrize(
    ("paginator", "body", "warned"),
    [
        (CURSOR, {"items": TEN}, "no field 'meta.next' exists.*set path = \"meta.next || ''\""),
        (CURSOR | {"size": 3}, {"items": TEN[:3]}, "paginator.path names"),
        (CURSOR | {"path": "m", "more_path": "more"}, {"items": TEN[:3], "m": "7"}, 'more_path = "more || `false`'),
        ({"type": "link_header"}, {"items": TEN}, "no header Link"),
        (CURSOR, {"items": TEN, "meta": {"next": None}}, None),
        (CURSOR, {"items": TEN, "meta": {"next": ""}}, None),
        (CURSOR, {"items": TEN, "meta": None}, None),
        (CURSOR | {"path": "meta.next || ''"}, {"items": TEN}, None),
        (CURSOR, {"items": TEN[:7]}, None),
        (CURSOR, {"items": [], "meta": {}}, None),
        (CURSOR | {"size": 20}, {"items": TEN}, None),
        (CURSOR, {"items": TEN, "total": 10}, None),
        (CURSOR, {"items": TEN, "has_more": False}, None),
        (CURSOR, {"items": TEN[:3], "nextSyncToken": "t1"}, None),
        (CURSOR, {"items": TEN[:3], "paging": {"cursors": {"after": "t1"}}}, None),
        (CURSOR | {"more_path": "has_more"}, {"items": TEN[:3], "has_more": False, "total": 25}, None),
        ({"type": "next_url", "path": "next"}, {"items": TEN[:3]}, None),
        ({"type": "page", "more_path": "more"}, {"items": TEN[:3]}, None),
    ],
)
def test_a_field_may_be_left_out_where_nothing_follows(
    source: Make, caplog: pytest.LogCaptureFixture, paginator: Any, body: Any, warned: str | None
) -> None:
    """One page of an API that leaves the field out is a full result; if it may be cut off, the end has a warning."""
    with Scripted(lambda request, number: answer(body)) as api:
        made = source(api.url, {"name": "items", "records": "items"}, paginator=paginator)
        assert len(read(made).rows) == len(body["items"])
        made.disconnect()
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(messages) == (warned is not None), messages
    if warned is not None:
        assert re.search(warned, messages[0])


@pytest.mark.parametrize(("total_path", "warned"), [("meta.totalpages", True), ("meta.total", False)])
def test_a_total_that_no_response_has_is_a_warning(
    source: Make, caplog: pytest.LogCaptureFixture, total_path: str, warned: bool
) -> None:
    """The reading goes on to the first empty page, so that nothing is lost."""
    with Scripted(pages) as api:
        made = source(api.url, paginator={"type": "page", "total_path": total_path})
        assert len(read(made).rows) == 25
        made.disconnect()
    assert ("no field 'meta.totalpages' exists" in caplog.text) is warned


def test_a_path_that_another_reading_had_is_correct(source: Make, caplog: pytest.LogCaptureFixture) -> None:
    """One partition has one page, and the API leaves the field out there."""
    bodies = [{"items": TEN, "next": "/items/x"}, {"items": TEN[:1]}, {"items": TEN}]
    stream = {"name": "items", "path": "{n}", "slices": [{"n": n} for n in range(2)]}
    with Scripted(lambda request, number: answer(bodies[number], JSON)) as api:
        made = source(api.url, stream, paginator={"type": "next_url", "path": "next"})
        assert len(read(made).rows) == 21
        made.disconnect()
    assert "no field" not in caplog.text


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"columns": {"pricee": "decimal(8,2)"}}, "no record has the field 'pricee'.*did you mean 'price'"),
        ({"columns": {"price": "decimal(8,2)", "note": "text"}}, "no record has the field 'note'.*'id', 'price'"),
        ({"columns": {"late": "text"}}, None),
        ({"columns": {"user__name": "text"}, "nested": "flatten"}, None),
        ({"columns": {"user.name": "text"}, "nested": "flatten"}, "did you mean 'user__name'"),
    ],
)
def test_a_declared_column_that_no_record_has_is_a_warning(
    source: Make, caplog: pytest.LogCaptureFixture, options: Any, warned: str | None
) -> None:
    """One that only a later record has is correct; an object is named as it lands."""
    rows = [{"id": 1, "price": 1, "user": {"name": "a"}}, {"id": 2, "late": "x"}]
    with Scripted(lambda request, number: answer(rows)) as api:
        made = source(api.url, {"name": "items", **options})
        read(made)
        made.disconnect()
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(messages) == (warned is not None), messages
    assert warned is None or re.search(warned, messages[0])


@pytest.mark.parametrize(
    ("days", "options", "warned"),
    [
        ([1, 2, 3, 4, 5], {}, "3 of the 5 records .* below '2026-01-04T00:00:00Z', which the parameter 'since' asked"),
        ([1, 2, 3, 4, 5], {"primary_key": "id"}, "3 of the 5 records"),
        ([4, 5], {}, None),
        ([3, 4, 5], {}, None),
        ([], {}, None),
        ([1, 2, 3, 4, 5], {"cursor": {"field": "at"}}, None),
    ],
)
def test_a_parameter_that_the_api_ignores_is_a_warning(
    source: Make, caplog: pytest.LogCaptureFixture, days: list[int], options: Any, warned: str | None
) -> None:
    """Most records are below what was asked for. Without a parameter, nothing was asked for."""
    rows = [{"id": day, "at": f"2026-01-0{day}T00:00:00Z"} for day in days]
    cursor = {"field": "at", "param": "since", "lookback": "0s"}
    first = [{"id": 4, "at": "2026-01-04T00:00:00Z"}]
    with Scripted(lambda request, number: answer(rows if number else first)) as api:
        made = source(api.url, {"name": "items", "cursor": cursor, **options})
        read(made, states=read(made).states)
    assert ("seems to ignore" in caplog.text) is (warned is not None)
    assert warned is None or re.search(warned, caplog.text)
