"""The limit of Python alone: pages of sqlite3 as Arrow, into a new DuckDB table."""

import sqlite3
import sys

import duckdb
import pyarrow as pa

database, lake = sys.argv[1:]
KINDS = {"INTEGER": pa.int64(), "BOOLEAN": pa.int64(), "REAL": pa.float64()}
source = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
columns = source.execute("SELECT name, type FROM pragma_table_info('orders')").fetchall()
row = pa.struct([(name, KINDS.get(declared, pa.string())) for name, declared in columns])
with duckdb.connect(lake) as target:
    cursor = source.execute("SELECT * FROM orders")
    made = False
    while rows := cursor.fetchmany(122_880):
        page = pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array(rows, row))])
        target.execute("INSERT INTO orders FROM page" if made else "CREATE TABLE orders AS FROM page")
        made = True
