"""The spec of a configuration: what is wrong in it, and its JSON schema."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from cloudquery.plugin_v3 import plugin_pb2 as pb

from client import refused, served
from sources import MadeConfig, MadeSource, made, numbered
from vdk.plugin.datasource_base import DataSourceError
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_cloudquery.source.json_schema import json_schema
from vdk.plugin.datasource_cloudquery.source.spec import Spec


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"databse": "a.db"}, "spec: unknown option 'databse'; did you mean 'database'"),
        ({}, "spec: the option 'database' is missing"),
        ({"database": 5}, "spec: database: Expected `path`, got `int`, the value is 5"),
        ({"database": "a.db", "cloudquery": {"deletes": "all"}}, "spec: cloudquery.deletes: Expected 'column' or "),
        ({"database": "a.db", "cloudquery": {"delete": "skip"}}, "spec: cloudquery: unknown option 'delete'; did you"),
        ({"database": "a.db", "cloudquery": []}, "spec: cloudquery: Expected `table`, got `list`"),
        ([1], "spec: expected the options of a source, got list"),
    ],
)
def test_a_wrong_spec_is_refused_by_init(spec: Any, text: str) -> None:
    """``sync`` validates no spec itself."""
    with served("sqlite") as client, refused() as errors:
        client.init(spec)
    assert errors[0][0] == "INVALID_ARGUMENT"
    assert errors[0][1].startswith(text)


def test_a_spec_that_is_nested_too_deeply_is_refused() -> None:
    with served("sqlite") as client, refused() as errors:
        client.stub.Init(pb.Init.Request(spec=b'{"database":' * 50_000))
    assert errors[0] == ("INVALID_ARGUMENT", "spec: it is nested too deeply; remove levels of it")


def test_documentation_needs_no_spec() -> None:
    with served("sqlite") as client:
        client.stub.Init(pb.Init.Request(spec=b"", no_connection=True))
        with refused() as errors:
            client.tables()
    assert errors[0][1].startswith("the source is not configured")


@pytest.mark.parametrize("name", ["kafka", "mysql", "postgres", "rest", "sqlite"])
def test_every_option_is_in_the_schema(name: str) -> None:
    config = Registry().source(name).config_type
    schema = json.loads(json_schema(config))
    root = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    assert set(root["properties"]) == {*config.__struct_encode_fields__, "cloudquery"}
    assert root["additionalProperties"] is False


def test_a_schema_has_types_limits_and_defaults() -> None:
    schema = json.loads(json_schema(Registry().source("sqlite").config_type))
    options = schema["$defs"]["SqliteConfig"]
    assert options["required"] == ["database"]
    assert options["properties"]["lock_timeout"]["default"] == "30s"
    assert schema["$defs"]["ServeOptions"]["properties"]["deletes"]["enum"] == ["column", "record", "skip"]


@pytest.mark.parametrize(
    ("include", "options", "selected"),
    [
        (["*"], {}, ["a", "b", "b_child"]),
        (["b"], {}, ["b", "b_child"]),
        (["b"], {"skip_dependent_tables": True}, ["b"]),
        (["b_child"], {}, ["b", "b_child"]),
        (["*"], {"skip_tables": ["b"]}, ["a"]),
        (["*"], {"skip_tables": ["b_*"]}, ["a", "b"]),
    ],
)
def test_patterns_select_tables(include: list[str], options: dict[str, Any], selected: list[str]) -> None:
    child = numbered("b_child")
    child.parent = "b"
    with served("made", lambda: made(numbered("a"), numbered("b"), child)) as client:
        client.init()
        assert sorted(client.tables(include, **options)) == selected
        assert sorted(client.sync(include, **options)) == selected
        if "b_child" in selected:
            assert client.migrated["b_child"].metadata[b"cq:table_depends_on"] == b"b"


@pytest.mark.parametrize(
    ("include", "skip", "text"),
    [
        (["numbrs"], [], "tables: 'numbrs' matches no table; did you mean 'numbers'?"),
        (["*"], ["x*"], "skip_tables: 'x*' matches no table; the tables are numbers"),
    ],
)
def test_a_pattern_without_a_match_is_an_error(include: list[str], skip: list[str], text: str) -> None:
    with served("made", lambda: made(numbered())) as client:
        client.init()
        for request in (client.tables, client.sync):
            with refused() as errors:
                request(include, skip_tables=skip)
            assert errors[0] == ("INVALID_ARGUMENT", text)


def test_names_that_collide_are_refused() -> None:
    with served("made", lambda: made(numbered("My Table"), numbered("my-table"))) as client:
        client.init()
        with refused() as errors:
            client.tables()
    assert "the tables 'My Table' and 'my-table' are both 'my_table' in CloudQuery" in errors[0][1]


def test_test_connection_names_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with served("sqlite") as client:

        def tried(spec: Any) -> Any:
            return client.stub.TestConnection(pb.TestConnection.Request(spec=json.dumps(spec).encode()))

        assert tried({"databse": "x"}).failure_code == "INVALID_SPEC"
        response = tried({"database": str(missing)})
        assert not response.success
        assert str(missing) in response.failure_description


def test_no_secret_is_in_an_error_or_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = made().config.token.reveal()
    with served("made", lambda: made(numbered(fail=ValueError(f"refused the token {secret}")))) as client:
        client.init()
        with refused() as errors:
            client.sync(withErrorMessages=True)
        messages = [each.error.error for each in client.sent if each.HasField("error")]
    assert "refused the token ***" in errors[0][1]
    assert messages

    def connect(state: object) -> None:
        logging.getLogger("library").warning("the token is %s", secret)
        raise ValueError(f"refused the token {secret}")

    source = made(numbered())
    monkeypatch.setattr(source, "connect", connect)
    with served("made", lambda: source) as client:
        client.init()
        with refused() as listed:
            client.tables()
    errors += listed
    for method in ("check", "disconnect"):
        monkeypatch.setattr(source, method, lambda: connect(None))
    with served("made", lambda: source) as client:
        errors.append(("", str(client.stub.TestConnection(pb.TestConnection.Request()))))
    assert "refused the token ***" in errors[-1][1]
    assert "the token is ***" in caplog.text
    assert secret not in f"{errors} {messages} {caplog.text}"


def test_no_secret_is_in_the_error_of_a_source_that_cannot_be_made() -> None:
    class Broken(MadeSource):
        def __init__(self, config: MadeConfig) -> None:
            raise ValueError(f"refused the token {config.token.reveal()}")

    with pytest.raises(DataSourceError, match=r"^spec: ValueError: refused the token \*\*\*$"):
        Spec.parse(Broken, b'{"token": "tok-0011223344"}')


def test_a_long_error_is_cut() -> None:
    """gRPC refuses headers of more than 8 KiB, and the user would see that instead."""
    with served("made", lambda: made(numbered(fail=ValueError("ü" * 50_000)))) as client:
        client.init()
        with refused() as errors:
            client.sync()
    assert errors[0][0] == "INTERNAL"
    assert errors[0][1].endswith("…")
