"""The API of the tests, a real server on this machine. TODO: answer as your API does.

    python tests/server.py

serves three tickets to the example job until it is stopped.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
TOKEN = "token-of-the-tests"
Row = dict[str, Any]


def ticket(id: str, seconds: int, title: str = "") -> Row:
    """A ticket that was changed so many seconds after the beginning."""
    time = BEGIN + dt.timedelta(seconds=seconds)
    return {"id": id, "title": title or f"Ticket {id}", "status": "open", "updated_time": time}


SAMPLE = [
    ticket("T-1", 0, "The printer on floor 2 is jammed"),
    ticket("T-2", 60, "Please move my desk to the window"),
    ticket("T-3", 120, "No heating in room 14"),
]


class HelpDesk(ThreadingHTTPServer):
    """Tickets by id, and what went over the wire."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.tickets: dict[str, Row] = {}
        self.positions: list[tuple[str, str]] = []
        self.queries: list[Mapping[str, str]] = []
        self.refused = 0
        # Answers to give before all others: a status and headers each.
        self.failures: list[tuple[int, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, *tickets: Row) -> None:
        """Add tickets, or replace those that have the same ids."""
        self.tickets |= {ticket["id"]: ticket for ticket in tickets}
        self.positions = sorted((row.get("updated_time", BEGIN).isoformat(), id) for id, row in self.tickets.items())

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Ordered by time and id. `next` holds both, so that a ticket that changes meanwhile moves no other."""
        positions, limit = self.positions, int(query["limit"])
        if "cursor" in query:
            time, id = query["cursor"].split()
            first = bisect_right(positions, (time, id))
        else:
            first = bisect_left(positions, (query.get("updated_since", ""), ""))
        page = positions[first : first + limit]
        return {
            "items": [self.tickets[id] for _, id in page],
            "next": " ".join(page[-1]) if first + limit < len(positions) else None,
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is not an error."""


class Handler(BaseHTTPRequestHandler):
    server: HelpDesk
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for head and body: a second one would wait until the first is acknowledged

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.queries.append(query)
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.server.refused += 1
            self.answer(401)
        elif self.server.failures:
            status, headers = self.server.failures.pop(0)
            self.answer(status, headers)
        elif parts.path != "/tickets":
            self.answer(404)
        else:
            self.answer(200, body=json.dumps(self.server.page(query), default=dt.datetime.isoformat).encode())

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the output belongs to the tests."""


@contextmanager
def serving() -> Iterator[HelpDesk]:
    with HelpDesk() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    with HelpDesk(port=8000) as help_desk:
        help_desk.add(*SAMPLE)
        print(f"{help_desk.url} answers; press Ctrl+C to stop it")
        help_desk.serve_forever()
