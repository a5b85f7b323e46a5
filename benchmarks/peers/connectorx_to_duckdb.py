"""A limit: connectorx streams Arrow into a new DuckDB table. No state, no second run."""

import sys

import connectorx
import duckdb

database, lake = sys.argv[1:]
reader = connectorx.read_sql(
    f"sqlite://{database}", "SELECT * FROM orders", return_type="arrow_stream", batch_size=20_000
)
with duckdb.connect(lake) as target:
    target.execute("CREATE TABLE orders AS SELECT * FROM reader")
