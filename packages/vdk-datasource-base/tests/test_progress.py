"""The lines of running streams: in columns that fit a terminal, with the remaining time where the end is known."""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import pytest
from rich.cells import cell_len

from support import Lab, Whole, counting
from vdk.plugin.datasource_base.runtime.report import progress, progress_lines
from vdk.plugin.datasource_base.runtime.report.progress_lines import Remaining, block, busiest, count_line, time_text
from vdk.plugin.datasource_base.runtime.report.summary import StreamReport


def report(name: str, rows: int = 1_234_567, share: float | None = 0.45) -> StreamReport:
    made = StreamReport("shop", "lake", name, name, rows_read=rows)
    made.started = time.monotonic() - 20
    made.read_share.partitions = 1
    made.read_share.set("", share)
    return made


@pytest.mark.parametrize("width", [1, 5, 10, 20, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Whatever the names are made of; numbers are cut last, and stay aligned."""
    names = ["orders", "日本語のテーブル" * 5, "a\x1b[2Jb\nc", "é" * 90, "👩‍👩‍👧‍👧"]
    lines = block([report(name) for name in names], [30.0, None, 5000.0, None, 1.0], width=width, redact=str)
    assert len(lines) == len(names)
    assert all(cell_len(line) <= max(1, width - 1) for line in lines)
    assert not any("\x1b" in line or "\n" in line for line in lines)
    if width >= 20:
        assert {cell_len(line[: line.index("45%")]) for line in lines} == {cell_len(lines[0][: lines[0].index("45%")])}


def test_a_line_has_what_a_person_asks_for() -> None:
    (line,) = block([report("orders")], [200.0], width=100, redact=lambda text: text.replace("orders", "***"))
    assert line.startswith("shop.***  45%  1,234,567 rows  ")
    assert line.endswith("rows/s  20.0 s  about 3 min left")


def test_the_remaining_time_follows_the_pace() -> None:
    now = 100.0
    remaining = Remaining(lambda: now)
    stream = report("orders", share=0.0)
    stream.started = now
    assert remaining.seconds(stream) is None
    for share in (0.1, 0.2):
        now += 10
        stream.read_share.set("", share)
        left = remaining.seconds(stream)
    assert left == pytest.approx(80)
    for share in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):  # twice as fast from here on
        now += 5
        stream.read_share.set("", share)
        left = remaining.seconds(stream)
    assert left == pytest.approx(12.5, rel=0.2)
    stream.read_share.set("", 0.0)  # it is read again from its beginning
    assert remaining.seconds(stream) is None
    stream.read_share.set("", None)
    assert remaining.seconds(stream) is None
    assert [time_text(seconds) for seconds in (0.2, 40, 200, 7500)] == ["1 s", "40 s", "3 min", "2 h 5 min"]


def test_of_many_streams_the_busiest_are_shown() -> None:
    """In a steady order, and the others are counted."""
    streams = [report(f"s{number}", rows=number) for number in range(400)]
    before = {id(stream): stream.rows_read for stream in streams}
    for number in (7, 300, 301):
        streams[number].rows_read += number
        streams[number].started += number
    assert [stream.stream for stream in busiest(streams, before, 3)] == ["s7", "s300", "s301"]
    assert count_line(3, 400, 0, 400) == "and 397 more streams"
    assert count_line(2, 2, 10, 12) == "10 of 12 streams have ended"
    assert count_line(1, 1, 0, 1) == ""


def test_a_log_has_a_line_for_a_few_streams(caplog: pytest.LogCaptureFixture) -> None:
    shown = progress.Progress(10.0, draw=False)
    shown.expect(400)
    for number in range(400):
        shown.stream_started(report(f"s{number}", rows=number))
    caplog.clear()
    with caplog.at_level("INFO"):
        shown._log(shown._reports)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == progress_lines.LOGGED_STREAMS + 1
    assert lines[-1] == "and 395 more streams"


def test_a_notebook_has_one_display(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is updated, and ends with the count; without a kernel there is none."""
    shown: list[str] = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            shown.append(data["text/plain"])

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        return Handle()

    shell: Any = types.SimpleNamespace(kernel=object())
    modules: dict[str, Any] = {"IPython": types.ModuleType("IPython"), "IPython.display": types.ModuleType("display")}
    modules["IPython"].get_ipython = lambda: shell
    modules["IPython.display"].display = display
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.001)
    lab.run(Whole("one", counting(5, fail_at=lambda number: time.sleep(0.01))), Whole("two", counting(1)))
    assert any("src.one  " in text for text in shown)
    assert shown[-1] == "2 of 2 streams have ended"
    shell = None
    assert progress._notebook_display() is None
