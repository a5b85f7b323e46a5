"""dlt reads a table with a cursor and a key, and appends it to a target.

    python dlt_copy.py URL TARGET BACKEND FOLDER

TARGET is a file of DuckDB, a URL of PostgreSQL or SQLite, or, after ``parquet:///``, a folder. FOLDER is dlt's own.
"""

import sys
from typing import Any

import dlt
from dlt.sources.sql_database import sql_table

url, target, name, folder = sys.argv[1:]
backend: Any = name
options: dict[str, Any] = {"backend_kwargs": {"return_type": "arrow"}} if backend == "connectorx" else {}
orders = sql_table(
    url,
    table="orders",
    backend=backend,
    chunk_size=50_000,
    incremental=dlt.sources.incremental("updated_at"),
    **options,
)
loaded: dict[str, Any] = {}
if target.startswith("parquet://"):
    destination: Any = dlt.destinations.filesystem(target.removeprefix("parquet:///"))
    loaded = {"loader_file_format": "parquet"}
elif target.startswith("postgresql://"):
    destination = dlt.destinations.postgres(target)
elif target.startswith("sqlite://"):
    destination = dlt.destinations.sqlalchemy(target)
else:
    destination = dlt.destinations.duckdb(target)
# dlt attaches another file for any other dataset of SQLite
dataset = "main" if target.startswith("sqlite://") else "bench_dataset"
pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=destination, dataset_name=dataset)
pipeline.run(orders, write_disposition="append", primary_key="id", **loaded)
