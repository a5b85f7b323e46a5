"""The limit: pages are asked for and decoded, and their records are counted and dropped.

    python rest_count.py BASE_URL

Prints seconds and processor seconds of the loop, and the number of records.
"""

from __future__ import annotations

import sys
import time

import msgspec
import requests


def main(base_url: str) -> int:
    count, link = 0, "/orders"
    with requests.Session() as session:
        while link:
            body = msgspec.json.decode(session.get(f"{base_url}{link}", timeout=60).content)
            count += len(body["orders"])
            link = body["next"]
    return count


if __name__ == "__main__":
    wall, cpu = time.perf_counter(), time.process_time()
    records = main(sys.argv[1])
    print(time.perf_counter() - wall, time.process_time() - cpu, records)
