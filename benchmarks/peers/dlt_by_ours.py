"""dlt appends a table that our source reads, as ``dlt_copy.py`` does with dlt's own source.

    python dlt_by_ours.py FILE TARGET FOLDER

FILE is a database of SQLite, TARGET a file of DuckDB. FOLDER is dlt's own.
"""

import sys

import dlt

from vdk.plugin.datasource_dlt import dlt_source

database, target, folder = sys.argv[1:]
flow = {
    "sources": {"bench": {"name": "sqlite", "config": {"database": database}}},
    "destinations": {"lake": {"method": "dlt"}},
    "flows": [{"from": "bench", "to": "lake", "streams": ["orders"], "write_mode": "append"}],
}
pipeline = dlt.pipeline(
    "bench", pipelines_dir=folder, destination=dlt.destinations.duckdb(target), dataset_name="bench_dataset"
)
pipeline.run(dlt_source(flow))
