# SPDX-License-Identifier: Apache-2.0
"""One webhook, which is called when a run fails or a column changes its type."""

from __future__ import annotations

import json
import logging
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from ...contract import ConfigurationError
from .observer import RunContext, RunObserver
from .summary import RunSummary, StreamReport

log = logging.getLogger(__name__)
TIMEOUT = 5.0
"""Seconds for the connection, and for each answer."""
WHOLE_TIMEOUT = 10.0
"""Seconds after which a call is given up, whatever its server sends."""
MAX_STREAMS = 50
"""Streams that one call names; it counts all of them."""


class Webhook(RunObserver):
    """Posts JSON to a URL. A call that fails is a warning, never an error of the run.

    :param url: it may be a secret, as those of chat services are; only its host is shown.
    :raises ConfigurationError: it is not a URL of HTTP.
    """

    def __init__(self, url: str, context: RunContext, *, location: str) -> None:
        self._url, self._context = url, context
        self.host = check_url(url, location)
        self._sent: set[str] = set()

    def round_ended(self, summary: RunSummary) -> None:
        self._notify(summary)

    def ended(self, summary: RunSummary) -> None:
        self._notify(summary)

    def _notify(self, summary: RunSummary) -> None:
        body = body_of(summary, self._context.name)
        if body is None:
            return
        key = json.dumps({**body, "seconds": 0}, sort_keys=True, default=str)
        if key not in self._sent:  # each round of a run that follows repeats what was sent
            self._sent.add(key)
            self._post(json.dumps(body, default=str).encode())

    def _post(self, content: bytes) -> None:
        errors: list[str] = []
        # a thread: a server that sends a byte a second must not hold the run
        thread = threading.Thread(target=self._send, args=(content, errors), name="notify", daemon=True)
        thread.start()
        thread.join(WHOLE_TIMEOUT)
        if thread.is_alive():
            errors = [f"no answer within {WHOLE_TIMEOUT:g} s"]
        if errors:
            log.warning("notify: the webhook at %s was not reached: %s; the run goes on", self.host, errors[0])

    def _send(self, content: bytes, errors: list[str]) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "vdk-datasource"}
        request = urllib.request.Request(self._url, content, headers, method="POST")
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT):
                return
        except urllib.error.HTTPError as error:
            errors.append(f"it answered {error.code}")
            error.close()
        except urllib.error.URLError as error:
            errors.append(type(error.reason).__name__ if isinstance(error.reason, BaseException) else "unreachable")
        except Exception as error:  # its text may have the URL
            errors.append(type(error).__name__)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What a run sends goes to the host that the flow names, and to no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def check_url(url: str, location: str) -> str:
    """The host of a webhook. Raises ``ConfigurationError``, without the URL, which may be a secret."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018  # raises for a port that is not a number
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f'{location}: notify is not a URL of HTTP; write notify = "https://hooks.example.com/…", or '
            'notify = "${secret:webhook}"'
        )
    return host


def body_of(summary: RunSummary, name: str) -> dict[str, Any] | None:
    """What is sent about a run, without secrets; None: nothing failed, and no column changed its type or is gone."""
    failed = [stream for stream in summary.streams if stream.status == "failed"]
    changed = [stream for stream in summary.streams if stream.schema_changes]
    if summary.status != "failed" and not failed and not changed:
        return None
    named = [stream for stream in summary.streams if stream in failed or stream in changed]
    event = "failed" if summary.status == "failed" or failed else "schema_changed"
    body = {
        "event": event,
        "flow": name,
        "run_id": summary.run_id,
        "status": summary.status,
        "seconds": summary.seconds,
        "text": _text(event, name, summary, failed, changed),
        "streams_failed": len(failed),
        "streams_changed": len(changed),
        "streams": [_stream(stream) for stream in named[:MAX_STREAMS]],
        "errors": summary.errors,
    }
    safe: dict[str, Any] = summary.redact.deep(body)
    return safe


def _text(event: str, name: str, summary: RunSummary, failed: list[StreamReport], changed: list[StreamReport]) -> str:
    """One line, which chat services show."""
    if event == "failed":
        first = next((f"{stream.source}.{stream.stream}: {stream.error}" for stream in failed), "")
        reason = first or next(iter(summary.errors), summary.status)
        return f"{name}: {len(failed)} of {len(summary.streams)} streams failed: {reason}"[:500]
    change = changed[0].schema_changes[0]
    return f"{name}: {change.text}"


def _stream(stream: StreamReport) -> dict[str, Any]:
    return {
        "source": stream.source,
        "stream": stream.stream,
        "destination": stream.destination,
        "table": stream.table,
        "status": stream.status,
        "rows_landed": stream.rows_landed,
        "error": stream.error,
        "schema_changes": [change.as_dict() for change in stream.schema_changes],
    }
