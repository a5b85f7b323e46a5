"""Reads the API of ``peers/rest_server.py`` by the REST source, and prints what ``peers/rest_count.py`` prints.

python rest_read.py BASE_URL records|cursor|flow
"""

from __future__ import annotations

import sys
import time
from typing import Any

from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.source_rest import RestConfig, RestSource


def config(base_url: str, **options: Any) -> dict[str, Any]:
    return {"base_url": base_url, "streams": [{"name": "orders", **options}]}


def read(base_url: str, **options: Any) -> int:
    """Records in all payloads of the stream."""
    source = RestSource(decode_config(config(base_url, **options), RestConfig, location="benchmark"))
    partitions = source.streams()[0].partitions({})
    payloads = (payload.data for partition in partitions for payload in partition.read({}))
    count = sum(len(rows) for rows in payloads if isinstance(rows, list))
    source.disconnect()
    return count


def flow(base_url: str) -> int:
    """Records that the runtime turns into columns and hands to a destination, which drops them."""
    environment = Environment()
    environment.registry.add("rest", "vdk.plugin.source_rest.source:RestSource")
    environment.registry.add_destination("nothing", "nothing:Nothing")
    found = execute(
        {
            "sources": {"api": {"name": "rest", "config": config(base_url, primary_key="id")}},
            "destinations": {"nothing": {"method": "nothing"}},
            "flows": [{"from": "api", "to": "nothing", "write_mode": "append"}],
        },
        environment,
    )
    return int(found.streams[0].rows_landed)


HOW = {
    "records": lambda base_url: read(base_url, primary_key="id"),
    "cursor": lambda base_url: read(base_url, primary_key="id", cursor={"field": "updated_at"}),
    "flow": flow,
}


if __name__ == "__main__":
    wall, cpu = time.perf_counter(), time.process_time()
    records = HOW[sys.argv[2]](sys.argv[1])
    print(time.perf_counter() - wall, time.process_time() - cpu, records)
