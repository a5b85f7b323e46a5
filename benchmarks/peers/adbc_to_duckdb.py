"""The limit: ADBC's SQLite driver into a new DuckDB table. No state, no types of time, no second run."""

import sys

import adbc_driver_sqlite.dbapi
import duckdb

database, lake = sys.argv[1:]
with adbc_driver_sqlite.dbapi.connect(f"file:{database}?mode=ro") as source, source.cursor() as cursor:
    cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": "20000"})
    cursor.execute("SELECT * FROM orders")
    reader = cursor.fetch_record_batch()
    with duckdb.connect(lake) as target:
        target.execute("CREATE TABLE orders AS SELECT * FROM reader")
