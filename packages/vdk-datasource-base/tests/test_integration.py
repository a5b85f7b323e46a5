"""VDK's edge: steps, commands, ingestion plugins as destinations, and where their states are kept."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import re
import sqlite3
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import pytest
from vdk.api.plugin.hook_markers import hookimpl
from vdk.api.plugin.plugin_input import IIngesterPlugin
from vdk.internal.builtin_plugins.run.job_context import JobContext
from vdk.plugin.duckdb import duckdb_plugin
from vdk.plugin.properties_fs import fs_properties_plugin
from vdk.plugin.sqlite import sqlite_plugin
from vdk.plugin.test_utils import util_plugins
from vdk.plugin.test_utils.util_plugins import IngestIntoMemoryPlugin

from jobs import FLOW, Vdk, install, job, process
from vdk.plugin.datasource_base import ConfigurationError, run_flows
from vdk.plugin.datasource_base.integration.commands import state_commands
from vdk.plugin.datasource_base.integration.config_keys import KEYS
from vdk.plugin.datasource_base.integration.properties_state_store import PROPERTY
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.runtime import Options
from vdk.plugin.datasource_base.testing import MemoryDestination

pytestmark = [
    # vdk-core adds its options to one command, which lives as long as the process, in each of its runs.
    pytest.mark.filterwarnings("ignore:The parameter .* is used more than once"),
    # vdk-sqlite leaves its connections open; since 3.13 Python says so.
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*sqlite3:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    monkeypatch.setenv("VDK_DATASOURCE_RETRY_DELAY", "0.001")
    yield
    MemoryDestination.clear("here")
    gc.collect()  # what is left open is reported now, and not in the middle of another test


def flow(method: str = "memory", target: str = "here", upto: int = 5) -> str:
    return FLOW.format(method=method, target=target, upto=upto)


def rows(memory: IngestIntoMemoryPlugin) -> list[int]:
    return [row["n"] for payload in memory.payloads for row in payload.payload]


class TestSteps:
    def test_flow_files_run_among_the_other_steps_in_the_order_of_names(self, tmp_path: Path) -> None:
        """A ``.py`` before, one between and a ``.sql`` behind see what is there at their time."""
        database = tmp_path / "lake.db"
        look = (
            "import contextlib, sqlite3\n\ndef run(job_input):\n"
            f"    with contextlib.closing(sqlite3.connect({str(database)!r})) as db:\n"
            "        found = [n for (n,) in db.execute('SELECT n FROM numbers ORDER BY n')]\n"
            "    print('STEP', __file__[-10:], found)\n"
        )
        made = job(
            tmp_path / "shop",
            {
                "10_make.sql": "CREATE TABLE numbers (n INTEGER, text TEXT)",
                "15_look.py": look,
                "20_numbers.ingest.toml": flow("sqlite", str(database)),
                "30_look.py": look,
                "40_drop.sql": "DELETE FROM numbers WHERE n = 0",
                "other.toml": "this is not ours",
            },
        )
        result = Vdk(sqlite_plugin)("run", made, "--arguments", "{}")
        assert result.exit_code == 0, result.output
        with contextlib.closing(sqlite3.connect(database)) as db:
            assert db.execute("SELECT count(*), min(n) FROM numbers").fetchone() == (4, 1)
        assert result.output.index("15_look.py []") < result.output.index("30_look.py [0, 1, 2, 3, 4]")

    @pytest.fixture(autouse=True)
    def _sqlite(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VDK_DB_DEFAULT_TYPE", "sqlite")
        monkeypatch.setenv("VDK_SQLITE_FILE", str(tmp_path / "lake.db"))

    def test_a_python_step_runs_flows_from_a_dict(self, tmp_path: Path) -> None:
        """And gets the summary."""
        step = (
            "from vdk.plugin.datasource_base import run_flows\n\ndef run(job_input):\n"
            "    done = run_flows(job_input, {'sources': {'s': {'name': 'numbers'}},\n"
            "        'destinations': {'d': {'method': 'kept', 'target': 'here'}},\n"
            "        'flows': [{'from': 's', 'to': 'd', 'transform': double}]})\n"
            "    print('LANDED', [one.rows_landed for one in done.streams])\n\n"
            "def double(rows):\n    return rows + rows\n"
        )
        result = Vdk()("run", job(tmp_path / "shop", {"10_run.py": step}))
        assert result.exit_code == 0, result.output
        assert "LANDED [10, 4]" in result.output
        assert len(MemoryDestination.tables("here")["words"]) == 4

    def test_a_foreign_job_input_is_refused(self) -> None:
        """With what to pass instead."""
        with pytest.raises(ConfigurationError, match="pass the one that VDK passes to the step"):
            run_flows(object(), {})  # type: ignore[arg-type]  # what the function refuses

    def test_a_flow_that_fails_fails_the_job_and_names_the_stream(self, tmp_path: Path) -> None:
        """Exit code 1, the steps behind it do not run, the other streams have landed."""
        text = flow("kept").replace("upto = 5", "upto = 5, fail = 'away'").replace('streams = ["numbers"]', "")
        made = job(tmp_path / "shop", {"10_numbers.ingest.toml": text, "20_next.py": "print('NEXT')"})
        result = Vdk()("run", made)
        assert result.exit_code == 1
        assert "src.numbers: ConnectionFailedError: the numbers are away" in result.output
        assert "NEXT" not in result.output
        assert len(MemoryDestination.tables("here")["words"]) == 2

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ("fail = 'away'", "Platform error"),
            ("fail = 'no connection'", "Platform error"),
            ("fail = 'login'", "User Error"),
            ("fail = 'secret', password = 'abcdef'", "User Error"),
            ("x = 1", "User Error"),
        ],
    )
    def test_errors_are_classified(self, change: str, expected: str, tmp_path: Path, monkeypatch: Any) -> None:
        """What is away is the platform's, the rest is the user's."""
        summary_file = tmp_path / "summary.json"
        monkeypatch.setenv("VDK_JOB_RUN_SUMMARY_FILE_PATH", str(summary_file))
        text = flow("kept").replace("upto = 5", f"upto = 5, {change}")
        result = Vdk()("run", job(tmp_path / "shop", {"10_numbers.ingest.toml": text}))
        assert result.exit_code == 1
        assert json.loads(summary_file.read_text("utf-8"))["blamee"] == expected


class TestCommands:
    def test_list_tells_what_is_installed(self) -> None:
        """As a table, and as JSON for programs."""
        assert "numbers" in Vdk()("datasource", "list").output
        result = Vdk()("datasource", "list", "-o", "json")
        assert result.exit_code == 0
        listed = json.loads(result.stdout)
        assert {
            "kind": "source",
            "name": "numbers",
            "class": "edge_source:NumbersSource",
            "from": "edge_source",
        } in listed
        assert ("destination", "kept") in {(one["kind"], one["name"]) for one in listed}

    def test_a_plugin_that_cannot_register_harms_no_other(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is named in a warning, and where one of its sources is missed; all others are there."""

        class Broken:
            @hookimpl(tryfirst=True)
            def vdk_datasource_register(self, registry: Registry) -> None:
                registry.add("half", "edge_source:NumbersSource")
                raise ImportError("no module named client")

        result = Vdk(Broken())("datasource", "list", "-o", "json")
        assert result.exit_code == 0
        assert {"half", "numbers"} <= {load["name"] for load in json.loads(result.stdout)}
        assert "could not register its data sources: ImportError: no module named client" in caplog.text
        file = job(tmp_path, {"a.toml": flow("kept")}) / "a.toml"
        assert Vdk(Broken())("datasource", "run", file).exit_code == 0
        result = Vdk(Broken())("datasource", "config", "other")
        assert result.exit_code == 2
        assert "unknown source 'other'" in result.stderr
        assert "could not register its sources and destinations: ImportError: no module named client" in result.stderr

    def test_config_tells_the_options_of_a_source(self) -> None:
        """Names, types, defaults and meanings."""
        result = Vdk()("datasource", "config", "numbers", "-o", "json")
        assert [load["option"] for load in json.loads(result.stdout)] == ["upto", "fail", "password", "url"]
        assert "upto" in Vdk()("datasource", "config", "numbers").output

    def test_config_of_an_unknown_source_is_an_error(self) -> None:
        """Exit code 1, one line with the closest names, no traceback."""
        result = Vdk()("datasource", "config", "numbrs")
        assert result.exit_code == 2
        assert "unknown source 'numbrs'; did you mean 'numbers'?" in result.output
        assert "Traceback" not in result.output

    def test_run_runs_a_flow_file_alone(self, tmp_path: Path) -> None:
        """The other files beside it are no steps; the summary goes where it is asked for."""
        folder = job(tmp_path, {"a.ingest.toml": flow("kept"), "b.ingest.toml": "wrong", "10_x.py": "wrong"})
        summary_file = tmp_path / "summary.json"
        result = Vdk()("datasource", "run", folder / "a.ingest.toml", "--summary", summary_file)
        assert result.exit_code == 0, result.output
        assert len(MemoryDestination.tables("here")["numbers"]) == 5
        assert json.loads(summary_file.read_text("utf-8"))["status"] == "succeeded"

    def test_run_fails_with_exit_code_one_and_tells_in_the_summary(self, tmp_path: Path) -> None:
        """The message names file, place and remedy."""
        folder = job(tmp_path, {"a.toml": flow("kept").replace("upto = 5", "upto = 5, fail = 'away'")})
        summary_file = tmp_path / "summary.json"
        result = Vdk()("datasource", "run", folder / "a.toml", "--summary", summary_file)
        assert result.exit_code == 1
        assert json.loads(summary_file.read_text("utf-8"))["streams"][0]["error"].endswith("the numbers are away")
        job(tmp_path, {"b.toml": flow("kept").replace("upto", "upot")})
        result = Vdk()("datasource", "run", folder / "b.toml")
        assert result.exit_code == 1
        assert "b.toml: sources.src.config: unknown option 'upot'; did you mean 'upto'?" in result.output

    def test_run_prints_what_landed_though_another_flow_could_not_begin(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its source is away; that is the error, and the first flow has landed."""
        away = '[sources.away]\nname = "numbers"\nconfig = { fail = "no connection" }\n'
        text = away + flow("kept") + '[[flows]]\nfrom = "away"\nto = "lake"\nretry_attempts = 1\n'
        result = Vdk()("datasource", "run", job(tmp_path, {"a.toml": text}) / "a.toml")
        assert result.exit_code == 1
        assert "nobody answers" in result.output
        assert re.search(r"src\.numbers +lake\.numbers +succeeded +5 +5", result.output + caplog.text)

    def test_run_of_a_missing_file_is_a_usage_error(self) -> None:
        """As click tells it."""
        assert Vdk()("datasource", "run", "no_such.toml").exit_code == 2


class TestStates:
    """``vdk datasource state show`` and ``reset``."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A flow that has run."""
        made = job(tmp_path, {"a.toml": flow("kept")}) / "a.toml"
        assert Vdk()("datasource", "run", made).exit_code == 0
        return made

    def test_show_tells_how_far_each_stream_has_got(self, file: Path) -> None:
        """As a table, and whole as JSON."""
        assert "numbers" in Vdk()("datasource", "state", "show", file).stdout
        (found,) = json.loads(Vdk()("datasource", "state", "show", file, "-o", "json").stdout)
        assert (found["stream"], found["state"], found["table"]) == ("numbers", {"next": 5}, "numbers")
        assert Vdk()("datasource", "state", "show", file, "--stream", "num*").exit_code == 0

    @pytest.mark.parametrize(
        ("most", "line"), [(20, "src.numbers lake.numbers next 5"), (0, "src.numbers lake.numbers all next 5")]
    )
    def test_show_has_what_a_person_reads(
        self, file: Path, most: int, line: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No version and no identity; one line for a stream that has many partitions."""
        monkeypatch.setattr(state_commands, "MAX_PARTITIONS", most)
        assert Vdk()("datasource", "state", "show", file).stdout.splitlines()[-1].split() == line.split()

    def test_show_of_an_unknown_stream_is_an_error_of_one_line(self, file: Path) -> None:
        """With the closest name, and no traceback."""
        result = Vdk()("datasource", "state", "show", file, "--stream", "numbrs")
        assert result.exit_code == 2
        assert result.stderr.endswith("no stream with a state matches 'numbrs'; did you mean 'numbers'?\n")
        assert "Traceback" not in result.output

    def test_reset_forgets_and_the_next_run_reads_from_the_beginning(self, file: Path) -> None:
        """It tells what it forgot; the rows stay."""
        result = Vdk()("datasource", "state", "reset", file, "--yes", "-o", "json")
        assert result.exit_code == 0
        assert [load["state"] for load in json.loads(result.stdout)] == [{"next": 5}]
        assert result.stderr == ""  # the states are in the JSON
        assert "none was reset" in Vdk()("datasource", "state", "reset", file, "--yes").stdout
        assert Vdk()("datasource", "run", file).exit_code == 0
        assert len(MemoryDestination.tables("here")["numbers"]) == 10
        assert Vdk()("datasource", "state", "reset", file, "--yes").stderr == "1 state was reset.\n"

    def test_reset_asks_first(self, file: Path) -> None:
        """And forgets nothing without a yes."""
        assert Vdk()("datasource", "state", "reset", file).exit_code == 1
        assert json.loads(Vdk()("datasource", "state", "show", file, "-o", "json").stdout)


class TestLooking:
    """``vdk datasource check``, ``discover`` and ``preview``."""

    def test_check_has_a_line_for_each_part(self, tmp_path: Path) -> None:
        """Exit code 0, nothing lands, and VDK's own words about the job are not among them."""
        file = job(tmp_path, {"a.toml": flow("kept")}) / "a.toml"
        result = Vdk()("datasource", "check", file)
        assert result.exit_code == 0, result.output
        assert result.stdout.split("\n")[-5:] == [
            "file a.toml: ok",
            "source src: ok (numbers)",
            "destination lake: ok (memory here)",
            "flow flows[0]: ok (1 stream from src to lake; exactly once, because rows and state commit together in "
            "memory here)",
            "",
        ]
        assert "Job execution result" not in result.output
        assert MemoryDestination.tables("here") == {}

    def test_check_tries_everything_and_fails_with_exit_code_one(self, tmp_path: Path) -> None:
        """As text and as JSON; an ingestion plugin is a destination like any other."""
        text = flow("memory", "x").replace("upto = 5", "upot = 5") + '[[flows]]\nfrom = "src"\nto = "lake"\n'
        file = job(tmp_path, {"a.toml": text}) / "a.toml"
        result = Vdk(IngestIntoMemoryPlugin())("datasource", "check", file)
        assert result.exit_code == 1
        assert "source src: error: a.toml: sources.src.config: unknown option 'upot'" in result.stdout
        assert "destination lake: ok (memory x)" in result.stdout
        assert "flow flows[1]: not checked: source 'src' failed" in result.stdout
        assert "Traceback" not in result.output
        results = json.loads(Vdk(IngestIntoMemoryPlugin())("datasource", "check", file, "-o", "json").stdout.lstrip())
        assert [one["status"] for one in results] == ["ok", "failed", "ok", "skipped", "skipped"]

    def test_check_gives_up_on_a_source_that_hangs(self, tmp_path: Path) -> None:
        """After ``--timeout``."""
        file = job(tmp_path, {"a.toml": flow("kept").replace("upto = 5", "fail = 'hang'")}) / "a.toml"
        result = Vdk()("datasource", "check", file, "--timeout", "50ms")
        assert result.exit_code == 1
        assert "source src: error: source 'src' did not answer within 0.05 s" in result.stdout
        assert Vdk()("datasource", "check", file, "--timeout", "5").exit_code == 2

    def test_discover_tells_streams_and_columns(self, tmp_path: Path) -> None:
        """Of every stream that the flow's patterns choose, as text and as JSON."""
        file = job(tmp_path, {"a.toml": flow("kept").replace('streams = ["numbers"]', "")}) / "a.toml"
        result = Vdk()("datasource", "discover", file)
        assert result.exit_code == 0, result.output
        assert "src.numbers -> lake.numbers (append)" in result.stdout
        assert "note: the columns are inferred from the first 5 rows" in result.stdout
        streams = json.loads(Vdk()("datasource", "discover", file, "--rows", "2", "-o", "json").stdout)
        assert [(one["stream"], one["inferred"], one["write_mode"]) for one in streams] == [
            ("numbers", True, "append"),
            ("words", True, "append"),
        ]
        assert [(one["name"], one["type"]) for one in streams[0]["columns"]] == [("n", "int64"), ("text", "string")]
        assert streams[0]["notes"] == ["the columns are inferred from the first 2 rows"]
        assert MemoryDestination.tables("here") == {}

    def test_discover_tells_errors_in_one_line(self, tmp_path: Path) -> None:
        """With exit code 1, after the streams that could be planned."""
        file = job(tmp_path, {"a.toml": flow("kept").replace("upto = 5", "upto = 5, fail = 'away'")}) / "a.toml"
        result = Vdk()("datasource", "discover", file, "-o", "json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)[0]["error"] == "the numbers are away"
        assert result.stderr == "Error: src.numbers: the numbers are away\n"
        assert Vdk()("datasource", "discover", file).output.count("the numbers are away") == 1

    def test_preview_shows_the_first_rows(self, tmp_path: Path) -> None:
        """Of one stream, as a table and as JSON, ten by default."""
        file = job(tmp_path, {"a.toml": flow("kept", upto=100)}) / "a.toml"
        result = Vdk()("datasource", "preview", file, "numbers")
        assert result.exit_code == 0, result.output
        assert result.stdout.count("number ") == 10
        result = Vdk()("datasource", "preview", file, "numbers", "--rows", "2", "-o", "json")
        assert json.loads(result.stdout) == [{"n": 0, "text": "number 0"}, {"n": 1, "text": "number 1"}]
        assert MemoryDestination.tables("here") == {}

    def test_preview_of_an_unknown_stream_is_an_error_of_one_line(self, tmp_path: Path) -> None:
        """With the closest name; and what a source raises hides its secrets."""
        file = job(tmp_path, {"a.toml": flow("kept").replace('["numbers"]', '["*"]')}) / "a.toml"
        result = Vdk()("datasource", "preview", file, "numbres")
        assert result.exit_code == 2
        assert result.stderr.endswith("flows[0].streams: no stream matches 'numbres'; did you mean 'numbers'?\n")
        text = flow("kept", upto=0).replace("upto = 0", "upto = 0, fail = 'secret', password = 'canary-3f'")
        file = job(tmp_path, {"b.toml": text}) / "b.toml"
        result = Vdk()("datasource", "preview", file, "numbers")
        assert result.exit_code == 1
        assert result.stderr.endswith("Error: RuntimeError: refused ***\n")
        assert "canary-3f" not in result.output


class TestIngestionPlugins:
    def test_rows_go_through_the_plugin_in_lists(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With table, target and collection as VDK gives them; the second run sends only what is new."""
        monkeypatch.setenv("VDK_DATASOURCE_INGEST_ROWS", "2")
        memory = IngestIntoMemoryPlugin()
        vdk = Vdk(memory)
        made = job(tmp_path / "shop", {"10.ingest.toml": flow()})
        assert vdk("run", made).exit_code == 0
        assert [len(payload.payload) for payload in memory.payloads] == [2, 2, 1]
        assert {(payload.destination_table, payload.target) for payload in memory.payloads} == {("numbers", "here")}
        assert all((payload.collection_id or "").startswith("shop|") for payload in memory.payloads)
        job(made, {"10.ingest.toml": flow(upto=7)})
        assert vdk("run", made).exit_code == 0
        assert rows(memory) == list(range(7))

    def test_the_state_is_stored_behind_the_delivery(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plugin that fails at a payload leaves the state before it; the next run delivers the rest."""
        monkeypatch.setenv("VDK_DATASOURCE_BATCH_ROWS", "2")

        class Failing(IngestIntoMemoryPlugin):
            def __init__(self) -> None:
                super().__init__()  # type: ignore[no-untyped-call]  # vdk-core has no types
                self.broken = True

            def ingest_payload(self, payload: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
                if self.broken and len(self.payloads) == 1:
                    raise RuntimeError("the disk is full")
                super().ingest_payload(payload, *args, **kwargs)

        memory = Failing()
        properties = util_plugins.TestPropertiesPlugin()
        vdk = Vdk(memory, properties, default_plugins=False)
        made = job(tmp_path / "shop", {"10.ingest.toml": flow()})
        result = vdk("run", made)
        assert result.exit_code == 1
        assert "src.numbers: RuntimeError: the disk is full" in result.output
        (stored,) = json.loads(properties.properties_client.read_properties("shop", "")[PROPERTY])["states"]
        assert (stored["state"], stored["destination"]) == ({"next": 2}, "memory here")
        memory.broken = False
        assert vdk("run", made).exit_code == 0
        assert rows(memory) == list(range(5))

    def test_other_properties_are_left_alone(self, tmp_path: Path) -> None:
        """States are one property among the job's own."""
        step = "def run(job_input):\n    job_input.set_all_properties({'mine': 1})\n"
        memory, properties = IngestIntoMemoryPlugin(), util_plugins.TestPropertiesPlugin()
        made = job(tmp_path / "shop", {"05.py": step, "10.ingest.toml": flow()})
        assert Vdk(memory, properties, default_plugins=False)("run", made).exit_code == 0
        found = properties.properties_client.read_properties("shop", "")
        assert found["mine"] == 1
        assert PROPERTY in found

    def test_a_damaged_property_is_refused_and_kept(self, tmp_path: Path) -> None:
        """With what to do."""
        properties = util_plugins.TestPropertiesPlugin()
        properties.properties_client.write_properties("shop", "", {PROPERTY: "{"})
        made = job(tmp_path / "shop", {"10.ingest.toml": flow()})
        result = Vdk(IngestIntoMemoryPlugin(), properties, default_plugins=False)("run", made)
        assert result.exit_code == 1
        assert "remove it to read from the beginning" in result.output
        assert properties.properties_client.read_properties("shop", "") == {PROPERTY: "{"}

    def test_properties_in_a_file_keep_the_state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """vdk-properties-fs outlives the run, also beside VDK's own backend in memory."""
        monkeypatch.setenv("VDK_FS_PROPERTIES_DIRECTORY", str(tmp_path))
        memory = IngestIntoMemoryPlugin()
        made = job(tmp_path / "shop", {"10.ingest.toml": flow()})
        for _ in range(2):
            result = Vdk(memory, fs_properties_plugin, default_plugins=False)("run", made)
            assert result.exit_code == 0, result.output
        assert rows(memory) == list(range(5))
        assert PROPERTY in (tmp_path / "vdk_data_jobs.json").read_text("utf-8")
        assert not (made / ".vdk-datasource-state").exists()

    @pytest.mark.parametrize("store", ["local file", "properties"])
    def test_a_renamed_flow_goes_on_and_a_renamed_job_begins_anew(
        self, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """States beside a destination belong to the job's name, and neither to the flow file's nor to the flow's."""
        monkeypatch.setenv("VDK_FS_PROPERTIES_DIRECTORY", str(tmp_path))
        monkeypatch.setenv("VDK_DATASOURCE_STATE_FOLDER", str(tmp_path / "states"))
        memory = IngestIntoMemoryPlugin()
        plugins = [memory, *([fs_properties_plugin] if store == "properties" else [])]

        def run(made: Path) -> None:
            result = Vdk(*plugins, default_plugins=False)("run", made)
            assert result.exit_code == 0, result.output

        made = job(tmp_path / "shop", {"10.ingest.toml": flow()})
        run(made)
        (made / "10.ingest.toml").rename(made / "20_other.ingest.toml")
        job(made, {"20_other.ingest.toml": 'name = "renamed"\n' + flow(upto=7)})
        run(made)
        assert rows(memory) == list(range(7))
        run(made.rename(tmp_path / "store"))
        assert rows(memory) == [*range(7), *range(7)]

    @pytest.mark.parametrize("store", ["local file", "properties"])
    def test_another_source_id_begins_anew_beside_the_old_states(
        self, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old states stay, so that going back to the old id goes on."""
        monkeypatch.setenv("VDK_FS_PROPERTIES_DIRECTORY", str(tmp_path))
        memory = IngestIntoMemoryPlugin()
        plugins = [memory, *([fs_properties_plugin] if store == "properties" else [])]
        for source, expected in (("src", 5), ("other", 10), ("src", 10)):
            text = flow().replace("sources.src", f"sources.{source}").replace('"src"', f'"{source}"')
            made = job(tmp_path / "shop", {"10.ingest.toml": text})
            assert Vdk(*plugins, default_plugins=False)("run", made).exit_code == 0
            assert len(rows(memory)) == expected

    @pytest.mark.parametrize("default_type", [None, "memory"])
    def test_properties_in_memory_are_not_persistent(
        self,
        default_type: str | None,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The state goes to a file beside the flow file, and one log line says where."""
        if default_type is not None:
            monkeypatch.setenv("VDK_PROPERTIES_DEFAULT_TYPE", default_type)
        memory = IngestIntoMemoryPlugin()
        made = job(tmp_path / "shop", {"10.ingest.toml": flow()})
        with caplog.at_level(logging.INFO):
            for _ in range(2):
                result = Vdk(memory, default_plugins=False)("run", made)
                assert result.exit_code == 0, result.output
        file = made / ".vdk-datasource-state" / "shop.json"
        assert json.loads(file.read_text("utf-8"))["states"][0]["state"] == {"next": 5}
        assert (result.output + caplog.text).count(f"are stored in {file}") >= 1
        assert rows(memory) == list(range(5))

    def test_commands_change_the_states_in_the_file(self, tmp_path: Path) -> None:
        """The same store as that of the run; a dry run does not create it."""
        memory = IngestIntoMemoryPlugin()
        file, states = job(tmp_path, {"a.toml": flow()}) / "a.toml", tmp_path / "states.json"
        vdk = Vdk(memory, default_plugins=False)
        assert vdk("datasource", "run", file, "--dry-run").exit_code == 0
        assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]
        assert vdk("datasource", "run", file).exit_code == 0
        assert vdk("datasource", "state", "export", file, states).exit_code == 0
        for change in (
            ("set", file, '{"next": 3}', "--stream", "numbers"),
            ("import", file, states),
        ):
            assert vdk("datasource", "state", *change, "--yes").exit_code == 0
            assert vdk("datasource", "run", file).exit_code == 0
        assert rows(memory) == [0, 1, 2, 3, 4, 3, 4]
        done = vdk("datasource", "state", "reset", file)
        assert "numbers will be read again from the beginning; in lake, table 'numbers' keeps its rows" in done.stderr

    def test_the_folder_of_states_can_be_configured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By a configuration key."""
        monkeypatch.setenv("VDK_DATASOURCE_STATE_FOLDER", str(tmp_path / "states"))
        made = job(tmp_path / "shop", {"10.ingest.toml": flow()})
        assert Vdk(IngestIntoMemoryPlugin(), default_plugins=False)("run", made).exit_code == 0
        assert (tmp_path / "states" / "shop.json").exists()

    def test_processors_run_around_each_payload(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In their order; they may change rows and table, and learn of failures."""
        order: list[str] = []

        class Processor(IIngesterPlugin):
            def __init__(self, name: str) -> None:
                self.name = name

            @hookimpl
            def initialize_job(self, context: JobContext) -> None:
                context.ingester.add_ingester_factory_method(self.name, lambda: self)

            def pre_ingest_process(self, payload: Any, **given: Any) -> Any:  # type: ignore[override]  # all by keyword
                order.append(f"pre {self.name} {given['destination_table']} {given['method']}")
                changed = {IIngesterPlugin.DESTINATION_TABLE_KEY: "elsewhere"} if self.name == "two" else {}
                return [{**row, self.name: True} for row in payload], {IIngesterPlugin.UPDATED_DYNAMIC_PARAMS: changed}

            def post_ingest_process(self, payload: Any, **given: Any) -> Any:  # type: ignore[override]  # all by keyword
                order.append(f"post {self.name} {given['exception']}")
                return {}

        monkeypatch.setenv("VDK_INGEST_PAYLOAD_PREPROCESS_SEQUENCE", "one,two")
        monkeypatch.setenv("VDK_INGEST_PAYLOAD_POSTPROCESS_SEQUENCE", "one")
        memory = IngestIntoMemoryPlugin()
        made = job(tmp_path / "shop", {"10.ingest.toml": flow(upto=1)})
        result = Vdk(memory, Processor("one"), Processor("two"))("run", made)
        assert result.exit_code == 0, result.output
        assert memory.payloads[0].destination_table == "elsewhere"
        assert memory.payloads[0].payload == [{"n": 0, "text": "number 0", "one": True, "two": True}]
        assert order == ["pre one numbers memory", "pre two numbers memory", "post one None"]

    def test_method_and_target_default_to_vdks_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A flow without them goes where the job's other data goes."""
        monkeypatch.setenv("VDK_INGEST_METHOD_DEFAULT", "MEMORY")
        monkeypatch.setenv("VDK_INGEST_TARGET_DEFAULT", "the default")
        text = flow().replace('method = "memory"', "").replace('target = "here"', "")
        memory = IngestIntoMemoryPlugin()
        result = Vdk(memory)("run", job(tmp_path / "shop", {"10.ingest.toml": text}))
        assert result.exit_code == 0, result.output
        assert memory.payloads[0].target == "the default"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ('method = "memroy"', "destinations.lake.method: unknown method 'memroy'; did you mean 'memory'?"),
            ("", "destinations.lake: the option 'method' is missing, and INGEST_METHOD_DEFAULT is not set"),
        ],
    )
    def test_an_unknown_method_is_told_with_the_closest(self, change: str, message: str, tmp_path: Path) -> None:
        """Native destinations and ingestion plugins together."""
        text = flow().replace('method = "memory"', change)
        result = Vdk(IngestIntoMemoryPlugin())("run", job(tmp_path / "shop", {"10.ingest.toml": text}))
        assert result.exit_code == 1
        assert message in result.output

    def test_a_replaced_table_is_refused(self, tmp_path: Path) -> None:
        """Ingestion plugins can only append."""
        text = flow().replace('"append"', '"replace"')
        result = Vdk(IngestIntoMemoryPlugin())("run", job(tmp_path / "shop", {"10.ingest.toml": text}))
        assert result.exit_code == 1
        assert "memory here does not support write_mode = 'replace'" in result.output

    @pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
    def test_real_plugins_take_every_row_once(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """vdk-sqlite and vdk-duckdb, over two runs."""
        database = tmp_path / "lake.db"
        connect: Any = sqlite3.connect if kind == "sqlite" else duckdb.connect
        db = connect(str(database))
        db.execute("CREATE TABLE numbers (n INTEGER, text VARCHAR)")
        db.close()
        monkeypatch.setenv("VDK_DUCKDB_DATABASE", str(database))
        vdk = Vdk(sqlite_plugin if kind == "sqlite" else duckdb_plugin)
        for upto in (30, 40):
            made = job(tmp_path / "shop", {"10.ingest.toml": flow(kind, str(database), upto)})
            result = vdk("run", made)
            assert result.exit_code == 0, result.output
        db = connect(str(database))
        assert db.execute("SELECT n, text FROM numbers ORDER BY n").fetchall() == [
            (n, f"number {n}") for n in range(40)
        ]
        db.close()


class TestConfiguration:
    def test_every_option_is_a_key_with_the_same_default(self) -> None:
        """The keys are spelled out, for speed; this holds the two together."""
        assert {name: default for name, (default, _) in KEYS.items()} == {
            field.name: field.default for field in fields(Options)
        }

    def test_the_keys_are_shown_and_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And a wrong value is the user's error, with the key's name."""
        output = Vdk()("config-help").output
        assert all(f"datasource_{name}" in output for name in (*KEYS, "state_folder", "ingest_rows"))
        made = job(tmp_path / "shop", {"10.ingest.toml": flow("kept")})
        monkeypatch.setenv("VDK_DATASOURCE_ON_ERROR", "panic")
        result = Vdk()("run", made)
        assert result.exit_code == 1
        assert "DATASOURCE_ON_ERROR = 'panic': it must be continue or stop" in result.output
        monkeypatch.setenv("VDK_DATASOURCE_ON_ERROR", "stop")
        monkeypatch.setenv("VDK_DATASOURCE_BATCH_ROWS", "0")
        assert "DATASOURCE_BATCH_ROWS = 0: it must be more than 0" in Vdk()("run", made).output

    def test_secrets_and_properties_are_followed(self, tmp_path: Path) -> None:
        """``${secret:…}`` and ``${property:…}`` read the job's own."""
        step = (
            "def run(job_input):\n    job_input.set_all_properties({'upto': 3})\n"
            "    job_input.set_all_secrets({'password': 'canary-91'})\n"
        )
        text = flow("kept").replace("upto = 5", 'upto = "${property:upto}", password = "${secret:password}"')
        result = Vdk()("run", job(tmp_path / "shop", {"05.py": step, "10.ingest.toml": text}))
        assert result.exit_code == 0, result.output
        assert len(MemoryDestination.tables("here")["numbers"]) == 3


class TestProcesses:
    """The real command and plain Python, each in a process of its own, with the source installed."""

    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path: Path) -> None:
        install(tmp_path / "site")

    def test_vdk_run(self, tmp_path: Path) -> None:
        """Two runs, the second of which lands only what is new, and exit code 1 for a mistake."""
        made = job(
            tmp_path / "shop",
            {
                "10.ingest.toml": flow("file", str(tmp_path / "out.db")).replace('"file"', '"sqlite"'),
                "05.sql": "CREATE TABLE IF NOT EXISTS numbers (n INTEGER, text TEXT)",
            },
        )
        settings = {"VDK_DB_DEFAULT_TYPE": "sqlite", "VDK_SQLITE_FILE": str(tmp_path / "out.db")}
        for upto in (5, 8):
            job(made, {"10.ingest.toml": flow("sqlite", str(tmp_path / "out.db"), upto)})
            done = process("-m", "vdk.internal.cli_entry", "run", made, path=tmp_path / "site", **settings)
            assert done.returncode == 0, done.stdout + done.stderr
        db = sqlite3.connect(tmp_path / "out.db")
        assert [n for (n,) in db.execute("SELECT n FROM numbers ORDER BY n")] == list(range(8))
        db.close()
        job(made, {"10.ingest.toml": flow("nothing")})
        settings["VDK_JOB_RUN_SUMMARY_FILE_PATH"] = str(tmp_path / "summary.json")
        done = process("-m", "vdk.internal.cli_entry", "run", made, path=tmp_path / "site", **settings)
        assert done.returncode == 1
        assert "unknown method 'nothing'" in done.stdout + done.stderr
        assert json.loads((tmp_path / "summary.json").read_text("utf-8"))["blamee"] == "User Error"
        job(made, {"10.ingest.toml": flow("kept").replace("upto = 5", "fail = 'no connection'")})
        settings["VDK_DATASOURCE_RETRY_DELAY"] = "0.001"
        done = process("-m", "vdk.internal.cli_entry", "run", made, path=tmp_path / "site", **settings)
        assert done.returncode == 1
        assert json.loads((tmp_path / "summary.json").read_text("utf-8"))["blamee"] == "Platform error"

    def test_plain_python_needs_no_vdk(self, tmp_path: Path) -> None:
        """``run_flows(None, …)`` lands rows, and nothing of vdk-core is loaded."""
        file = job(tmp_path, {"a.toml": flow("kept")}) / "a.toml"
        code = (
            "import sys\nfrom vdk.plugin.datasource_base import run_flows\n"
            "done = run_flows(None, sys.argv[1])\n"
            "print(done.streams[0].rows_landed, [m for m in sys.modules if m.startswith(('vdk.internal', 'vdk.api'))])"
        )
        done = process("-c", code, file, path=tmp_path / "site")
        assert done.stdout.strip() == "5 []", done.stderr
