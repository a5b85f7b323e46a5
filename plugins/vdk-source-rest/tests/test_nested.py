"""Lists of records as tables of their own, from an API: in each run, in a range, and what cannot have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pytest_httpserver import HTTPServer
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner
from werkzeug import Request

from support import Api
from vdk.plugin.datasource_base import plugin_entry as base_entry
from vdk.plugin.datasource_base import read as read_stream
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import ConfigurationError, FlowFailedError
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.runtime.scope import RunScope
from vdk.plugin.ingest_arrow import plugin_entry as arrow_entry

# vdk-core adds its options to one command, which lives as long as the process, in each of its runs.
pytestmark = pytest.mark.filterwarnings("ignore:The parameter .* is used more than once")
Make = Callable[..., Any]
ITEMS: dict[str, Any] = {"name": "items", "primary_key": "id", "nested": "tables"}
CURSOR = {"cursor": {"field": "meta.at", "type": "integer", "param": "since"}}


def flow(url: str, folder: Path, stream: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "sources": {"api": {"name": "rest", "config": {"base_url": url, "streams": [stream]}}},
        "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{folder / 'lake.duckdb'}"}},
        "flows": [{"from": "api", "to": "lake", **more}],
    }


def landed(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "lake.duckdb"), read_only=True) as lake:
        return lake.execute(sql).fetchall()


def test_lists_are_tables(httpserver: HTTPServer, tmp_path: Path) -> None:
    """Objects are columns, also of items; a changed record has its own items only, also if it is read by a range."""
    items: list[Any] = [
        {"id": 1, "meta": {"at": 1}, "lines": [{"sku": "a", "price": {"eur": 1.5}}, {"sku": "b"}], "box": {"of": [7]}},
        {"id": 2, "meta": {"at": 2}, "lines": [{"sku": "c"}]},
    ]
    api = Api(httpserver, lambda asked: [row for row in items if row["meta"]["at"] >= int(asked.args.get("since", 0))])
    made = flow(api.url, tmp_path, {**ITEMS, **CURSOR})
    run_flows(None, made)
    lines = "SELECT items__id, lines__position, sku, price__eur FROM items__lines ORDER BY ALL"
    assert landed(tmp_path, lines) == [(1, 0, "a", 1.5), (1, 1, "b", None), (2, 0, "c", None)]
    assert landed(tmp_path, "SELECT items__id, value FROM items__box__of") == [(1, 7)]
    assert landed(tmp_path, "SELECT * FROM items ORDER BY ALL") == [(1, 1), (2, 2)]
    items[0] = {"id": 1, "meta": {"at": 3}, "lines": [{"sku": "d"}]}
    run_flows(None, made)
    assert landed(tmp_path, lines) == [(1, 0, "d", None), (2, 0, "c", None)]
    assert landed(tmp_path, "SELECT value FROM items__box__of") == []
    items[1]["lines"] = []
    execute(made, Environment(scope=RunScope(since="2", until="3")))
    assert landed(tmp_path, lines) == [(1, 0, "d", None)]


def test_partitions_land_their_own_items(httpserver: HTTPServer, tmp_path: Path) -> None:
    """Several in one commit: the items of each record are those of its partition, and change with it."""
    at = [1]

    def find(asked: Request) -> Any:
        x = int(asked.path.rpartition("/")[2])
        return [{"id": x * 10 + n, "meta": {"at": at[0]}, "lines": [{"sku": at[0]}] * (x + n)} for n in range(2)]

    api = Api(httpserver, find)
    made = flow(api.url, tmp_path, {**ITEMS, **CURSOR, "path": "items/{x}", "slices": [{"x": x} for x in range(8)]})
    counts = "SELECT items__id, count(*), max(sku), min(sku) FROM items__lines GROUP BY 1 ORDER BY 1"
    for at[0] in (1, 2):
        run_flows(None, made)
        expected = [(x * 10 + n, x + n, at[0], at[0]) for x in range(8) for n in range(2) if x + n]
        assert landed(tmp_path, counts) == expected


def test_commands_show_the_tables(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that look at a flow without its destination as well, and what undoes a run says why it cannot."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    api = Api(httpserver, lambda _: [{"id": 1, "meta": {"at": 1}, "lines": [{"sku": "a"}]}])
    Path("flow.toml").write_text(
        f"""
        [sources.api]
        name = "rest"
        [sources.api.config]
        base_url = "{api.url}"
        nested = "tables"
        streams = [{{ name = "items", primary_key = "id", cursor = {{ field = "meta.at", type = "integer" }} }}]
        [destinations.lake]
        method = "arrow"
        target = "duckdb:///lake.duckdb"
        [[flows]]
        from = "api"
        to = "lake"
        metadata_columns = ["run_id"]
        """,
        "utf-8",
    )
    vdk = CliEntryBasedTestRunner(base_entry, arrow_entry)
    for command in ("check", "discover", "preview", "run"):
        done = vdk.invoke(["datasource", command, "flow.toml", *(["items"] if command == "preview" else [])])
        assert done.exit_code == 0, done.output
        assert command != "preview" or "items__lines:" in done.output
    Path("flow.toml").write_text(Path("flow.toml").read_text("utf-8") + 'write_mode = "append"\n', "utf-8")
    ((run,),) = landed(tmp_path, "SELECT _vdk_run_id FROM items__lines")
    undone = vdk.invoke(["datasource", "undo", "flow.toml", run])
    assert undone.exit_code == 1
    assert "the lists in its rows have landed in tables of their own, whose rows would stay" in undone.stderr


def test_what_has_one_table_refuses_lists(httpserver: HTTPServer, tmp_path: Path) -> None:
    """What reads one stream for a program, for Spark or for CloudQuery."""
    api = Api(httpserver, lambda _: [{"id": 1, "lines": [1]}])
    with (
        pytest.raises((ConfigurationError, FlowFailedError), match="and read takes one table of a stream"),
        read_stream(flow(api.url, tmp_path, ITEMS), "items") as reader,
    ):
        list(reader)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"nested": "tables"},
            r'items\.nested: .* it has none; set primary_key = "id", or nested = "flatten"',
        ),
        ({"nested_depth": 2}, r'nested_depth: it is for nested = "flatten" and "tables"'),
    ],
)
def test_options_that_do_not_fit(source: Make, options: Any, problem: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", {"name": "items", **options})
