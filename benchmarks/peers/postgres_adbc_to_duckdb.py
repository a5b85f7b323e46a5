"""The limit: ADBC's PostgreSQL driver into a new DuckDB table. No state, no second run."""

import sys

import adbc_driver_postgresql.dbapi
import duckdb

url, lake = sys.argv[1:]
with adbc_driver_postgresql.dbapi.connect(url) as source, source.cursor() as cursor:
    cursor.execute("SELECT * FROM orders")
    with cursor.fetch_record_batch() as reader, duckdb.connect(lake) as target:
        target.execute("CREATE TABLE orders AS SELECT * FROM reader")
