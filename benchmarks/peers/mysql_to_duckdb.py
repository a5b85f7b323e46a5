"""A limit: one driver of MySQL into a new DuckDB table, through Arrow. No state, no second run.

python mysql_to_duckdb.py URL LAKE mariadb | pymysql
"""

import importlib
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa

url, lake, driver = sys.argv[1:]
COLUMNS = {
    **dict.fromkeys(("id",), pa.int64()),
    **{"customer_id": pa.int32(), "status": pa.string(), "amount": pa.decimal128(10, 2), "quantity": pa.int32()},
    **{"email": pa.string(), "note": pa.string(), "is_gift": pa.int8()},
    **dict.fromkeys(("created_at", "updated_at"), pa.timestamp("us")),
}


def batches() -> Iterator[pa.RecordBatch]:
    place = urlsplit(url)
    module = importlib.import_module(driver)
    address = {"host": place.hostname, "port": place.port, "user": place.username, "password": place.password}
    connection = module.connect(**address, database=place.path[1:])
    streaming = importlib.import_module("pymysql.cursors").SSCursor if driver == "pymysql" else None
    cursor = connection.cursor(streaming) if streaming else connection.cursor(buffered=False)
    cursor.execute("SELECT * FROM orders")
    while rows := cursor.fetchmany(20_000):
        columns = zip(*rows, strict=True)
        yield pa.RecordBatch.from_arrays(
            [pa.array(values, type_) for values, type_ in zip(columns, COLUMNS.values(), strict=True)], list(COLUMNS)
        )


with duckdb.connect(lake) as target:
    reader = pa.RecordBatchReader.from_batches(pa.schema(COLUMNS), batches())
    target.execute("CREATE TABLE orders AS SELECT * FROM reader")
