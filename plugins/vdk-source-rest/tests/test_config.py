"""The whole configuration is checked before any connection is opened; an error has place, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import source_of
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import ConfigurationError, decode_config
from vdk.plugin.source_rest import RestConfig, RestSource

Make = Callable[..., Any]
A: dict[str, Any] = {"name": "a"}
CHILD: dict[str, Any] = {"name": "b", "path": "a/{id}", "parent": {"stream": "a", "bind": {"id": "id"}}}
CURSOR: dict[str, Any] = {"field": "at"}


@pytest.mark.parametrize(
    ("streams", "problem"),
    [
        ([A, A], "streams: two have the name 'a'"),
        ([], "streams: the list is empty"),
        (
            [A, {**CHILD, "parent": {**CHILD["parent"], "stream": "aa"}}],
            r"streams\.b\.parent\.stream: stream 'aa' does not exist; did you mean 'a'",
        ),
        ([{**CHILD, "parent": {**CHILD["parent"], "stream": "b"}}], "b -> b is a circle"),
        ([A, {**CHILD, "path": "a"}], r"'id' has a value, and no path.*\{id\}"),
        ([{**A, "path": "x/{id}"}], r"streams\.a: the placeholder \{id\} has no value"),
        ([{**A, "params": {"q": "to:{id}"}}], r"placeholder \{id\}"),
        ([{**A, "path": "https://evil.example/x"}], "is a whole URL"),
        ([{**A, "path": "//evil.example/x"}], "is a whole URL"),
        ([{**A, "path": "x?key=1"}], "has a query"),
        ([{**A, "records": "a["}], r"streams\.a\.records: 'a\[' is not a JMESPath"),
        ([{**A, "paginator": {"type": "cursor", "param": "c"}}], "one of path and header"),
        ([{**A, "columns": {"x": "money"}}], r"streams\.a\.columns\.x: 'money' is not a column type.*decimal\(p,s\)"),
        ([{**A, "columns": {"x": "decimal(50,2)"}}], "is not a column type"),
        (
            [{**A, "cursor": {**CURSOR, "initial": "soon"}}],
            r"streams\.a\.cursor\.initial: 'soon' is not a value of type datetime",
        ),
        ([{**A, "cursor": {**CURSOR, "timezone": "Mars"}}], "'Mars' is not a time zone"),
        ([{**A, "cursor": {**CURSOR, "step": "1d"}}], "windows need param, end_param and initial"),
        ([{**A, "cursor": {**CURSOR, "settle": "1d"}}], 'add their length, as in step = "30d"'),
        ([{**A, "cursor": {**CURSOR, "step_end": "inclusive"}}], 'add their length, as in step = "30d"'),
        ([{**A, "cursor": {**CURSOR, "type": "integer", "lookback": "1d"}}], "are for times"),
        ([{**A, "cursor": {**CURSOR, "type": "integer", "end_param": "to"}}], "only times end at the present"),
        (
            [{**A, "cursor": {**CURSOR, "type": "integer", "param": "p", "param_format": "%Y"}}],
            r"param_format: '%Y' is not a format of integers",
        ),
        (
            [{**A, "cursor": {**CURSOR, "type": "string", "param_format": "epoch"}}],
            "'string' have no format",
        ),
        ([{**A, "cursor": {**CURSOR, "type": "epoch", "format": "%Y"}}], r"cursor\.format: .*'epoch' have no format"),
        ([{**A, "cursor": {**CURSOR, "param": "p", "param_format": "iso"}}], r"'iso' is not a format; .*epoch_ms.*%Y"),
        ([{**A, "cursor": {**CURSOR, "format": "epoch"}}], r"format: 'epoch' is not a format; it is one as in"),
        ([{**A, "cursor": {**CURSOR, "param_format": "%Y"}}], "param and end_param are missing"),
        (
            [{**A, "method": "POST", "body": {"q": [{}]}, "paginator": {"type": "page", "param": "body.q.1.page"}}],
            r"streams\.a\.paginator\.param: the parameter 'body\.q\.1\.page' leads into a list of 1 .* begin at 0",
        ),
        (
            [{**A, "method": "POST", "body": {"q": "x"}, "cursor": {**CURSOR, "param": "body.q.since"}}],
            r"streams\.a\.cursor\.param: .* leads through 'x' in the body",
        ),
        ([{**A, "slices": [{"x": 1}], "path": "{x}"}, A], "two have the name 'a'"),
        ([{**A, "path": "{x}", "slices": [{"x": 1}, {"x": 1, "y": 2}]}], "'y' has a value, and no path"),
    ],
)
def test_streams_that_do_not_fit_together(streams: list[Any], problem: str) -> None:
    """Options that do not fit each other are an error that names the stream and the option."""
    config = decode_config({"base_url": "http://x", "streams": streams}, RestConfig, location="f")
    with pytest.raises(ConfigurationError, match=problem):
        RestSource(config)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("api.example.com/v1", "'api.example.com/v1'"),
        ("ftp://api.example.com", "does not begin with http"),
        ("https://ann:canary@api.example.com", "credentials belong into auth"),
        ("https://api.example.com?key=canary", "parameters belong into params"),
        ("https:///v1", "base_url"),
        ("https://a b.example", "a blank"),
    ],
)
def test_a_base_url_that_is_none(url: str, problem: str) -> None:
    """A whole URL without a user, a query or a fragment; what it holds of them is not repeated."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        source_of(url, A)
    assert "canary" not in str(caught.value)


def test_a_token_url_without_tls_is_refused() -> None:
    """Secrets are sent there; a loopback address is for tests."""
    auth = {"type": "oauth2_client_credentials", "token_url": "http://id.example/t", "client_id": "a"}
    with pytest.raises(ConfigurationError, match=r"auth\.token_url: .* is not https"):
        source_of("http://x", A, auth=auth)


@pytest.mark.parametrize("kind", ["oauth2_client_credentials", "oauth2_refresh_token"])
@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "refresh_token", "scope"])
def test_what_oauth_sets_is_not_set_twice(kind: str, name: str) -> None:
    """Each is refused by its name, with the option that sets it."""
    auth: dict[str, Any] = {"type": kind, "token_url": "https://id.example/t", "client_id": "a", "extra": {name: "x"}}
    if kind == "oauth2_refresh_token":
        auth["refresh_token"] = "r"
    with pytest.raises(ConfigurationError, match=rf"auth\.extra\.{name}: the source sets {name} itself; "):
        source_of("http://x", A, auth=auth)


def test_the_file_is_named_and_nothing_lands(tmp_path: Path) -> None:
    """In a flow, the message begins with the file and the path in it."""
    flow = tmp_path / "api.toml"
    flow.write_text(
        """
        [sources.api]
        name = "rest"
        config = { base_url = "http://127.0.0.1:9", streams = [{ name = "a", path = "{x}" }] }
        [destinations.lake]
        method = "arrow"
        target = "duckdb:///lake.duckdb"
        [[flows]]
        from = "api"
        to = "lake"
        """,
        "utf-8",
    )
    with pytest.raises(ConfigurationError, match=r"api\.toml: sources\.api\.config: streams\.a: .*placeholder \{x\}"):
        run_flows(None, flow)
    assert not (tmp_path / "lake.duckdb").exists()


def test_options_of_all_streams_are_those_of_each_that_sets_none() -> None:
    """A stream's own options win; parameters and headers are put together."""
    shared: dict[str, Any] = {"paginator": {"type": "none"}, "primary_key": "id", "params": {"a": 1, "b": 1}}
    shared["headers"] = {"X-A": "1"}
    made = source_of("http://x", {**A, "params": {"b": 2}}, {"name": "c", "primary_key": ["k"]}, **shared)
    first, second = (stream.config for stream in made.streams())
    assert first.params == {"a": 1, "b": 2}
    assert (first.primary_key, second.primary_key) == ("id", ["k"])
    assert second.headers["X-A"].reveal() == "1"
    assert type(second.paginator).__name__ == "NonePaginator"


@pytest.mark.parametrize(
    "url", ["https://API.example.com/v1/", "https://api.example.com:443/v1", "https://api.example.com/v1"]
)
def test_the_identity_is_one_for_all_spellings(url: str) -> None:
    """State is kept under it."""
    assert source_of(url, A).identity() == "https://api.example.com/v1"
