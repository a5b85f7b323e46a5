"""The limit: pages are asked for, decoded and inserted into a new DuckDB table. No state, no check of a value.

    python rest_to_duckdb.py BASE_URL [LAKE]

Without LAKE their records are counted and dropped.
"""

import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import duckdb
import msgspec
import pyarrow as pa
import requests

base_url, *lake = sys.argv[1:]
NUMBERS = {"id": pa.int64(), "customer": pa.int64(), "amount": pa.float64(), "gift": pa.bool_()}
COLUMNS = ("id", "customer", "status", "amount", "email", "note", "gift", "updated_at")
SCHEMA = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in COLUMNS])


def pages() -> Iterator[list[dict[str, Any]]]:
    url: str | None = f"{base_url}/orders"
    with requests.Session() as session:
        while url:
            body = msgspec.json.decode(session.get(url, timeout=60).content)
            yield body["orders"]
            url = urljoin(base_url, body["next"]) if body["next"] else None


if lake:
    with duckdb.connect(lake[0]) as target:
        reader = pa.RecordBatchReader.from_batches(
            SCHEMA, (pa.RecordBatch.from_pylist(page, SCHEMA) for page in pages())
        )
        target.execute("CREATE TABLE orders AS SELECT * REPLACE (updated_at::timestamptz AS updated_at) FROM reader")
else:
    print(sum(map(len, pages())))
