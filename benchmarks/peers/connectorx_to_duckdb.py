"""connectorx reads into Arrow, and DuckDB makes a new table of it. No state, no second run, no check of a value.

    python connectorx_to_duckdb.py URL LAKE

It has no stream of MySQL, and panics on some of its decimals and times, which are therefore read as text.
"""

import sys

import connectorx
import duckdb

url, lake = sys.argv[1:]
if url.startswith("mysql:"):
    texts = ("amount", "created_at", "updated_at")
    others = "id, customer_id, status, quantity, email, note, is_gift"
    query = f"SELECT {others}, {', '.join(f'CAST({name} AS CHAR) AS {name}' for name in texts)} FROM orders"
    selected = "* REPLACE (amount::decimal(10,2) AS amount, created_at::timestamp AS created_at, "
    selected += "updated_at::timestamp AS updated_at)"
    reader = connectorx.read_sql(url, query, return_type="arrow")
else:
    selected = "*"
    reader = connectorx.read_sql(url, "SELECT * FROM orders", return_type="arrow_stream", batch_size=20_000)
with duckdb.connect(lake) as target:
    target.execute(f"CREATE TABLE orders AS SELECT {selected} FROM reader")
