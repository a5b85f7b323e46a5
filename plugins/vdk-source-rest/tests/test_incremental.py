"""Reading only what is new: by a parameter or by filtering here, compared by type, with nothing lost at boundaries."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support import Landed, Scripted, answer, read
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, DataSourceError, StateError
from vdk.plugin.source_rest.incremental.cursors import Cursor, CursorConfig

Make = Callable[..., Any]
T = "2026-01-01T00:{:02d}:00Z"


class Issues:
    """An API of rows that has pages of two, filters by ``since`` and sorts as it likes."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.inclusive = True
        self.broken_page: int | None = None
        self.server = Scripted(self.answer)

    def answer(self, request: str, number: int) -> bytes:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.split()[1]).query).items()}
        self.asked.append(query)
        since, page = query.get("since", ""), int(query.get("page", "1"))
        if page == self.broken_page:
            return answer(b"", status="500 Oops")
        matching = [row for row in self.rows if "since" not in query or self.matches(row, since)]
        last = page * 2 >= len(matching)
        link = f"/items?page={page + 1}" + (f"&since={since}" if since else "")
        return answer({"items": matching[page * 2 - 2 : page * 2], "next": None if last else link})

    def matches(self, row: dict[str, Any], since: str) -> bool:
        return row["at"] is None or (row["at"] >= since if self.inclusive else row["at"] > since)


@pytest.fixture
def api() -> Iterator[Issues]:
    issues = Issues()
    with issues.server:
        yield issues


def stream(**cursor: Any) -> dict[str, Any]:
    return {"name": "items", "cursor": {"field": "at", "lookback": "0s", **cursor}}


def minute(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": T.format(number), **more}


def ids(landed: Landed) -> list[Any]:
    return [row["id"] for row in landed.rows]


@pytest.mark.parametrize("param", ["since", None])
def test_the_second_run_reads_what_is_new(source: Make, api: Issues, param: str | None) -> None:
    """The highest value goes out as it came, rows at the boundary land once, ties come along."""
    api.rows = [minute(number) for number in (3, 1, 2)]
    made = source(api.server.url, stream(param=param))
    first = read(made)
    assert sorted(ids(first)) == [1, 2, 3]
    api.rows += [minute(3, id="tie"), minute(4)]
    second = read(made, states=first.states)
    assert ids(second) == ["tie", 4]
    assert second.counts["rows_unchanged"] == 1
    assert read(made, states=second.states).rows == []
    assert [query.get("since") for query in api.asked if "page" not in query] == (
        [None, T.format(3), T.format(4)] if param else [None, None, None]
    )


def test_a_changed_row_at_the_boundary_lands(source: Make, api: Issues) -> None:
    """A row is recognised by all its values, not by its key."""
    api.rows = [minute(1, v=1)]
    made = source(api.server.url, {**stream(param="since"), "primary_key": "id"})
    first = read(made)
    api.rows = [minute(1, v=2)]
    assert read(made, states=first.states).rows == [minute(1, v=2)]


def test_the_state_moves_after_the_last_page_only(source: Make, api: Issues) -> None:
    """Pages may come in any order, so a run that breaks off has no state."""
    api.rows = [minute(number) for number in (9, 1, 2, 3, 4)]
    api.broken_page = 3
    made = source(api.server.url, stream(), retry={"attempts": 1})
    landed = Landed()
    [partition] = made.stream("items").partitions({})
    with pytest.raises(ConnectionFailedError):
        landed.take_all(partition)
    assert len(landed.rows) == 4
    assert landed.yielded == []


def test_in_ascending_order_it_moves_with_every_page(source: Make, api: Issues) -> None:
    """Declared ascending, a run that breaks off is gone on with after its last page; no row is lost or doubled."""
    api.rows = [minute(number) for number in (1, 2, 2, 3, 4)]
    for number, row in enumerate(api.rows):
        row["id"] = number
    api.broken_page = 3
    made = source(api.server.url, stream(order="ascending", param="since"), retry={"attempts": 1})
    landed = Landed()
    [partition] = made.stream("items").partitions({})
    with pytest.raises(ConnectionFailedError):
        landed.take_all(partition)
    api.broken_page = None
    assert ids(landed) + ids(read(made, states=landed.states)) == [0, 1, 2, 3, 4]


def test_an_order_that_is_not_kept_is_an_error(source: Make, api: Issues) -> None:
    """A state that moved with a page of a wrong order would have lost rows."""
    api.rows = [minute(2), minute(1)]
    with pytest.raises(ConfigurationError, match=r'not in the order .* Set cursor\.order = "any"'):
        read(source(api.server.url, stream(order="ascending")))


@pytest.mark.parametrize(
    ("option", "problem"), [('nulls = "fail"', "no value for the cursor"), ('order = "ascending"', "not in the order")]
)
def test_a_configured_check_gives_no_advice_to_plugin_authors(
    api: Issues, tmp_path: Path, option: str, problem: str
) -> None:
    """A user who rejects bad records gets the option to change, and not the Python that a source would need."""
    api.rows = [minute(2), minute(1), {"id": 3, "at": None}]
    flow = tmp_path / "api.toml"
    flow.write_text(
        f"""
        [sources.api]
        name = "rest"
        [sources.api.config]
        base_url = "{api.server.url}"
        streams = [{{ name = "items", cursor = {{ field = "at", {option} }} }}]
        [destinations.lake]
        method = "arrow"
        target = "duckdb:///{tmp_path / "lake.duckdb"}"
        [[flows]]
        from = "api"
        to = "lake"
        on_bad_record = "reject"
        """,
        "utf-8",
    )
    with pytest.raises(DataSourceError, match=problem) as caught:
        run_flows(None, flow)
    assert "RejectedRows" not in str(caught.value)


def test_in_descending_order_reading_ends_where_it_is_known(source: Make, api: Issues) -> None:
    """Newest first, an API that cannot filter is read as far as needed."""
    api.rows = [minute(number) for number in range(20, 0, -1)]
    made = source(api.server.url, stream(order="descending"))
    first = read(made)
    assert len(first.rows) == 20
    api.asked.clear()
    api.rows.insert(0, minute(21))
    assert ids(read(made, states=first.states)) == [21]
    assert len(api.asked) == 2


def test_late_rows_land_within_the_lookback(source: Make, api: Issues) -> None:
    """A row that appears late, with an older time, is found as far as the lookback goes; known rows land once."""
    api.rows = [minute(10), minute(20)]
    made = source(api.server.url, stream(param="since", lookback="5m"))
    first = read(made)
    api.rows += [minute(16), minute(2)]
    assert ids(read(made, states=first.states)) == [16]
    assert api.asked[-1]["since"] == T.format(15)


@pytest.mark.parametrize(
    ("policy", "landing", "second"), [("include", [1, 2], []), ("exclude", [1], []), ("fail", None, None)]
)
def test_rows_without_a_value_are_counted_and_follow_a_policy(
    source: Make, api: Issues, policy: str, landing: Any, second: Any
) -> None:
    """Included when they are new or changed, excluded, or an error; counted in any case."""
    api.rows = [minute(1), {"id": 2, "at": None}]
    made = source(api.server.url, stream(nulls=policy, param="since"))
    if landing is None:
        with pytest.raises(DataSourceError, match=r'no value for the cursor .* set cursor\.nulls = "include"'):
            read(made)
        return
    first = read(made)
    assert ids(first) == landing
    assert first.counts["rows_null_cursor"] == 1
    assert ids(read(made, states=first.states)) == second


def test_a_cursor_that_no_record_has_is_reported(source: Make, api: Issues, caplog: pytest.LogCaptureFixture) -> None:
    """All land in each run, as no state can be kept; a warning names the fields there are, once for all partitions."""
    api.rows = [{"id": 1, "changed": T.format(1)}]
    made = source(api.server.url, {**stream(), "slices": [{"region": "eu"}, {"region": "us"}], "path": "/{region}"})
    landed = read(made)
    assert (ids(landed), landed.states) == ([1, 1], {})
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "no record has a value for the cursor 'at'" in warning
    assert "'id', 'changed'" in warning


@pytest.mark.parametrize("nulls", ["include", "exclude"])
def test_a_cursor_field_that_does_not_exist_fails(source: Make, api: Issues, nulls: str) -> None:
    """Nothing lands, and the error names the fields; a field without any value, and no record, are no mistake."""
    api.rows = [{"id": 1, "changed": T.format(1)}]
    made = source(api.server.url, stream(nulls=nulls))
    with pytest.raises(ConfigurationError, match=r"no record has the field 'at' of its cursor; set .* 'id', 'ch"):
        read(made)
    api.rows = [{"id": 1, "changed": T.format(1)}, {"id": 2, "at": None}]
    assert len(read(made).rows) == (2 if nulls == "include" else 0)
    api.rows = []
    assert read(made).rows == []


def test_a_value_of_the_future_hides_no_rows(source: Make, api: Issues) -> None:
    """A row of the year 2999 lands once, and the next run asks from a day ago: rows may come late."""
    api.rows = [{"id": 1, "at": "2999-01-01T00:00:00Z"}]
    made = source(api.server.url, stream(param="since"))
    first = read(made)
    yesterday = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=23)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "2026" <= first.states[""]["high"] < yesterday
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    api.rows.append({"id": 2, "at": later})
    assert ids(read(made, states=first.states)) == [2]


def test_a_value_that_cannot_be_read_is_a_bad_record(source: Make, api: Issues) -> None:
    """The flow decides whether to fail or to put it aside."""
    api.rows = [minute(1), {"id": 2, "at": "yesterday"}]
    landed = read(source(api.server.url, stream()))
    assert ids(landed) == [1]
    [(row, error)] = landed.rejected
    assert row["id"] == 2
    assert "'yesterday'" in str(error)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("integer", [9, 10, 100]),
        ("integer", ["9", "10", "100"]),
        ("epoch", [1767225600, 1767225601.5, 1767312000]),
        ("epoch_ms", [999999999999, 1767225600000]),
        ("date", ["2026-01-09", "2026-01-10"]),
        ("datetime", ["2026-01-01T23:00:00-05:00", "2026-01-02T05:00:00Z", "2026-01-02T07:00:00+01:00"]),
        ("string", ["a", "b"]),
    ],
)
def test_values_are_compared_by_their_type(source: Make, api: Issues, kind: str, values: list[Any]) -> None:
    """9 is less than 10 and noon here may be before morning there, however that sorts as text."""
    api.rows = [{"id": number, "at": value} for number, value in enumerate(values)]
    made = source(api.server.url, {"name": "items", "cursor": {"field": "at", "type": kind}})
    landed = read(made)
    assert landed.states[""]["high"] == values[-1]
    api.rows = [*api.rows[:1], {"id": "new", "at": values[-1]}]
    assert ids(read(made, states=landed.states)) == ["new"]


@pytest.mark.parametrize(
    ("config", "value", "like", "written"),
    [
        ({}, "2026-03-01T10:00:05.123456Z", "2026-03-01T10:00:05.123Z", "2026-03-01T10:00:05.123Z"),
        ({}, "2026-03-01T10:00:05Z", "2026-03-01 10:00:05+02:00", "2026-03-01 12:00:05+02:00"),
        ({"timezone": "Europe/Vienna"}, "2026-03-01T10:00:05", "2026-03-01T10:00:05", "2026-03-01T10:00:05"),
        ({"param_format": "epoch"}, "2026-01-01T00:00:00Z", "", 1767225600),
        ({"param_format": "epoch_ms"}, "2026-01-01T00:00:00Z", "", 1767225600000),
        ({"param_format": "%d.%m.%Y"}, "2026-01-02T00:00:00Z", "", "02.01.2026"),
        ({"type": "date", "param_format": "%Y%m%d"}, "2026-01-02", "2026-01-01", "20260102"),
        ({"type": "date", "param_format": "datetime"}, "2026-01-02", "2026-01-01", "2026-01-02T00:00:00Z"),
        ({"type": "epoch", "param_format": "datetime"}, 1767225600, 5, "2026-01-01T00:00:00Z"),
        ({"type": "epoch", "param_format": "epoch_ms"}, 1767225600, 5, 1767225600000),
        ({"type": "epoch_ms", "param_format": "date"}, 1767225600000, 5, "2026-01-01"),
        ({"format": "%d.%m.%Y", "param_format": "date"}, "02.01.2026", "01.01.2026", "2026-01-02"),
        ({"format": "%d/%m/%Y %H:%M"}, "02/01/2026 03:04", "02/01/2026 03:04", "02/01/2026 03:04"),
        ({"type": "date"}, "2026-01-02", "2026-01-02", "2026-01-02"),
        ({"type": "epoch"}, 5, 5, 5),
    ],
)
def test_values_are_written_as_the_api_writes_them(config: Any, value: Any, like: Any, written: Any) -> None:
    """In the style of the field, or as param_format says."""
    cursor = Cursor(CursorConfig(field="at", **config))
    assert cursor.write(cursor.parse(value), like) == written


def test_any_value_can_be_recognised(source: Make) -> None:
    """Half a surrogate pair and an integer beyond 64 bits are values like others."""
    row = b'{"at": "2026-01-01", "t": "\\ud800", "n": 123456789012345678901234567890, "d": 1e400}'
    with Scripted(lambda request, number: answer(b"[" + row + b"]")) as api:
        made = source(api.url, {"name": "items", "cursor": {"field": "at", "type": "date"}})
        first = read(made)
        assert len(first.rows) == 1
        assert read(made, states=first.states).counts["rows_unchanged"] == 1


def test_the_first_run_begins_at_initial(source: Make, api: Issues) -> None:
    """Rows before it do not land, whether the API filters or not."""
    api.rows = [minute(1), minute(5)]
    for param in ("since", None):
        assert ids(read(source(api.server.url, stream(initial=T.format(3), param=param)))) == [5]


def test_windows_are_read_one_after_the_other(source: Make) -> None:
    """With step, each window is requested by itself, and the state moves after each."""
    windows: list[tuple[str, str]] = []
    rows = [{"id": number, "at": f"2026-01-{number:02d}T00:00:00Z"} for number in range(1, 9)]

    def page(request: str, number: int) -> bytes:
        query = parse_qs(urlsplit(request.split()[1]).query)
        lower, upper = query["since"][0], query["until"][0]
        windows.append((lower, upper))
        if len(windows) == 3:
            return answer(b"", status="400 Oops")
        return answer([row for row in rows if lower <= str(row["at"]) <= upper])

    with Scripted(page) as api:
        cursor = stream(param="since", end_param="until", step="3d", initial="2026-01-01T00:00:00Z")
        made = source(api.url, cursor)
        landed = Landed()
        [partition] = made.stream("items").partitions({})
        with pytest.raises(Exception, match="400"):
            landed.take_all(partition)
        landed_again = read(made, states=landed.states)
    assert windows[:2] == [
        ("2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("2026-01-04T00:00:00Z", "2026-01-07T00:00:00Z"),
    ]
    assert windows[2][0] == windows[3][0] == "2026-01-07T00:00:00Z"
    assert ids(landed) + ids(landed_again) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"v": 2, "cursor": "at", "type": "datetime", "high": T.format(1)}, "newer release"),
        ({"v": 1, "cursor": "other", "type": "datetime", "high": T.format(1)}, "'other'"),
        ({"v": 1, "cursor": "at", "type": "integer", "high": 1}, "(integer)"),
        ({"v": 1, "cursor": "at", "type": "datetime", "high": "soon"}, "damaged"),
        ({"v": 1, "cursor": "at", "type": "datetime", "high": T.format(1), "overlap": "%"}, "damaged"),
        ({"next": 5}, "not written by this source"),
    ],
)
def test_a_foreign_state_is_refused(source: Make, api: Issues, state: Any, problem: str) -> None:
    """A state of another version, cursor or source is an error with a remedy, and nothing is read."""
    with pytest.raises(StateError, match="state reset") as caught:
        read(source(api.server.url, stream()), states={"": state})
    assert problem in str(caught.value)
    assert api.asked == []


def test_a_state_without_a_cursor_is_refused(source: Make, api: Issues) -> None:
    """A stream that lost its cursor would be read whole, and appended to what is there."""
    with pytest.raises(StateError, match="no cursor now"):
        read(source(api.server.url), states={"": {"v": 1, "cursor": "at"}})


def test_rows_that_are_changed_once_they_are_delivered_are_recognised(source: Make, api: Issues) -> None:
    """A transform may write into the rows it gets; the state knows them as the API has them."""
    api.rows = [minute(1), minute(2)]
    made = source(api.server.url, stream(param="since"))
    [partition] = made.stream("items").partitions({})
    state: Any = {}
    for payload in partition.read({}):
        for row in payload.data or ():
            row["added"] = True
        state = payload.state or state
    assert read(made, states={"": state}).rows == []


def test_the_state_stays_small(source: Make, api: Issues, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows share the highest value, the state knows so many; others repeat, none is lost."""
    monkeypatch.setattr("vdk.plugin.source_rest.incremental.progress.MAX_REMEMBERED", 1000)
    with Scripted(lambda request, number: answer([minute(1, id=index) for index in range(5000)])) as many:
        made = source(many.url, stream())
        first = read(made)
        assert len(json.dumps(first.states[""])) < 12_000
        second = read(made, states=first.states)
    assert second.counts["rows_unchanged"] == 1000
    assert len(second.rows) == 4000
