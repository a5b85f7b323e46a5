"""An API that is not the bottleneck: pages of 1,000 records of about 200 bytes, encoded before the first request.

    python rest_server.py RECORDS ...

Below ``/1000`` it has 1,000 records, at ``/1000/orders``. Prints its address, and serves until its input ends.
"""

from __future__ import annotations

import json
import random
import re
import socket
import sys
import threading

SIZE, SEED = 1000, 6
_PAGE = re.compile(rb"GET /(\d+)/orders(?:\?(?:[^ ]*&)?page=(\d+))?")


def pages(records: int, choose: random.Random) -> list[bytes]:
    """Whole answers: head and body."""
    starts = range(0, records, SIZE)
    return [
        page(number, [record(index, choose) for index in range(start, min(start + SIZE, records))], records)
        for number, start in enumerate(starts, 1)
    ]


def page(number: int, records: list[dict[str, object]], total: int) -> bytes:
    following = f"/{total}/orders?page={number + 1}" if number * SIZE < total else None
    body = json.dumps({"orders": records, "next": following}, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def record(index: int, choose: random.Random) -> dict[str, object]:
    return {
        "id": index,
        "customer": choose.randrange(200_000),
        "status": choose.choice(("new", "paid", "sent", "done")),
        "amount": round(choose.random() * 1000, 2),
        "email": f"user{choose.randrange(200_000)}@example.com",
        "note": None if choose.random() < 0.2 else f"{choose.getrandbits(200):x}",
        "gift": choose.random() < 0.1,
        "updated_at": f"2026-01-{1 + index // SIZE % 28:02}T{index % 24:02}:{index % 60:02}:00Z",
    }


def serve(connection: socket.socket, answers: dict[int, list[bytes]]) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    with connection:
        while data := connection.recv(65536):
            request += data
            while b"\r\n\r\n" in request:
                line, _, request = request.partition(b"\r\n\r\n")
                found = _PAGE.match(line)
                if found is None:
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                connection.sendall(answers[int(found[1])][int(found[2] or 1) - 1])


def main() -> None:
    choose = random.Random(SEED)
    answers = {int(records): pages(int(records), choose) for records in sys.argv[1:]}
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, answers), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
