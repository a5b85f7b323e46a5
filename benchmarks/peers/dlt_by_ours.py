"""dlt loads a table that our source reads, as ``dlt_copy.py`` does with dlt's own source.

    python dlt_by_ours.py URL TARGET FOLDER

URL is that of a database, TARGET a file of DuckDB. FOLDER is dlt's own.
"""

import sys

import dlt

from vdk.plugin.datasource_dlt import dlt_source

url, target, folder = sys.argv[1:]
pipeline = dlt.pipeline(
    "bench", pipelines_dir=folder, destination=dlt.destinations.duckdb(target), dataset_name="bench_dataset"
)
pipeline.run(dlt_source(url, streams=["orders"]), write_disposition="append")
