"""An API that is not the bottleneck: 200 pages of 1,000 records of about 200 bytes, encoded before the first request.

Prints its port, and serves until its standard input ends.
"""

from __future__ import annotations

import json
import random
import re
import socket
import sys
import threading

PAGES, SIZE, SEED = 200, 1000, 6
_PAGE = re.compile(rb"[?&]page=(\d+)")


def page(number: int, choose: random.Random) -> bytes:
    """A whole answer: head and body."""
    first = (number - 1) * SIZE
    records = [
        {
            "id": first + index,
            "customer": choose.randrange(200_000),
            "status": choose.choice(("new", "paid", "sent", "done")),
            "amount": round(choose.random() * 1000, 2),
            "email": f"user{choose.randrange(200_000)}@example.com",
            "note": None if choose.random() < 0.2 else f"{choose.getrandbits(200):x}",
            "gift": choose.random() < 0.1,
            "updated_at": f"2026-01-{1 + number % 28:02}T{index % 24:02}:{index % 60:02}:00Z",
        }
        for index in range(SIZE)
    ]
    following = f"/orders?page={number + 1}" if number < PAGES else None
    body = json.dumps({"orders": records, "next": following}, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def serve(connection: socket.socket, pages: list[bytes]) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    with connection:
        while data := connection.recv(65536):
            request += data
            while b"\r\n\r\n" in request:
                line, _, request = request.partition(b"\r\n\r\n")
                found = _PAGE.search(line.partition(b"\r\n")[0])
                connection.sendall(pages[int(found[1]) - 1 if found else 0])


def main() -> None:
    choose = random.Random(SEED)
    pages = [page(number, choose) for number in range(1, PAGES + 1)]
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, pages), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
