"""The limit of a target: ADBC reads SQLite, and the target's fastest writer writes. No state, no second run.

    python adbc_to_target.py DATABASE TARGET

TARGET is a URL of SQLite or PostgreSQL, which ADBC writes, or of a Parquet folder, which Arrow writes.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi
import pyarrow.parquet as pq

database, target = sys.argv[1:]
kind, _, path = target.partition("://")
path = "/" + path.lstrip("/")


def ingest(reader: Any) -> None:
    """A new table of a database, in one transaction."""
    driver = importlib.import_module(f"adbc_driver_{kind}.dbapi")
    with driver.connect(target if kind == "postgresql" else f"file:{path}") as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("orders", reader, mode="create")
        connection.commit()


def write(reader: Any) -> None:
    """One file."""
    folder = Path(path) / "orders"
    folder.mkdir(parents=True)
    with pq.ParquetWriter(folder / "orders.parquet", reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch, row_group_size=122_880)


with adbc_driver_sqlite.dbapi.connect(f"file:{database}?mode=ro") as source, source.cursor() as cursor_:
    cursor_.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": "122880"})
    cursor_.execute("SELECT * FROM orders")
    with cursor_.fetch_record_batch() as rows:
        (write if kind == "parquet" else ingest)(rows)
