"""The limit of an upsert: ADBC reads the rows after a time, and one MERGE puts them into an existing DuckDB table.

python merge_into_duckdb.py DATABASE LAKE TIME
"""

import sys

import adbc_driver_sqlite.dbapi
import duckdb

database, lake, since = sys.argv[1:]
with adbc_driver_sqlite.dbapi.connect(f"file:{database}?mode=ro") as source, source.cursor() as cursor:
    cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": "20000"})
    cursor.execute("SELECT * FROM orders WHERE updated_at > ?", (since,))
    with cursor.fetch_record_batch() as reader, duckdb.connect(lake) as target:
        target.execute(
            "MERGE INTO orders USING reader USING (id) "
            "WHEN MATCHED THEN UPDATE BY NAME WHEN NOT MATCHED THEN INSERT BY NAME"
        )
