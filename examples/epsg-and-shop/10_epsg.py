"""The EPSG registry: every table and view of the SQLite database inside pyproj."""

from __future__ import annotations

from pathlib import Path

import pyproj.datadir
from vdk.api.job_input import IJobInput

from vdk.plugin.datasource_base import run_flows


def run(job_input: IJobInput) -> None:
    data = Path(job_input.get_job_directory()) / "data"
    data.mkdir(exist_ok=True)
    run_flows(
        job_input,
        {
            "summary": str(data / "epsg.json"),
            "sources": {
                "epsg": {
                    "name": "sqlite",
                    "config": {"database": str(Path(pyproj.datadir.get_data_dir()) / "proj.db"), "views": ["*"]},
                }
            },
            "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{data / 'lake.duckdb'}"}},
            "flows": [{"from": "epsg", "to": "lake", "destination_table": "epsg_{table}"}],
        },
    )
