"""What a VDK job does without this project: reads rows and sends them, one table at a time."""

import os
import sqlite3


def run(job_input):
    with sqlite3.connect(os.environ["BENCH_DATABASE"]) as source:
        rows = source.execute("SELECT * FROM orders")
        job_input.send_tabular_data_for_ingestion(
            rows,
            column_names=[column[0] for column in rows.description],
            destination_table="orders",
            method=os.environ["BENCH_METHOD"],
            target=os.environ["BENCH_TARGET"],
        )
