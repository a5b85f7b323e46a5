"""Windows of a history: the state never passes data that may still come, and no boundary repeats or loses a record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support import Landed, Scripted, answer, read
from vdk.plugin.source_rest.incremental.progress import MAX_REMEMBERED

Make = Callable[..., Any]
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(**span: float) -> str:
    return text(NOW - dt.timedelta(**span))


class Readings:
    """An API that filters by ``since`` and ``until``, both included, as far as it is asked to."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.takes_part: Callable[[str, str, str], bool] = lambda since, time, until: since <= time <= until
        self.replies: dict[int, bytes] = {}
        self.page = 1000
        self.server = Scripted(self.answer)

    def answer(self, request: str, number: int) -> bytes:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.split()[1]).query).items()}
        since, until, begin = query.get("since", ""), query.get("until", "9"), int(query.get("begin", 0))
        if begin == 0:
            self.asked.append((since, until))
        if number in self.replies:
            return self.replies[number]
        matching = [row for row in self.rows if self.takes_part(since, row["at"], until)]
        after = begin + self.page
        link = f"/items?since={since}&until={until}&begin={after}" if after < len(matching) else None
        return answer({"items": matching[begin:after], "next": link})


@pytest.fixture
def api() -> Iterator[Readings]:
    readings = Readings()
    with readings.server:
        yield readings


def stream(**cursor: Any) -> dict[str, Any]:
    given = {"field": "at", "param": "since", "end_param": "until", "lookback": "0s", "step": "1d", **cursor}
    return {"name": "items", "cursor": given}


def row(id: Any, time: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "at": time, **more}


def ids(landed: Landed) -> list[Any]:
    return [record["id"] for record in landed.rows]


def test_a_record_that_comes_hours_late_lands(source: Make, api: Readings) -> None:
    """Windows that were empty a moment ago may fill: the state stays where a record was, or a day has passed."""
    api.rows = [row(1, ago(hours=30))]
    made = source(api.server.url, stream(step="1h", initial=ago(hours=40)))
    first = read(made)
    assert ids(first) == [1]
    api.rows.append(row(2, ago(hours=20)))
    assert ids(read(made, states=first.states)) == [2]


def test_the_state_moves_past_windows_that_stay_empty(source: Make, api: Readings) -> None:
    """A window without a record that ended more than ``settle`` ago is not asked for in the next run."""
    api.rows = [row(1, ago(days=9))]
    made = source(api.server.url, stream(initial=ago(days=10)))
    first = read(made)
    assert ago(days=2) <= first.states[""]["high"] <= ago(days=1)
    api.asked.clear()
    second = read(made, states=first.states)
    assert len(api.asked) <= 2
    assert second.states[""]["high"] >= first.states[""]["high"]


@pytest.mark.parametrize(("settle", "landing"), [("3h", []), ("30h", [2])])
def test_settle_says_how_long_an_empty_window_is_asked_again(
    source: Make, api: Readings, settle: str, landing: list[int]
) -> None:
    """What comes later than that is not looked for."""
    made = source(api.server.url, stream(step="1h", initial=ago(hours=40), settle=settle))
    first = read(made)
    api.rows.append(row(2, ago(hours=10)))
    assert ids(read(made, states=first.states)) == landing


def test_a_window_with_records_moves_the_state_to_the_highest(source: Make, api: Readings) -> None:
    """However long ago the window ended: what follows in it may have been late."""
    api.rows = [row(1, ago(days=10)), row(2, ago(days=10, hours=-3))]
    made = source(api.server.url, stream(step="30d", initial=ago(days=11)))
    first = read(made)
    assert first.states[""]["high"] == ago(days=10, hours=-3)


def test_an_ignored_answer_is_not_an_empty_window(source: Make, api: Readings) -> None:
    """A rule that ignores an error lets the run go on, and the next run asks for that window again."""
    api.replies = dict.fromkeys(range(4), answer({"error": "later"}, status="404 Not Found"))
    made = source(api.server.url, {**stream(initial=ago(days=4)), "responses": [{"status": 404, "action": "ignore"}]})
    first = read(made)
    api.rows = [row(1, ago(days=3.5))]
    assert ids(read(made, states=first.states)) == [1]


def test_an_api_that_ignores_the_end_does_not_move_the_state_past_a_window(source: Make, api: Readings) -> None:
    """A record above the window lands, and a run that breaks off afterwards goes on where the window ended."""
    api.rows = [row(1, ago(days=9.5)), row(2, ago(days=7.5)), row("stray", ago(days=2))]
    api.takes_part = lambda since, time, until: since <= time <= until or (time == ago(days=2) and len(api.asked) == 1)
    api.replies = {1: answer(b"", status="400 Oops")}
    made = source(api.server.url, stream(initial=ago(days=10)))
    landed = Landed()
    [partition] = made.stream("items").partitions({})
    with pytest.raises(Exception, match="400"):
        landed.take_all(partition)
    assert landed.states[""]["high"] == ago(days=9)
    assert ids(landed) + ids(read(made, states=landed.states)) == [1, "stray", 2]


@pytest.mark.parametrize("kind", ["datetime", "date"])
def test_day_windows_of_an_inclusive_api_repeat_nothing(source: Make, api: Readings, kind: str) -> None:
    """Whole days at both ends come twice within a run; each record lands once, in the next run too."""
    days = [(NOW - number * DAY).replace(hour=0, minute=0, second=0) for number in range(6, 2, -1)]
    written = "%Y-%m-%d" if kind == "date" else "%Y-%m-%dT%H:%M:%SZ"
    api.rows = [
        row(f"{day:%d}/{number}", (day + number * dt.timedelta(seconds=30)).strftime(written))
        for day in days
        for number in range(1500)
    ]
    api.takes_part = lambda since, time, until: since[:10] <= time[:10] <= until[:10]
    api.page = 10_000
    made = source(api.server.url, stream(type=kind, param_format="%Y-%m-%d", initial=days[0].strftime("%Y-%m-%d")))
    first = read(made)
    assert sorted(ids(first)) == sorted(record["id"] for record in api.rows)
    assert first.counts["rows_unchanged"] >= 3 * 1500
    assert ids(read(made, states=first.states)) == []


def test_step_end_inclusive_asks_for_each_day_once(source: Make, api: Readings) -> None:
    """An API that includes the day that it ends with is asked for days that do not overlap."""
    begin = NOW - 4 * DAY
    api.rows = [row(number, (begin + number * DAY).strftime("%Y-%m-%d")) for number in range(5)]
    cursor = stream(type="date", step="2d", step_end="inclusive", initial=begin.strftime("%Y-%m-%d"))
    landed = read(source(api.server.url, cursor))
    assert ids(landed) == [0, 1, 2, 3, 4]
    assert landed.counts["rows_unchanged"] == 0
    day = [(begin + number * DAY).strftime("%Y-%m-%d") for number in range(5)]
    assert api.asked == [(day[0], day[1]), (day[2], day[3]), (day[4], day[4])]


def two_a_day(begin: dt.datetime, days: int) -> list[dict[str, Any]]:
    """Two records on each day."""
    return [row(number, (begin + number * 12 * HOUR).strftime("%Y-%m-%d")) for number in range(2 * days)]


@pytest.mark.parametrize("step", ["1d", "2d", "3d"])
@pytest.mark.parametrize("excludes", [True, False])
def test_an_api_that_excludes_the_last_day_of_its_windows_is_noticed(
    source: Make, api: Readings, caplog: pytest.LogCaptureFixture, step: str, excludes: bool
) -> None:
    """With step_end = "inclusive" those days would be lost silently: a warning names the option that reads them."""
    begin = (NOW - 12 * DAY).replace(hour=0, minute=0, second=0)
    api.rows = two_a_day(begin, 12)
    if excludes:
        api.takes_part = lambda since, time, until: since <= time < until
    cursor = {"type": "date", "initial": begin.strftime("%Y-%m-%d"), "step_end": "inclusive"}
    lossy = source(api.server.url, stream(step=step, **cursor), {**stream(step=step, **cursor), "name": "other"})
    landed = read(lossy)
    warned = "windows have no record on their last day. If the API excludes the day of 'until'"
    assert (len(landed.rows) < len(api.rows)) == excludes
    assert (warned in caplog.text) == excludes
    if excludes:
        assert len(read(source(api.server.url, stream(step=step, **{**cursor, "step_end": "shared"}))).rows) >= 22


@pytest.mark.parametrize(
    ("days", "on"), [(4, [0, 2]), (30, []), (30, [0, 9, 12, 21])], ids=["few windows", "no records", "rare records"]
)
@pytest.mark.parametrize("slices", [[], [{"region": "eu"}]])
def test_a_last_day_without_records_may_be_a_coincidence(
    source: Make, api: Readings, caplog: pytest.LogCaptureFixture, days: int, on: list[int], slices: list[Any]
) -> None:
    """A daily run reads a window or two, and a quiet month is not a mistake."""
    begin = (NOW - days * DAY).replace(hour=0, minute=0, second=0)
    cursor = {"type": "date", "initial": begin.strftime("%Y-%m-%d"), "step_end": "inclusive"}
    api.rows = [row(day, (begin + day * DAY).strftime("%Y-%m-%d")) for day in on]
    sliced = {"slices": slices, "params": {"region": "{region}"}} if slices else {}
    for step in ("3d", "1d") if slices else ("3d",):
        read(source(api.server.url, {**stream(**cursor, step=step), **sliced}))
    assert "last day" not in caplog.text


def test_step_end_inclusive_loses_nothing_between_two_seconds(source: Make, api: Readings) -> None:
    """Windows of times share their boundary, since a record may lie between the last second and the next."""
    begin = NOW - 3 * DAY
    time = [f"{begin + DAY - dt.timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}.5Z", text(begin + DAY)]
    api.rows = [row(0, time[0]), row(1, time[1])]
    landed = read(source(api.server.url, stream(step_end="inclusive", initial=text(begin))))
    assert ids(landed) == [0, 1]


def test_a_step_shorter_than_the_parameter_can_say_is_as_long_as_that(source: Make, api: Readings) -> None:
    """An hour of an API that knows days is a day, and reading ends."""
    begin = NOW - 3 * DAY
    api.rows = [row(number, text(begin + number * DAY)) for number in range(3)]
    api.takes_part = lambda since, time, until: since <= time[:10] <= until
    landed = read(source(api.server.url, stream(step="1h", param_format="%Y-%m-%d", initial=text(begin))))
    assert ids(landed) == [0, 1, 2]
    assert len(api.asked) <= 5


def test_a_crash_within_the_lookback_repeats_and_loses_nothing(source: Make, api: Readings) -> None:
    """What the old state knew is known to the states of the windows that are read again."""
    api.rows = [row(number, ago(days=5.5 - number)) for number in range(6)]
    made = source(api.server.url, stream(initial=ago(days=6), lookback="3d"))
    first = read(made)
    assert ids(first) == list(range(6))
    high = first.states[""]["high"]
    api.rows.insert(4, row("late", ago(days=2.2)))
    api.replies = {len(api.server.requests) + 1: answer(b"", status="400 Oops")}
    landed = Landed()
    [partition] = made.stream("items").partitions({})
    with pytest.raises(Exception, match="400"):
        landed.take_all(partition, first.states[""])
    assert [state["high"] for state in landed.yielded] == [high]
    assert ids(landed) + ids(read(made, states=landed.states)) == ["late"]


def test_a_crash_between_ascending_pages_repeats_nothing(source: Make, api: Readings) -> None:
    """The state of a page knows what the pages after it would deliver again."""
    api.rows = [row(number, ago(hours=10 - number)) for number in range(6)]
    api.page = 2
    cursor = {"field": "at", "param": "since", "lookback": "6h", "order": "ascending"}
    made = source(api.server.url, {"name": "items", "cursor": cursor})
    first = read(made)
    api.rows.append(row(6, ago(hours=1)))
    api.replies = {len(api.server.requests) + 1: answer(b"", status="400 Oops")}
    api.rows.insert(0, row("new", ago(hours=10.5)))
    landed = Landed()
    [partition] = made.stream("items").partitions({})
    with pytest.raises(Exception, match="400"):
        landed.take_all(partition, first.states[""])
    assert ids(landed) == ["new"]
    assert ids(read(made, states=landed.states)) == [6]


@pytest.mark.parametrize(("key", "landing"), [(None, [7]), ("id", [])])
def test_equal_records_without_a_key_are_counted(source: Make, api: Readings, key: str | None, landing: Any) -> None:
    """A second event that equals the first is another event; with a primary key it is the same record."""
    api.rows = [row(7, ago(hours=3))]
    made = source(api.server.url, {**stream(initial=ago(days=1)), **({"primary_key": key} if key else {})})
    first = read(made)
    api.rows.append(row(7, ago(hours=3)))
    second = read(made, states=first.states)
    assert ids(second) == landing
    assert ids(read(made, states=second.states)) == []


def test_the_hour_that_comes_twice_is_read_whole(source: Make, api: Readings) -> None:
    """At the end of summer time local times go back by an hour; records of the second pass sort before the first's."""
    api.rows = [row(1, "2025-10-26T02:50:00")]
    cursor = stream(timezone="Europe/Vienna", step=None, end_param=None, lookback="5m")
    made = source(api.server.url, cursor)
    first = read(made)
    api.rows = [row(2, "2025-10-26T02:10:00"), *api.rows]
    assert ids(read(made, states=first.states)) == [2]


@pytest.mark.parametrize("step", ["30m", "1h", "1d"])
@pytest.mark.parametrize("change", ["2025-10-26", "2025-03-30"])
def test_windows_across_a_change_of_the_clock_are_complete(source: Make, api: Readings, step: str, change: str) -> None:
    """Local times, in an API that compares them as text: each window begins where the one before ended."""
    hours = [f"{change}T{hour:02d}:{minute:02d}:00" for hour in range(1, 8) for minute in (0, 10, 40)]
    api.rows = [row(number, time) for number, time in enumerate(hours)]
    made = source(
        api.server.url, stream(timezone="Europe/Vienna", step=step, initial=f"{change}T00:00:00", settle="0s")
    )
    landed = Landed()
    [partition] = made.stream("items").partitions({})
    for payload in partition.read({}):
        landed.take("", payload)
        if api.asked[-1][1] > f"{change}T12":
            break
    assert ids(landed) == list(range(len(hours)))
    assert all(since <= until for since, until in api.asked)
    assert all(after[0] == before[1] for before, after in zip(api.asked, api.asked[1:], strict=False))


def test_day_windows_of_a_zone_with_summer_time_move_on(source: Make, api: Readings) -> None:
    """A day may have 25 hours, and the next window still begins on the next day."""
    cursor = stream(
        timezone="Europe/Vienna", param_format="%Y-%m-%d", initial="2025-10-24", type="date", step_end="inclusive"
    )
    made = source(api.server.url, cursor)
    [partition] = made.stream("items").partitions({})
    for _ in partition.read({}):
        if api.asked[-1][1] > "2025-10-29":
            break
    assert api.asked[:5] == [(f"2025-10-{day}", f"2025-10-{day}") for day in range(24, 29)]


def test_records_beyond_what_a_state_knows_are_reported(
    source: Make, api: Readings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where more records share a boundary than are remembered, they repeat, none is lost, and a warning says so."""
    monkeypatch.setattr("vdk.plugin.source_rest.incremental.progress.MAX_REMEMBERED", 10)
    api.rows = [row(number, ago(hours=1)) for number in range(30)]
    made = source(api.server.url, stream(initial=ago(hours=3)))
    first = read(made)
    second = read(made, states=first.states)
    assert (len(second.rows), second.counts["rows_unchanged"]) == (20, 10)
    assert "more than 100000 records" in caplog.text
    assert MAX_REMEMBERED == 100_000
