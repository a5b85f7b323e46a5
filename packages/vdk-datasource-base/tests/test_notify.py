"""The webhook of a flow file: what it gets, what it does not get, and what happens if it is dead."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import SchemaChange
from vdk.plugin.datasource_base.parts.redact import Redactor
from vdk.plugin.datasource_base.runtime.report.notify import Webhook, body_of
from vdk.plugin.datasource_base.runtime.report.observer import RunContext
from vdk.plugin.datasource_base.runtime.report.summary import RunSummary, StreamReport

TOKEN = "T0P-S3CRET-TOKEN"


class Hook(HTTPServer):
    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.received = status, list[dict[str, Any]]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/{TOKEN}"


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture(params=[200])
def hook(request: pytest.FixtureRequest) -> Iterator[Hook]:
    server = Hook(request.param)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def summary_of(*reports: StreamReport, status: Any = "failed") -> RunSummary:
    return RunSummary(status, 1.0, reports, "run-1", redact=Redactor(secrets=["hunter2-hunter2"]))


def report_of(error: str | None = None) -> StreamReport:
    report = StreamReport("shop", "lake", "orders", "orders")
    report.end("failed" if error else "succeeded", error)
    return report


def webhook(url: str) -> Webhook:
    return Webhook(url, RunContext("orders", "run-1", Redactor()), location="flow.toml")


def test_a_failure_and_a_changed_column_are_sent_once_and_without_secrets(hook: Hook) -> None:
    changed = report_of()
    changed.schema_changes.append(SchemaChange("orders", "price", "BIGINT", "DOUBLE"))
    notifier = webhook(hook.url)
    failed = summary_of(report_of("wrong password hunter2-hunter2"), report_of())
    for summary in (
        failed,
        failed,
        summary_of(changed, status="succeeded"),
        summary_of(report_of(), status="succeeded"),
    ):
        notifier.ended(summary)
    first, second = hook.received
    assert (first["event"], first["streams_failed"], second["event"]) == ("failed", 1, "schema_changed")
    assert second["text"] == "orders: column 'price' of table 'orders' changed its type from BIGINT to DOUBLE"
    assert [stream["stream"] for stream in first["streams"]] == ["orders"]
    assert "hunter2" not in json.dumps(hook.received)


@pytest.mark.parametrize("hook", [302, 500], indirect=True)
def test_a_webhook_that_refuses_is_a_warning_without_its_url(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    webhook(hook.url).ended(summary_of(report_of("broken")))
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == (
        f"notify: the webhook at 127.0.0.1 was not reached: it answered {hook.status}; the run goes on"
    )


def test_a_dead_webhook_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    webhook(f"http://127.0.0.1:{port}/{TOKEN}").ended(summary_of(report_of("broken")))
    assert "ConnectionRefusedError" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("url", ["ftp://x/y", f"//host/{TOKEN}", f"http:///{TOKEN}", f"http://h:port/{TOKEN}", ""])
def test_a_wrong_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"flow.toml: notify is not a URL of HTTP; write notify") as error:
        webhook(url)
    assert TOKEN not in str(error.value)


def test_nothing_is_sent_about_a_run_that_succeeds_or_is_stopped() -> None:
    assert body_of(summary_of(report_of(), status="succeeded"), "orders") is None
    assert body_of(summary_of(report_of(), status="interrupted"), "orders") is None
