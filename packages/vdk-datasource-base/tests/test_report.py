"""The report of a run: whole, escaped, without secrets, and written however the run ends."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from support import QUICK, Lab, Whole, counting, payload
from vdk.plugin.datasource_base import ConfigurationError, DataSourcePayload, FlowFailedError, StreamSchema
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.runtime import RunSummary, execute
from vdk.plugin.datasource_base.runtime.report.html.charts import nice_ceiling, time_ticks

HOSTILE = "</script><script>alert(1)</script>"
SECRET = "hunter2hunter2"
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


class Seen(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def bad_rows(state: State) -> Iterator[DataSourcePayload]:
    yield payload({"n": 1}, {"n": "<i>many</i>"}, {"n": f"{SECRET}"}, state={"next": 3})


def failing(state: State) -> Iterator[DataSourcePayload]:
    yield payload({"n": 1}, state={"next": 1})
    raise ValueError(f"{HOSTILE} with {SECRET}")


def run(lab: Lab, path: Path, *, fails: bool = True) -> RunSummary | None:
    numbers = StreamSchema(pa.schema([("n", pa.int64())]))
    lab.script(
        Whole(HOSTILE, counting(30, page=5)),
        Whole("rejecting", bad_rows, numbers),
        *([Whole("failing", failing)] if fails else []),
    )
    flow = lab.flow(on_bad_record="reject")
    flow["sources"]["src"]["config"]["password"] = SECRET
    environment = lab.environment(report=path)
    try:
        return execute(flow, environment)
    except FlowFailedError:
        return None


def test_the_failure_comes_first_and_no_text_is_markup(lab: Lab, tmp_path: Path) -> None:
    """Names, errors and values of rows are escaped, and secrets are in none of them."""
    run(lab, tmp_path / "a.html", fails=False)
    run(lab, tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text("utf-8")
    seen = Seen(page)
    assert "script" not in seen.tags
    assert "i" not in re.findall(r"<(i)>many", page)
    assert f"src.{HOSTILE}" in seen.text
    assert '"<i>many</i>"' in seen.text
    assert SECRET not in page
    assert re.search(r"(?:src|href|url)\s*[=(]", page) is None
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "What failed",
        "Streams",
        "Guarantee",
        "Rows over time",
        "Rejected rows",
        "The last 2 runs",
        "States",
    ]
    assert "ValueError: &lt;/script&gt;" in page
    assert page.count('class="bar') == 2
    assert "svg" in seen.tags


def test_a_report_is_written_when_the_run_is_interrupted(lab: Lab, tmp_path: Path) -> None:
    def interrupted(state: State) -> Iterator[DataSourcePayload]:
        yield payload({"n": 1}, state={"next": 1})
        raise KeyboardInterrupt

    path = tmp_path / "run.html"
    path.write_text("<!doctype html>an older report", "utf-8")
    lab.script(Whole("numbers", interrupted))
    with pytest.raises((KeyboardInterrupt, FlowFailedError)):
        execute(lab.flow(), lab.environment(report=path))
    assert "What failed" in Seen(path.read_text("utf-8")).text
    assert [other.name for other in tmp_path.iterdir()] == ["run.html"]


def test_a_wrong_path_is_refused_before_anything_is_read(lab: Lab, tmp_path: Path) -> None:
    script = lab.script(Whole("numbers", counting(3)))
    for name in ("report", "openlineage"):
        with pytest.raises(ConfigurationError, match=rf"file {re.escape(str(tmp_path))} cannot be written: .*--{name}"):
            execute(lab.flow(), lab.environment(QUICK, **{name: tmp_path}))
    assert script.calls == []


def test_a_report_that_fails_does_not_fail_the_run(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    lab.script(Whole("numbers", counting(3)))
    assert execute(lab.flow(), lab.environment(report=tmp_path / "run.html")).status == "succeeded"
    assert "No space left" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_many_streams_and_runs_make_a_bounded_page(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    lab.script(*(Whole(f"stream_{number}", counting(1)) for number in range(300)))
    execute(lab.flow(), lab.environment(report=path))
    page = path.read_text("utf-8")
    assert page.count("<b>src.stream_") == 200
    assert "and 100 more" in page
    assert len(page) < 300_000


@pytest.mark.parametrize(
    ("span", "ticks"), [(4.5, [0, 1, 2, 3, 4]), (0.3, [0, 0.1, 0.2, 0.3]), (300, [0, 60, 120, 180, 240, 300])]
)
def test_axes_have_round_numbers(span: float, ticks: list[float]) -> None:
    assert time_ticks(span) == pytest.approx(ticks)
    assert [nice_ceiling(value) for value in (0, 4, 11, 240_000, 1e6)] == [4, 4, 20, 250_000, 1e6]


@pytest.mark.heavy
def test_a_browser_shows_the_same_with_and_without_scripts(lab: Lab, tmp_path: Path) -> None:
    """It runs nothing, asks the network for nothing, and reports no error."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell")
    path = tmp_path / "run.html"
    run(lab, path)
    frames = {"with": "", "without": "sandbox"}  # in a sandbox, no script runs
    for name, sandbox in frames.items():
        frame = f'<iframe {sandbox} src="run.html" style="border:0;width:880px;height:1380px"></iframe>'
        (tmp_path / f"{name}.html").write_text(frame, "utf-8")
        browse(browser, tmp_path / f"{name}.html", f"--screenshot={tmp_path / name}.png")
    assert (tmp_path / "with.png").read_bytes() == (tmp_path / "without.png").read_bytes()
    assert (tmp_path / "with.png").stat().st_size > 20_000  # more than an empty page
    seen = Seen(browse(browser, path, "--dump-dom"))
    assert "script" not in seen.tags
    assert seen.tags.count("svg") >= 2
    assert f"src.{HOSTILE}" in seen.text


def browse(browser: str, page: Path, option: str) -> str:
    shown = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars",
            "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=900,1400",
            f"--user-data-dir={page.parent / 'profile'}", option, page.as_uri(),
        ],
        check=True, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert "CONSOLE" not in shown.stderr, shown.stderr
    return shown.stdout
