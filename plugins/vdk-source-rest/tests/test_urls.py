"""A list of records by its URL: ``vdk datasource copy`` and ``init`` need no flow file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from pytest_httpserver import HTTPServer
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.datasource_base import plugin_entry as base_entry
from vdk.plugin.ingest_arrow import plugin_entry as arrow_entry
from vdk.plugin.source_rest.source import RestSource

pytestmark = [
    # vdk-core adds its options to one command, which lives as long as the process, in each of its runs.
    pytest.mark.filterwarnings("ignore:The parameter .* is used more than once"),
]


@pytest.mark.parametrize(
    ("url", "cursor", "options"),
    [
        ("https://h/v1/orders", None, {"base_url": "https://h/v1", "streams": [{"name": "orders"}]}),
        (
            "https://h:8/my%20list/?a=1&b=%2B",
            "changed",
            {
                "base_url": "https://h:8",
                "streams": [
                    {
                        "name": "my list",
                        "path": "my%20list",
                        "params": {"a": "1", "b": "+"},
                        "cursor": {"field": "changed"},
                    }
                ],
            },
        ),
    ],
)
def test_a_url_is_a_stream(url: str, cursor: str | None, options: dict[str, Any]) -> None:
    assert RestSource.options_of_url(url, cursor=cursor) == options


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("https://h", "names no list of records; write one, such as https://h/orders"),
        ("https://h/", "names no list of records; write one, such as https://h/orders"),
        ("https://u:hunter22@h/x", r"has a user or password, which belong into auth"),
    ],
)
def test_a_url_without_a_list_or_with_a_password_is_refused(url: str, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match) as caught:
        RestSource.options_of_url(url)
    assert "hunter" not in str(caught.value)


def test_a_list_is_copied_and_proposed(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the query is a reference in the file; what the records look like is proposed as key and cursor."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    orders = [{"id": 1, "updated_at": "2026-10-01T00:00:00Z"}, {"id": 2, "updated_at": "2026-10-02T00:00:00Z"}]
    httpserver.expect_request("/v1/orders", query_string={"api_key": "k3y-of-it"}).respond_with_json(orders)
    vdk = CliEntryBasedTestRunner(base_entry, arrow_entry)
    url = httpserver.url_for("/v1/orders?api_key=k3y-of-it")
    copied = vdk.invoke(["datasource", "copy", url, "duckdb:///lake.duckdb"])
    assert copied.exit_code == 0, copied.output
    assert f"localhost_{httpserver.port}.orders: no key, read whole, replace" in copied.stderr
    with duckdb.connect("lake.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT id FROM orders ORDER BY id").fetchall() == [(1,), (2,)]
    written = vdk.invoke(["datasource", "init", url])
    assert written.exit_code == 0, written.output
    text = Path("orders.toml").read_text("utf-8")
    assert '# Without a primary_key, each run replaces the whole table: "orders"\n' in text
    reference = f"${{env:LOCALHOST_{httpserver.port}_PASSWORD}}"
    assert (
        f'# streams = [{{ name = "orders", params = {{ api_key = "{reference}" }}, primary_key = "id", '
        'cursor = { field = "updated_at", param = "since" } }]' in text.splitlines()
    )
    for shown in (text, copied.output, written.output):
        assert "k3y-of-it" not in shown


@pytest.mark.parametrize("answers", [True, False])
def test_the_paginator_that_a_page_suggests_is_tried(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """If it fails, it is a comment, with the reason; the key and the cursor are proposed by the first page anyway."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")

    def page(number: int) -> dict[str, Any]:
        return {"data": [{"id": number, "updated_at": f"2026-10-0{number + 1}"}], "page": number, "total_pages": 2}

    for number in (0, 1) if answers else ():
        httpserver.expect_request("/v1/books", query_string=f"page={number}").respond_with_json(page(number))
    httpserver.expect_request("/v1/books").respond_with_json(page(0))
    vdk = CliEntryBasedTestRunner(base_entry, arrow_entry)
    written = vdk.invoke(["datasource", "init", httpserver.url_for("/v1/books"), "--to", "duckdb:///lake.duckdb"])
    lines = Path("books.toml").read_text("utf-8").splitlines()
    option = 'paginator = { type = "page", first = 0, total_path = "total_pages" }'
    hint = '# streams = [{ name = "books", primary_key = "id", cursor = { field = "updated_at", param = "since" } }]'
    assert (option in lines, f"# {option}" in lines, hint in lines) == (answers, not answers, True), lines
    assert written.exit_code == (0 if answers else 1), written.output
    if not answers:
        assert any("it was tried with" in line and "the very records of the page before" in line for line in lines)
        return
    assert f"books: its first page suggests {option}, which is written into books.toml" in written.stderr
    assert (
        f"# books: its first page suggests {option}, which is set above: without it, this page looks incomplete"
        in lines
    )
    httpserver.clear_log()
    copied = vdk.invoke(["datasource", "run", "books.toml", "-q"])
    assert copied.exit_code == 0, copied.output
    assert [request.query_string for request, _ in httpserver.log] == [b"page=0", b"page=1"], "none too many"


def test_a_message_names_what_the_command_takes(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option of the flow file is ``--set`` here, which ``--save`` keeps; a secret is refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    httpserver.expect_request("/v1/orders", query_string="page=2").respond_with_json({"items": [], "total": 2})
    httpserver.expect_request("/v1/orders").respond_with_json({"items": [{"id": 1}, {"id": 2}], "total": 3})
    vdk = CliEntryBasedTestRunner(base_entry, arrow_entry)

    def copy(*options: str) -> Any:
        return vdk.invoke(
            ["datasource", "copy", httpserver.url_for("/v1/orders"), "duckdb:///lake.duckdb", "-q", *options]
        )

    refused = copy()
    assert refused.exit_code == 1
    assert (
        """as in --set 'paginator={ type = "page" }', or add --set 'paginator={ type = "none" }' if""" in refused.stderr
    )
    copied = copy("--set", 'paginator={ type = "page" }', "--set", "primary_key=id", "--save", "orders.toml")
    assert copied.exit_code == 0, copied.output
    assert 'paginator = { type = "page" }\nprimary_key = "id"\n' in Path("orders.toml").read_text("utf-8")
    refused = copy("--set", 'auth={ type = "bearer", token = "t0ken-of-it" }')
    assert "it is a secret, and command lines are visible to others" in refused.stderr
    assert "t0ken-of-it" not in refused.output
