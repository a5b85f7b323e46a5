"""A small API to read from: repositories and their issues, in pages, behind a token, with a limit on requests.

It speaks as GitHub's does: ``Link`` headers, ``since``, ``Retry-After``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

TOKEN = "a-token-for-the-example"
PAGE = 20
REPOS = [{"id": number, "full_name": f"example/{name}", "stars": 10 * number} for number, name in enumerate("abc", 1)]


def issues(repo: dict[str, Any], changed: bool) -> list[dict[str, Any]]:
    """Forty-five issues of a repository; later, one of them is closed and another is new."""
    rows = [
        {
            "id": 1000 * repo["id"] + number,
            "number": number,
            "title": f"Something about {repo['full_name']}",
            "labels": ["bug"] if number % 3 else [],
            "state": "open",
            "updated_at": f"2026-01-{1 + number % 28:02}T12:00:00Z",
        }
        for number in range(45)
    ]
    if changed:
        rows[0] |= {"state": "closed", "updated_at": "2026-03-01T12:00:00Z", "closed_by": {"login": "ann"}}
        rows.append(rows[0] | {"id": 1000 * repo["id"] + 99, "number": 99, "state": "open", "closed_by": None})
    return rows


class Forge(ThreadingHTTPServer):
    """The server; ``changed`` says whether issues were, ``requests`` what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.changed = False
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Forge
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: in two, the second waits for an acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"message": "Bad credentials"})
        elif len(self.server.requests) == 3:
            self.answer(429, {"message": "Too many requests"}, {"Retry-After": "1"})
        elif (rows := self.rows(unquote(urlsplit(self.path).path))) is None:
            self.answer(404, {"message": "Not Found"})
        else:
            self.page(rows)

    def page(self, rows: list[dict[str, Any]]) -> None:
        """The rows since a time, twenty at once, with a link to the next."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        matching = [row for row in rows if row.get("updated_at", "") >= query.get("since", "")]
        number = int(query.get("page", "1"))
        following = urlencode({**query, "page": number + 1})
        link = (
            {"Link": f'<{self.server.url}{parts.path}?{following}>; rel="next"'}
            if number * PAGE < len(matching)
            else {}
        )
        self.answer(200, matching[(number - 1) * PAGE : number * PAGE], link)

    def rows(self, path: str) -> list[dict[str, Any]] | None:
        if path == "/repos":
            return REPOS
        repo = next((entry for entry in REPOS if path == f"/repos/{entry['full_name']}/issues"), None)
        return issues(repo, self.server.changed) if repo is not None else None

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def served() -> Iterator[Forge]:
    """The API at work, in a thread."""
    with Forge() as forge:
        thread = threading.Thread(target=forge.serve_forever, args=(0.05,))
        thread.start()
        yield forge
        forge.shutdown()
        thread.join()
