"""What a server says is bounded before anything is computed with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import JSON, Scripted, answer, read, source_of
from vdk.plugin.datasource_base.contract import ConfigurationError, StateError
from vdk.plugin.source_rest.auth.oauth2 import _lifetime
from vdk.plugin.source_rest.http.rate_limit import retry_after, until_reset
from vdk.plugin.source_rest.http.urls import mask_url
from vdk.plugin.source_rest.incremental.cursors import Cursor, CursorConfig
from vdk.plugin.source_rest.incremental.progress import Watermark, decode_state, encode_state

pytestmark = pytest.mark.heavy

Make = Callable[..., Any]
TOTALS = ["1e999999999", "-1e999999999", "1e-999999999", "1e99999999999999999999", "9" * 5000, "1.5", "NaN"]
NUMBERS = [*TOTALS, "1e400"]
TOO_LARGE = ["1e999999999", "1e99999999999999999999", "9" * 5000]
HANG = """
import sys
from support import Scripted, answer, read, source_of

body = sys.argv[1].encode()
stream = {"name": "items", "records": "items", "paginator": {"type": "page", "total_path": "total"}}
with Scripted(lambda request, number: answer(body)) as api:
    try:
        print(read(source_of(api.url, stream)).rows)
    except Exception as error:
        print(type(error).__name__, str(error))
"""


def in_a_process(code: str, *arguments: str) -> str:
    """What it prints. A freeze holds the interpreter's lock, so that no limit of a test would end it here."""
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("number", TOTALS, ids=range(len(TOTALS)))
def test_a_total_that_cannot_be_is_an_error(number: str) -> None:
    """It froze the process: an integer of a billion digits."""
    printed = in_a_process(HANG, f'{{"total": {number}, "items": [{{"id": 1}}]}}')
    assert printed.startswith("ConfigurationError")
    assert "the total at 'total'" in printed
    assert "is not a whole number of at most 4,300 digits" in printed


@pytest.mark.parametrize("number", ["2", "2.0", "2e0", '"2"'])
def test_a_total_may_be_written_as_any_whole_number(number: str) -> None:
    """A number, with or without a fraction of zero, or a text."""
    body = f'{{"total": {number}, "items": [{{"id": 1}}]}}'.encode()
    stream = {"name": "items", "records": "items", "allow_repeated_pages": True}
    with Scripted(lambda request, index: answer(body)) as api:
        source = source_of(api.url, {**stream, "paginator": {"type": "page", "total_path": "total"}})
        assert read(source).rows == [{"id": 1}] * 2


@pytest.mark.parametrize("number", TOTALS, ids=range(len(TOTALS)))
def test_automatic_paging_survives_any_number(number: str) -> None:
    """A total that is too large to convert is a sign of more pages, and one that is not a number is not."""
    code = HANG.replace(', "paginator": {"type": "page", "total_path": "total"}', "")
    printed = in_a_process(code, f'{{"total": {number}, "page": {number}, "items": [{{"id": 1}}]}}')
    if number in TOO_LARGE:
        assert printed.startswith("ConfigurationError")
        assert f"looks like one page of several (total is {number[:30]}" in printed
        assert len(printed) < 1000
    else:
        assert printed == "[{'id': 1}]"


@pytest.mark.parametrize("header", ["X-Total-Count: {}", "X-Total: {}", "Content-Range: items 0-0/{}"])
def test_a_header_with_a_total_of_any_size_is_a_sign_of_more_pages(header: str, source: Make) -> None:
    """It has more digits than Python converts, and a single page must not pass as the full result."""
    with (
        Scripted(lambda request, index: answer([{"id": 1}], JSON, header.format("9" * 5000))) as api,
        pytest.raises(ConfigurationError, match="looks like one page of several") as caught,
    ):
        read(source(api.url))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", ["integer", "epoch", "epoch_ms", "datetime", "date", "string"])
@pytest.mark.parametrize("number", NUMBERS, ids=range(len(NUMBERS)))
def test_a_cursor_value_that_cannot_be_rejects_its_record_alone(kind: str, number: str, source: Make) -> None:
    """The others land, and what was read can be read on from."""
    body = f'[{{"id": 1, "at": {number}}}, {{"id": 2}}]'.encode()
    cursor = {"field": "at", "type": kind, "param": "since", "param_format": "%Y-%m-%d"}
    if kind in ("integer", "string"):
        del cursor["param_format"]
    with Scripted(lambda request, index: answer(body)) as api:
        reading = source(api.url, {"name": "items", "primary_key": "id", "cursor": cursor})
        landed = read(reading)
        assert {row["id"] for row in [*landed.rows, *(row for row, _ in landed.rejected)]} == {1, 2}
        again = read(reading, states=landed.states)
        assert {row["id"] for row in [*again.rows, *(row for row, _ in again.rejected)]} <= {1, 2}


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_first_and_the_last_time_of_the_calendar_can_be_read_on_from(value: str, zone: str, source: Make) -> None:
    """.NET writes them for "never"; less a lookback, or in another zone, they are outside the calendar."""
    cursor = {"field": "at", "param": "since", "timezone": zone, "param_format": "%Y-%m-%d"}
    with Scripted(lambda request, index: answer([{"id": 1, "at": value}])) as api:
        reading = source(api.url, {"name": "items", "primary_key": "id", "cursor": cursor})
        read(reading, states=read(reading).states)
        assert len(api.requests) == 2


def test_an_epoch_with_more_digits_than_a_double_is_kept_in_the_state() -> None:
    """As text: a state is JSON, and the number has all its digits."""
    cursor = Cursor(CursorConfig(field="at", type="epoch"))
    body = b'[{"at": 1767225600.1234567890123}]'
    with Scripted(lambda request, index: answer(body)) as api:
        landed = read(source_of(api.url, {"name": "items", "cursor": {"field": "at", "type": "epoch"}}))
    assert landed.states[""]["high"] == "1767225600.1234567890123"
    mark = decode_state(landed.states[""], cursor, "items")
    assert mark is not None
    assert cursor.parse(mark.high) == 1767225600123456


@pytest.mark.parametrize("high", [5, 1.5, None, True, [], {}, "x", "9" * 5000], ids=range(8))
@pytest.mark.parametrize("kind", ["integer", "epoch", "datetime"])
def test_a_stored_watermark_of_another_kind_is_a_damaged_state(high: Any, kind: str) -> None:
    """Or, where it can be read, a watermark; a short error in any case."""
    cursor = Cursor(CursorConfig(field="at", type=kind))  # type: ignore[arg-type]  # a text is checked by the class
    state = {**encode_state(Watermark(0), cursor), "high": high}
    good: dict[str, list[Any]] = {"integer": [5], "epoch": [5, 1.5], "datetime": []}
    if high in good[kind]:
        assert decode_state(state, cursor, "items") is not None
        return
    with pytest.raises(StateError, match="its state is damaged") as raised:
        decode_state(json.loads(json.dumps(state)), cursor, "items")
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "text", [*NUMBERS, "-5", "", "soon", "1_0", "٣", "Thu, 99 Foo 99999999999 00:00:00 GMT"], ids=range(14)
)
def test_headers_about_waiting_give_seconds_that_a_timer_can_take(text: str) -> None:
    """Or nothing."""
    waits = [
        retry_after({"retry-after": text}, 0.0),
        until_reset({"ratelimit-remaining": "0", "ratelimit-reset": text}, 0.0),
        until_reset({"ratelimit": f"limit=1, remaining=0, reset={text}"}, 0.0),
    ]
    assert all(wait is None or 0 <= wait <= 1e9 for wait in waits)


@pytest.mark.parametrize(
    "seconds", [None, "", "soon", 0, -1, 1e400, float("nan"), 10**5000, [], True, "9" * 5000], ids=range(11)
)
def test_a_token_without_a_sensible_lifetime_lasts_an_hour(seconds: Any) -> None:
    """It was an exception of Python, or a token that was renewed for every request."""
    assert _lifetime(seconds) == 3600
    assert _lifetime("60") == _lifetime(60) == 60


@pytest.mark.parametrize("unit", ["a", "a://b:", "?token=", "%", "é", "<", "/", "[", "#"])
def test_a_next_page_whose_url_no_server_takes_is_refused(unit: str) -> None:
    """Shortly, and before it is looked into: it froze the process."""
    code = HANG.replace('{"type": "page", "total_path": "total"}', '{"type": "next_url", "path": "next"}')
    printed = in_a_process(
        code.replace(
            "sys.argv[1].encode()", 'b\'{"items": [{"id": 1}], "next": "%s"}\' % (sys.argv[1].encode() * 300_000)'
        ),
        unit,
    )
    assert "its next page, which is not followed: it has " in printed
    assert "and a URL has at most 65,536" in printed
    assert len(printed) < 1000


def test_a_token_too_long_for_a_url_is_refused(source: Make) -> None:
    """The server would refuse it, after it was encoded character by character."""
    paginator = {"type": "cursor", "path": "next", "param": "after"}
    with Scripted(lambda request, number: answer({"items": [{"id": 1}], "next": "é" * 10**6})) as api:
        reading = source(api.url, {"name": "items", "records": "items", "paginator": paginator})
        with pytest.raises(ConfigurationError, match=r"the URL with its parameters has 1,000,0.. characters"):
            read(reading)


@pytest.mark.parametrize("unit", ["<", "<a>", "<a>; ", ";", '<a>; rel="', "<a>;a=", "\\"])
def test_a_link_header_of_any_characters_is_read_at_once(unit: str) -> None:
    """64 kB of them are what HTTP takes; ``<`` alone took 44 seconds."""
    code = (
        "import sys\nfrom vdk.plugin.source_rest.pagination.link_header import parse_link_header\n"
        "print(len(parse_link_header(sys.argv[1] * 64_000)))"
    )
    assert in_a_process(code, unit).isdigit()


def test_a_long_url_is_shown_in_part() -> None:
    """Its beginning, without what is secret."""
    assert len(mask_url("https://me:hunter2@host/" + "a" * 10**6 + "?b=" + "c" * 10**6)) < 2100
    assert "hunter2" not in mask_url("https://me:hunter2" + "x" * 10**6 + "@host/")
