"""dlt's declarative source of APIs, appended to DuckDB.

python dlt_rest.py BASE_URL LAKE FOLDER
"""

import sys

import dlt
from dlt.sources.rest_api import rest_api_source

base_url, lake, folder = sys.argv[1:]
source = rest_api_source(
    {
        "client": {"base_url": f"{base_url}/", "paginator": {"type": "json_link", "next_url_path": "next"}},
        "resources": [
            {"name": "orders", "primary_key": "id", "endpoint": {"path": "orders", "data_selector": "orders"}},
        ],
    }
)
pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=dlt.destinations.duckdb(lake))
pipeline.run(source, write_disposition="append")
