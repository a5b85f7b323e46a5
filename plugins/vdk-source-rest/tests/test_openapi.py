"""A flow file from an OpenAPI document: streams, keys, pages and parents, and comments for what it does not say."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pytest_httpserver import HTTPServer
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from vdk.plugin.datasource_base import plugin_entry as base_entry
from vdk.plugin.datasource_base.contract import ConfigurationError, decode_config
from vdk.plugin.ingest_arrow import plugin_entry as arrow_entry
from vdk.plugin.source_rest import RestConfig, RestSource
from vdk.plugin.source_rest.openapi import config_text

# vdk-core adds its options to one command, which lives as long as the process, in each of its runs.
pytestmark = pytest.mark.filterwarnings("ignore:The parameter .* is used more than once")


def listed(item: str, *params: Any, envelope: dict[str, Any] | None = None) -> dict[str, Any]:
    array = {"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}}
    schema = array if envelope is None else {"properties": {"data": array, **envelope}}
    content = {"application/json": {"schema": schema}}
    return {"get": {"parameters": list(params), "responses": {"200": {"content": content}}}}


def param(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}, **more}


DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://{host}/v1", "variables": {"host": {"default": "api.example.com"}}}],
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "name": "X-Key", "in": "header"}},
        "schemas": {
            "Repo": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"updated_at": {}}}]},
            "Base": {"properties": {"id": {}, "name": {}}},
            "Plain": {"properties": {"text": {}}},
        },
    },
    "paths": {
        "/repos": listed("Repo", param("page"), param("per_page", schema={"maximum": 50}), param("since")),
        "/repos/{id}": {"get": {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}}},
        "/repos/{id}/issues": listed("Repo", param("cursor"), param("limit"), envelope={"next_cursor": {}}),
        "/repos/{id}/issues/{issue-id}/notes": listed("Plain", param("kind", required=True, example="all")),
        "/users/{user}/keys": listed("Plain"),
        "/search": listed("Repo", param("q", required=True)),
    },
}


def test_a_document_becomes_a_configuration() -> None:
    """It is valid, and the lines that need a value are comments."""
    text = config_text(DOCUMENT, "api")
    config = tomllib.loads(text)["sources"]["api"]["config"]
    assert config["base_url"] == "https://api.example.com/v1"
    assert config["auth"] == {"type": "api_key", "name": "X-Key", "value": "${env:API_KEY}", "in": "header"}
    repos, issues, notes = config["streams"]
    page = {"type": "page", "size_param": "per_page", "size": 50}
    assert repos == {"name": "repos", "primary_key": "id", "paginator": page}
    assert issues == {
        "name": "issues",
        "path": "repos/{id}/issues",
        "records": "data",
        "primary_key": "id",
        "paginator": {"type": "cursor", "param": "cursor", "path": "next_cursor", "size_param": "limit", "size": 100},
        "parent": {"stream": "repos", "bind": {"id": "id"}},
    }
    assert notes["parent"] == {"stream": "issues", "bind": {"issue_id": "id", "id": "repos:id"}}
    assert notes["params"] == {"kind": "all"}
    assert '# Only what is new, if the API filters by it: cursor = { field = "updated_at", param = "since" }' in text
    assert '# It needs values: slices = [{ user = "..." }]' in text
    assert '# It needs a parameter: params = { q = "..." }' in text
    RestSource(decode_config(config, RestConfig, location="f"))


def test_swagger_2_names_its_host() -> None:
    """The older form has host, basePath and schema in other places."""
    schema = {"type": "array", "items": {"properties": {"uuid": {}}}}
    document = {
        "swagger": "2.0",
        "host": "api.example.com",
        "basePath": "/v2",
        "securityDefinitions": {"basic": {"type": "basic"}},
        "paths": {"/things": {"get": {"responses": {200: {"schema": schema}}}}},
    }
    config = tomllib.loads(config_text(document, "api"))["sources"]["api"]["config"]
    assert (config["base_url"], config["auth"]["type"]) == ("https://api.example.com/v2", "basic")
    assert config["streams"] == [{"name": "things", "primary_key": "uuid"}]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"paths": {}}, "it is not an OpenAPI document"),
        ({"openapi": "3.0.0", "paths": {}}, "no path of the document has a GET that returns a list"),
        ({"openapi": "3.0.0", "paths": {"/a": {"get": {"$ref": "#/paths/~1a/get"}}}}, "no path of the document"),
    ],
)
def test_a_document_without_lists_is_refused(document: Any, problem: str) -> None:
    """Also one whose references lead in a circle."""
    with pytest.raises(ConfigurationError, match=problem):
        config_text(document, "api")


def test_the_command_writes_the_flow_file(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file passes ``check``, and a run lands what the API has; nothing is replaced, and nobody is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    monkeypatch.setenv("API_KEY", "k3y-of-it")
    things = listed("Repo", param("page"), param("per_page", schema={"maximum": 50}))
    document = DOCUMENT | {"servers": [{"url": httpserver.url_for("/v1")}], "paths": {"/things": things}}
    Path("api.json").write_text(json.dumps(document), "utf-8")
    key = {"X-Key": "k3y-of-it"}
    httpserver.expect_request(
        "/v1/things", query_string={"page": "2", "per_page": "50"}, headers=key
    ).respond_with_json([])
    httpserver.expect_request("/v1/things", headers=key).respond_with_json([{"id": 1, "name": "a"}])
    vdk = CliEntryBasedTestRunner(base_entry, arrow_entry)
    written = vdk.invoke(["datasource", "init", "rest", "--openapi", "api.json"])
    assert (written.exit_code, httpserver.log) == (0, []), written.output
    assert "api.toml is written" in written.output
    flow = tomllib.loads(Path("api.toml").read_text("utf-8"))
    assert flow["flows"] == [{"from": "api", "to": "lake"}]
    assert [stream["name"] for stream in flow["sources"]["api"]["config"]["streams"]] == ["things"]
    for command in ("check", "run"):
        done = vdk.invoke(["datasource", command, "api.toml"])
        assert done.exit_code == 0, done.output
    with duckdb.connect("api.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT id, name FROM things").fetchall() == [(1, "a")]
    again = vdk.invoke(["datasource", "init", "rest", "--openapi", "api.json"])
    assert again.exit_code == 2
    assert "'api.toml' exists already, and is not replaced; write --out another.toml" in again.stderr
