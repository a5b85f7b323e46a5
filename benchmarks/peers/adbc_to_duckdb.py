"""The limit: ADBC's driver into a new DuckDB table. No state, no types of time, no second run.

python adbc_to_duckdb.py PATH_OR_URL LAKE [ROWS_OF_A_BATCH]
"""

import importlib
import sys

import duckdb

source, lake, *more = sys.argv[1:]
rows = more[0] if more else "20000"
postgres = "://" in source
driver = importlib.import_module(f"adbc_driver_{'postgresql' if postgres else 'sqlite'}.dbapi")
with driver.connect(source if postgres else f"file:{source}?mode=ro") as connection, connection.cursor() as cursor:
    if not postgres:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": rows})
    cursor.execute("SELECT * FROM orders")
    with cursor.fetch_record_batch() as reader, duckdb.connect(lake) as target:
        target.execute("CREATE TABLE orders AS SELECT * FROM reader")
