"""dlt reads the table of a SQLite file, or of a URL, with a cursor and a key, and appends it to DuckDB.

The last argument names its backend.
"""

import sys
from pathlib import Path

import dlt
from dlt.sources.sql_database import sql_table

database, lake, backend = sys.argv[1:]
options = {"backend_kwargs": {"return_type": "arrow"}} if backend == "connectorx" else {}
orders = sql_table(
    database if "://" in database else f"sqlite:///{database}", table="orders", backend=backend, chunk_size=50_000,
    incremental=dlt.sources.incremental("updated_at"), **options,
)  # fmt: skip
pipeline = dlt.pipeline(
    "bench", pipelines_dir=str(Path(lake).parent / "dlt"), destination=dlt.destinations.duckdb(lake)
)
pipeline.run(orders, write_disposition="append", primary_key="id")
