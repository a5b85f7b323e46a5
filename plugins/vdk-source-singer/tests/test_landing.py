"""What lands in a database: streams apart and together, whatever is killed, with nothing that was not selected."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import (
    config_of,
    folder_tap,
    message,
    payloads_of,
    rows_of,
    schema,
    scripted,
    source_of,
    write_stream,
)
from vdk.plugin.datasource_base import ConfigurationError, FlowFailedError, StateError, run_flows
from vdk.plugin.datasource_base.contract import DataSourceState
from vdk.plugin.source_singer.errors import TapError
from vdk.plugin.source_singer.source import SingerSource

ORDERS = [{"id": number, "changed": number, "name": f"n{number}", "secret": "hush"} for number in range(40)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder_tap(folder)
    write_stream(folder, "orders", ORDERS)
    write_stream(folder, "items", ORDERS[:7])
    return folder


def options_of(data: Path, config: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    given = {"folder": str(data), "page": 10, **(config or {})}
    return {"tap": "tap-folder", "executable": str(data / "tap-folder"), "config": given, "batch_rows": 10, **options}


def run(options: dict[str, Any], **flow: Any) -> Any:
    return run_flows(
        None,
        {
            "sources": {"tap": {"name": "singer", "config": options}},
            "destinations": {"lake": {"method": "arrow", "target": "duckdb:///lake.duckdb"}},
            "flows": [{"from": "tap", "to": "lake", "batch_rows": 10, **flow}],
        },
    )


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect("lake.duckdb") as lake:
        return lake.execute(sql).fetchall()


@pytest.mark.parametrize("together", [False, True])
def test_a_tap_that_is_killed_goes_on_from_its_state(data: Path, together: bool) -> None:
    """Each attempt is killed after 25 records of a stream, and its last state is behind 20 of them."""
    run(options_of(data, {"dies_after": 25}, together=together), retry_for="30s")
    for table, count in (("orders", 40), ("items", 7)):
        assert query(f"SELECT count(*), count(DISTINCT id), sum(id) FROM {table}") == [
            (count, count, sum(range(count)))
        ]


@pytest.mark.parametrize("together", [False, True])
def test_what_is_not_selected_never_lands(data: Path, together: bool) -> None:
    """Even if the tap sends it."""
    options = options_of(data, {"ignores_selection": True}, select=["orders", "!*.secret"], together=together)
    run(options)
    assert [name for (name, *_) in query("DESCRIBE orders")] == ["id", "changed", "name", "total", "at", "tags"]
    assert [name for (name, *_) in query("SHOW TABLES") if not name.startswith("_vdk")] == ["orders"]


def test_a_stream_that_is_read_whole_is_replaced(data: Path) -> None:
    options = options_of(data, {"method": "FULL_TABLE"}, select=["orders"])
    run(options)
    write_stream(data, "orders", ORDERS[5:8])
    run(options)
    assert query("SELECT id FROM orders ORDER BY id") == [(5,), (6,), (7,)]


def test_metadata_changes_how_a_stream_is_read(data: Path) -> None:
    """As Meltano's extra does; a pattern that matches nothing is an error."""
    metadata = {"ord*": {"replication-method": "FULL_TABLE"}}
    source = source_of(**options_of(data, metadata=metadata))
    assert {stream.name: stream.incremental for stream in source.streams()} == {"items": True, "orders": False}
    with pytest.raises(ConfigurationError, match="metadata: 'order' matches no stream; did you mean 'orders'"):
        source_of(**options_of(data, metadata={"order": {}})).streams()


def test_a_new_version_replaces_rows_in_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for version, numbers in ((1, [1, 2]), (2, [2, 3])):
        lines = [schema({"id": {"type": "integer"}})]
        lines += [message("RECORD", record={"id": number}, version=version) for number in numbers]
        lines += [message("ACTIVATE_VERSION", version=version), message("STATE", None, value={"v": version})]
        path = scripted(tmp_path, *lines).config.executable
        run({"tap": "tap-test", "executable": str(path), "together": True, "discover": False})
        assert [number for (number,) in query("SELECT id FROM t ORDER BY id")] == numbers


def test_together_a_table_without_a_key_is_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [schema({"id": {"type": "integer"}}, keys=()), message("RECORD", record={"id": 1})]
    path = scripted(tmp_path, *lines, message("STATE", None, value={"at": 1})).config.executable
    options = {"tap": "tap-test", "executable": str(path), "together": True, "discover": False}
    run(options)
    run(options)
    assert query("SELECT id FROM t") == [(1,), (1,)]
    run(options, write_mode="replace")
    assert query("SELECT id FROM t") == [(1,)]


def test_streams_start_from_the_state_of_another_system(data: Path) -> None:
    (data / "state.json").write_text(json.dumps({"singer_state": {"bookmarks": {"orders": {"changed": 35}}}}), "utf-8")
    options = options_of(data, select=["orders"], state=str(data / "state.json"))
    assert run(options).streams[0].rows_read == 5
    assert run(options).streams[0].rows_read == 1, "its own state counts from then on"


OLD = {"id": {"inclusion": "automatic"}, "name": {"selected": False}, "secret": {"inclusion": "unsupported"}}


def test_a_catalog_file_selects_and_old_taps_get_properties(data: Path) -> None:
    catalog = {"streams": [{"tap_stream_id": "orders", "schema": {"selected": True, "properties": OLD}}]}
    (data / "catalog.json").write_text(json.dumps(catalog), "utf-8")
    source = source_of(**options_of(data, catalog=str(data / "catalog.json"), properties=True, discover=False))
    (stream,) = source.streams()
    assert stream.incremental is False, "nothing is known about it"
    declared = stream.schema()
    assert declared is not None
    assert declared.fields.names == ["id"]
    assert sum(payload.data.num_rows for payload in stream.read({}) if payload.data is not None) == 40  # type: ignore[union-attr]


def test_a_tap_that_ignores_its_catalog_is_read_once_for_each_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each process writes all streams, and each stream takes its own; one that no catalog has is an error."""
    described = {"type": "object", "properties": {"id": {"type": "integer"}}}
    catalog = {"streams": [{"tap_stream_id": name, "schema": described} for name in ("t", "u")]}
    (tmp_path / "catalog.json").write_text(json.dumps(catalog), "utf-8")
    lines = [schema({"id": {"type": "integer"}}, stream=name) for name in ("t", "u")]
    lines += [message("RECORD", name, record={"id": number}) for number, name in enumerate("tutu")]
    options: dict[str, Any] = {"catalog": str(tmp_path / "catalog.json"), "together": False}
    source = scripted(tmp_path, *lines, **options)
    assert [row["id"] for row in rows_of(payloads_of(source, "t"))] == [0, 2]
    assert [row["id"] for row in rows_of(payloads_of(source, "u"))] == [1, 3]
    assert "write together = true" in caplog.text
    source = scripted(tmp_path, *lines, schema({"id": {}}, stream="v"), **options)
    with pytest.raises(TapError, match=r"the stream 'v', which its catalog does not have; .* together = true"):
        payloads_of(source, "t")


def test_errors_name_the_stream_the_option_and_the_remedy(data: Path, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"select": ["order.*"]}, r"select: 'order.\*' matches nothing; did you mean 'orders"),
        ({"select": ["orders.*", "!orders.nam"]}, "'!orders.nam' matches nothing; did you mean 'orders.name'"),
        ({"select": ["!*"]}, r'no stream is selected; write, for example, select = \["items.\*"\]'),
        ({"config": {"method": "LOG_BASED"}}, "2 streams are LOG_BASED .*; write together = true"),
        ({"config": {"method": "WEEKLY"}}, "'WEEKLY', expected one of .*FULL_TABLE"),
        ({"discover": False}, "discover = false: .*; write together = true"),
        ({"discover": False, "together": True, "select": ["a"]}, "discover = false has none; remove select"),
        ({"venv": str(tmp_path)}, "executable and venv exclude each other"),
        ({"python": "python3"}, "python needs pip_url"),
        ({"types": {"orders.total": "money"}}, "'money' is not a column type"),
        ({"types": {"total": "text"}}, '"stream.property" = "text"'),
        ({"catalog": str(tmp_path / "none.json")}, "none.json cannot be read: .*tap-folder --discover > none.json"),
        ({"executable": str(tmp_path / "none")}, "none' is not a program"),
        ({"executable": None, "tap": "no-such-tap"}, 'not on the PATH; write pip_url = "no-such-tap"'),
    ]
    for options, error in cases:
        with pytest.raises(ConfigurationError, match=error):
            source_of(**options_of(data, options.pop("config", None)) | options).streams()
    metadata = {"orders": {"replication-key": "name"}}
    with pytest.raises(ConfigurationError, match=r'add "orders.name" to select, or write metadata\.orders'):
        source_of(**options_of(data, metadata=metadata, select=["orders.id"])).streams()


def test_a_failing_stream_lets_the_others_land(data: Path) -> None:
    (data / "orders.jsonl").write_text("not JSON\n", "utf-8")
    with pytest.raises(FlowFailedError, match="tap-folder ended with the exit code 1"):
        run(options_of(data))
    assert query("SELECT count(*) FROM items") == [(7,)]


def test_tokens_are_in_no_log_and_no_repr(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    options = options_of(data, {"api_token": "t0ken-value", "auth": {"client_secret": "s3cret-value"}})
    source = source_of(**options)
    source.check()
    assert "INFO reading" not in caplog.text, "the tap's own level becomes that of the record"
    assert "reading" in caplog.text
    for text in (caplog.text, repr(source.config), source.identity()):
        assert "t0ken-value" not in text
        assert "s3cret-value" not in text
    assert source.config.tap_options()["auth"] == {"client_secret": "s3cret-value"}
    assert list(Path(data).parent.glob("vdk-singer-*")) == []


def test_the_identity_is_where_the_data_is(tmp_path: Path) -> None:
    def identity(**config: Any) -> str:
        return SingerSource(config_of(config=config, folder=str(tmp_path))).identity()

    assert identity() == "singer:tap-test"
    assert identity(host="db", port=5, password="x", start_date="2026") == "singer:tap-test?host=db&port=5"
    assert identity(url="https://me:secret@host/a?key=1") == "singer:tap-test?url=https://host/a"
    assert identity(batch_config={"storage": {"root": "file:///b"}}) == "singer:tap-test"
    assert identity(files=[{"path": "a.csv"}]) == f"singer:tap-test?files.0.path={tmp_path}/a.csv"


def test_a_stream_can_be_read_in_another_process_and_checks_its_state(data: Path) -> None:
    source = source_of(**options_of(data))
    source.connect(DataSourceState())
    stream = pickle.loads(pickle.dumps(source.streams()[0]))
    assert any(payload.data is not None for payload in stream.read({}))
    with pytest.raises(StateError, match="state reset"):
        stream.check_state("", {"v": 1})
