"""CloudQuery's configuration files as flows: what becomes what, what is refused, and what may be printed."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import Vdk
from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.datasource_base.parts.flow.cloudquery import read_flow
from vdk.plugin.datasource_base.parts.flow.file import load_flow
from vdk.plugin.datasource_base.parts.flow.hidden_secrets import without_secrets
from vdk.plugin.datasource_base.parts.flow.text import flow_text
from vdk.plugin.datasource_base.parts.plugins.registry import Registry

SOURCE: dict[str, Any] = {
    "name": "shop",
    "path": "acme/cq-source-numbers",
    "version": "v1.0.0",
    "tables": ["*"],
    "destinations": ["lake"],
    "spec": {"upto": 5},
}
DUCKDB: dict[str, Any] = {
    "name": "lake",
    "path": "cloudquery/duckdb",
    "spec": {"connection_string": "./my lake.duckdb"},
}
FILE = {
    "name": "lake",
    "path": "cloudquery/file",
    "spec": {"path": "out/{{TABLE}}/{{UUID}}.{{FORMAT}}", "format": "parquet"},
}
BACKEND = {"backend_options": {"table_name": "state", "connection": "@@plugins.lake.connection"}}


def written(folder: Path, source: dict[str, Any], destination: dict[str, Any]) -> Path:
    documents = [{"kind": "source", "spec": source}, {"kind": "destination", "spec": destination}]
    path = folder / "config.yaml"
    path.write_text("---\n" + yaml.safe_dump_all(documents) + "---\n", "utf-8")
    return path


class TestFlows:
    def test_a_source_and_a_destination_become_a_flow(self, tmp_path: Path) -> None:
        """Their variables become references, keys without a value are left out, and the printed flow is the same."""
        source = {
            **SOURCE,
            "registry": "local",
            "tables": ["a*", "b"],
            "skip_tables": ["audit"],
            "spec": {"path": "${HOME}/x", "key": "${file:./key}", "none": None, "since": yaml.safe_load("2026-01-02")},
        }
        flow = read_flow([written(tmp_path, source, {**DUCKDB, "write_mode": "append"})])
        assert flow["sources"]["shop"]["name"] == "numbers"
        expected = {"path": "${env:HOME}/x", "key": "${file:./key}", "since": source["spec"]["since"]}
        assert flow["sources"]["shop"]["config"] == expected
        assert flow["destinations"] == {"lake": {"method": "arrow", "target": "duckdb:///my%20lake.duckdb"}}
        assert flow["flows"] == [
            {"from": "shop", "to": "lake", "streams": ["a*", "b", "!audit"], "write_mode": "append"}
        ]
        assert tomllib.loads(flow_text(flow)) == flow

    @pytest.mark.parametrize(
        ("source", "destination", "mode"),
        [
            ({}, {"write_mode": "append"}, "append"),
            ({}, {"write_mode": "overwrite"}, "upsert"),
            ({}, {"write_mode": "overwrite-delete-stale"}, "replace"),
            ({}, {}, "replace"),
            (BACKEND, {}, None),
            (BACKEND, {"write_mode": "overwrite"}, "upsert"),
        ],
    )
    def test_write_modes(
        self, source: dict[str, Any], destination: dict[str, Any], mode: str | None, tmp_path: Path
    ) -> None:
        """With ``backend_options`` stale rows are deleted as by default: of streams that are read whole."""
        flow = read_flow([written(tmp_path, {**SOURCE, **source}, {**DUCKDB, **destination})])
        assert flow["flows"][0].get("write_mode") == mode

    @pytest.mark.parametrize("tag", ["", ":v1.2", "@sha256:ab", ":v1@sha256:ab"])
    def test_the_tag_of_an_image_is_no_part_of_its_name(self, tag: str, tmp_path: Path) -> None:
        source = {**SOURCE, "registry": "docker", "path": f"ghcr.io:443/acme/cq-source-numbers{tag}"}
        assert read_flow([written(tmp_path, source, DUCKDB)])["sources"]["shop"]["name"] == "numbers"

    @pytest.mark.parametrize(
        ("path", "options", "target"),
        [
            ("cloudquery/duckdb", {"connection_string": "${LAKE}"}, "duckdb:///${env:LAKE}"),
            ("duckdb", {"connection_string": "/data/x.db"}, "duckdb:////data/x.db"),
            ("./cq-destination-sqlite", {"connection_string": "./db.sql"}, "sqlite:///db.sql"),
            ("cloudquery/postgresql", {"connection_string": "${PG}"}, "${env:PG}"),
            ("cloudquery/postgresql", {"connection_string": "postgresql://u:${P}@h/d"}, "postgresql://u:${env:P}@h/d"),
            ("cloudquery/file", {"path": "./out/{{TABLE}}/x", "format": "parquet"}, "parquet:///out"),
            ("cloudquery/file", {"path": "/out", "format": "parquet", "compression": "gzip"}, "parquet:////out?compression=gzip"),
            ("cloudquery/file", {"path": "{{TABLE}}.{{FORMAT}}", "format": "parquet"}, "parquet:///."),
        ],
    )  # fmt: skip
    def test_targets(self, path: str, options: dict[str, Any], target: str, tmp_path: Path) -> None:
        flow = read_flow([written(tmp_path, SOURCE, {"name": "lake", "path": path, "spec": options})])
        assert flow["destinations"]["lake"]["target"] == target

    @pytest.mark.parametrize(
        ("value", "error"),
        [("100%25.db", "has a '%' or '?'"), ("a?b", "has a '%' or '?'"), ("md:geheim", "is not the path of a file")],
    )
    def test_the_value_of_a_variable_is_a_path(
        self, value: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It becomes a part of a URL, where it would name another file."""
        monkeypatch.setenv("LAKE", value)
        path = written(tmp_path, SOURCE, {**DUCKDB, "spec": {"connection_string": "${LAKE}"}})
        with pytest.raises(ConfigurationError, match=error) as raised:
            read_flow([path])
        assert "geheim" not in str(raised.value)

    def test_batches(self, tmp_path: Path) -> None:
        options = {**DUCKDB["spec"], "batch_size": 10, "batch_size_bytes": 20, "batch_timeout": "30s"}
        flow = read_flow([written(tmp_path, SOURCE, {**DUCKDB, "spec": options})])
        assert (flow["flows"][0]["batch_rows"], flow["flows"][0]["batch_bytes"], flow["flows"][0]["batch_seconds"]) == (
            10,
            20,
            30,
        )

    def test_several_files_and_folders(self, tmp_path: Path) -> None:
        """A source may have several destinations; a flow for each."""
        (tmp_path / "a.yml").write_text(
            yaml.safe_dump({"kind": "source", "spec": {**SOURCE, "destinations": ["lake", "two"]}})
        )
        (tmp_path / "b.yaml").write_text(yaml.safe_dump({"kind": "destination", "spec": DUCKDB}))
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "d.yaml").write_text(yaml.safe_dump({"kind": "destination", "spec": {**FILE, "name": "two"}}))
        flow = read_flow([tmp_path, tmp_path / "c"])
        assert [(each["from"], each["to"], each["write_mode"]) for each in flow["flows"]] == [
            ("shop", "lake", "replace"),
            ("shop", "two", "append"),  # the only mode of CloudQuery's file destination
        ]


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"skip_table": ["a"]}, {}, "config.yaml: source 'shop': unknown key 'skip_table'; did you mean 'skip_tables'"),
    ({"deterministic_cq_id": True}, {}, "'deterministic_cq_id' has no counterpart here; remove the line, or run"),
    ({"registry": "grpc", "path": "localhost:7777"}, {}, "registry: grpc has an address as its path"),
    ({"registry": "clodquery"}, {}, "registry: clodquery is unknown; did you mean 'cloudquery'"),
    ({"tables": None}, {}, r"'tables' is not a list of names; write tables: \[\"\*\"\]"),
    ({"destinations": ["lak"]}, {}, "destinations: no document describes 'lak'; did you mean 'lake'"),
    ({"destinations": None}, {}, r"'destinations' is missing; write destinations: \[lake\]"),
    ({"name": None}, {}, "document 1, kind: source: 'name' is missing; write name: …"),
    ({"spec": {"since": "${time:7 days ago}"}}, {}, r"spec.spec.since: \$\{time:7 days ago\} is not a variable"),
    ({"destinations": [{"lake": 1}]}, {}, "destinations: no document describes"),
    ({"destinations": ["lake", "lake"]}, {}, "has a name twice; write it once"),
    ({"name": "${NAME}"}, {}, "kind: source: 'name' has a variable; write the name itself"),
    ({}, {"path": "cloudquery/bigquery"}, "the destination 'bigquery' has no counterpart here; expected one of"),
    ({}, {"write_mode": "overwrit"}, "write_mode: 'overwrit' is unknown; did you mean 'overwrite'"),
    ({}, {"write_mode": ["append"]}, r"write_mode: \['append'\] is unknown; did you mean 'append'"),
    ({}, {"migrate_mode": "forced"}, "'migrate_mode: forced' has no counterpart here"),
    ({}, {"pk_mode": "cq-id-only"}, "'pk_mode: cq-id-only' has no counterpart here"),
    ({}, {"transformers": ["x"]}, "'transformers' has no counterpart here"),
    ({}, {"spec": {}}, "spec: 'connection_string' is missing; write connection_string: …"),
    ({}, {"spec": {"connection_string": "md:?motherduck_token=geheim"}}, "is not the path of a file; write conn"),
    ({}, {"spec": {"connection_string": "x", "batch_siz": 1}}, "unknown option 'batch_siz'; did you mean 'batch_size'"),
    ({}, {"spec": {"connection_string": "x", "batch_timeout": "soon"}}, "batch_timeout: 'soon' is not a duration"),
    ({}, {"path": "postgresql", "spec": {"connection_string": "host=x password=geheim"}}, "is not a URL; wri"),
    ({}, {"path": "file", "spec": {"path": "x", "format": "csv"}}, "format: csv has no counterpart here; write form"),
    ({}, {"path": "file", "spec": {"path": "a/b_{{TABLE}}", "format": "parquet"}}, r"write path: a/\{\{TABLE\}\}"),
]  # fmt: skip


def test_a_merged_key_may_be_written_again(tmp_path: Path) -> None:
    """Which is what merging is for."""
    path = written(tmp_path, SOURCE, DUCKDB)
    path.write_text(path.read_text().replace("  spec:\n    upto: 5", "  spec: {<<: {upto: 3, x: 1}, upto: 5}"))
    assert read_flow([path])["sources"]["shop"]["config"] == {"upto": 5, "x": 1}


class TestRefused:
    @pytest.mark.parametrize(("source", "destination", "error"), REFUSED)
    def test_what_has_no_counterpart(
        self, source: dict[str, Any], destination: dict[str, Any], error: str, tmp_path: Path
    ) -> None:
        """It is named with the file, the document and the remedy; nothing is left out, and no secret is shown."""
        with pytest.raises(ConfigurationError, match=error) as raised:
            read_flow([written(tmp_path, {**SOURCE, **source}, {**DUCKDB, **destination})])
        assert "geheim" not in str(raised.value)

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("", "no document has kind: source"),
            (
                "kind: source\nspec: {name: x, password: geheim: y}",
                "is not valid YAML: line 2, column 33: expected",
            ),
            ("spec: {password: *geheim }", "is not valid YAML: line 1, column 18: found undefined alias …"),
            ("- 1", "document 1: kind and spec are missing"),
            ("kind: source\nspec: &a {name: *a}", "is not valid YAML: it is nested too deeply, or refers to itself"),
            ("kind: source\nspec:\n  name: a\n  name: b", "line 4, column 3: the key name is written twice"),
            ("kind: transformer\nspec: {}", "kind: transformer has no counterpart here"),
            ("kind: sourc\nspec: {}", "kind: sourc has no counterpart here; did you mean 'source'"),
        ],
    )
    def test_what_is_not_such_a_file(self, text: str, error: str, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=error) as raised:
            read_flow([path])
        assert "geheim" not in str(raised.value)

    def test_two_documents_of_one_name(self, tmp_path: Path) -> None:
        path = written(tmp_path, SOURCE, DUCKDB)
        with pytest.raises(ConfigurationError, match="two documents have this name"):
            read_flow([path, path])

    def test_without_pyyaml(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "yaml", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'vdk-datasource-base\[cloudquery\]'"):
            read_flow([written(tmp_path, SOURCE, DUCKDB)])


class TestCommand:
    def test_print_shows_no_secret(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither a variable's value, nor a secret option or a password of a URL; also if the options are wrong."""
        monkeypatch.setenv("UPTO", "5")
        pg = {"name": "lake", "path": "postgresql", "spec": {"connection_string": "postgresql://u:geheim@h/d"}}
        for options in ({"upto": "${UPTO}", "password": "geheim"}, {"upto": 1, "wrong": ["geheim"]}):
            path = written(tmp_path, {**SOURCE, "spec": options}, pg)
            for arguments in ([], ["-o", "json"]):
                result = Vdk()("datasource", "sync", path, "--print", *arguments)
                assert result.exit_code == 0, result.output
                assert "geheim" not in result.output
                assert "postgresql://u:***@h/d" in result.stdout
                assert "write a reference such as ${env:PASSWORD}" in result.stderr
            assert ("${env:UPTO}" in result.stdout) == ("password" in options)

    @pytest.mark.parametrize(
        "options",
        [
            {"upto": 1, "password": 88887777},
            {"upto": 1, "wrong": [88887777]},
            {"upto": 1, "access_token": {"parts": ["8888", {"x": "88887777"}]}},
        ],
    )
    def test_a_secret_may_be_a_number_or_a_table(self, options: dict[str, Any], tmp_path: Path) -> None:
        shown = without_secrets(read_flow([written(tmp_path, {**SOURCE, "spec": options}, DUCKDB)]), Registry())
        assert "8888" not in flow_text(shown)
        shown = without_secrets({"sources": {}, "destinations": {"d": options}, "flows": []}, Registry())
        assert ("8888" in str(shown)) == ("wrong" in options)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("postgresql://u:${PW}@h/d?sslpassword=${PW}", "postgresql://u:${env:PW}@h/d?sslpassword=${env:PW}"),
            ("postgresql://u:a${PW}@h/d", "postgresql://u:***@h/d"),
            ("postgresql://u:${PW}@h/d?password=a", "postgresql://u:***@h/d?password=***"),
        ],
    )
    def test_a_reference_in_a_url_is_no_secret(self, text: str, shown: str, tmp_path: Path) -> None:
        """Unless it is a part of one."""
        postgresql = {"name": "lake", "path": "postgresql", "spec": {"connection_string": text}}
        flow = read_flow([written(tmp_path, SOURCE, postgresql)])
        assert without_secrets(flow, Registry())["destinations"]["lake"]["target"] == shown

    def test_an_error_names_the_file_and_the_option(self, tmp_path: Path) -> None:
        result = Vdk()("datasource", "sync", written(tmp_path, {**SOURCE, "spec": {"uptoo": 5}}, DUCKDB))
        assert result.exit_code == 1
        assert "config.yaml: sources.shop.config: unknown option 'uptoo'; did you mean 'upto'" in result.stderr


def test_a_reference_to_a_file(tmp_path: Path) -> None:
    """It is relative to the flow file, without the line break at its end; its value is redacted."""
    (tmp_path / "key").write_text("geheim\n")
    path = tmp_path / "flow.toml"
    source = '[sources.s]\nname = "x"\nconfig = {{ key = "${{file:{0}}}" }}\n'
    text = source + '[destinations.d]\n[[flows]]\nfrom = "s"\nto = "d"\n'
    path.write_text(text.format("key"))
    loaded = load_flow(path, {})
    assert loaded.file.sources["s"].config == {"key": "geheim"}
    assert loaded.resolved.secrets == {"geheim"}
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbfgeheim\r\n")
    assert load_flow(path, {}).resolved.secrets == {"geheim"}
    path.write_text(text.format("none"))
    with pytest.raises(
        ConfigurationError, match=r"\$\{file:none\} is not set: the file does not exist or cannot be read"
    ):
        load_flow(path, {})
