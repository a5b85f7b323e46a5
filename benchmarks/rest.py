"""Reading an HTTP API into DuckDB: ours, the peers, and asking for its pages with nothing around it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bench import Bench, emptied, lands, ours, removing
from measure import Contender
from report import OURS, Comparison, Target, ahead
from rivals import OFFLINE, SLOW, piped, sizes
from serving_command import cloudquery

LIMIT, COUNTING = "requests, msgspec → Arrow → DuckDB (limit)", "requests and msgspec, counting (limit)"
WITH_CURSOR = f"{OURS}, with a cursor"
ALLOWED = 1.5
COLUMNS = {
    **{"id": "integer", "customer": "integer", "status": "text", "amount": "number", "email": "text"},
    **{"note": "text", "gift": "integer", "updated_at": "text"},
}


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads all records. The server runs before, in a process of its own."""
    with bench.server("rest_server.py", *sizes(bench.rows)) as server:
        urls = {rows: f"{server}/{rows}" for rows in sizes(bench.rows)}
        with cloudquery(bench, "REST", urls, bench.rows, COLUMNS) as sync:
            measured = bench.measure(
                *limits(bench, urls[bench.rows]),
                _ours(bench, OURS, urls[bench.rows]),
                _ours(bench, WITH_CURSOR, urls[bench.rows], ', cursor = { field = "updated_at" }'),
                dlt(bench, urls),
                singer(bench, urls),
                sync,
            )
    title = f"{bench.rows:,} records, pages of 1,000, HTTP API → DuckDB, cold process"
    comparison = Comparison(title, measured, LIMIT)
    we = comparison.of(OURS)
    targets = [
        Target("times the limit", we.wall / comparison.of(LIMIT).wall, ALLOWED),
        ahead(measured, we),
    ]
    return [Comparison(title, measured, LIMIT, targets)]


def limits(bench: Bench, url: str) -> list[Contender]:
    python = bench.environments.peer("rest", "requests", "msgspec", "pyarrow", "duckdb") / "python"
    lake = bench.space("rest-limit") / "lake.duckdb"
    script, check = bench.peers / "rest_to_duckdb.py", lands(bench, lake, f"count(*) = {bench.rows}")
    return [
        Contender(COUNTING, [python, script, url], rows=bench.rows),
        Contender(LIMIT, [python, script, url, lake], prepare=removing(lake), check=check, rows=bench.rows),
    ]


def _ours(bench: Bench, name: str, url: str, more: str = "") -> Contender:
    stream = f'{{ name = "orders", primary_key = "id"{more} }}'
    return ours(bench, name, "rest", f'base_url = "{url}", streams = [{stream}]', rows=bench.rows)


def dlt(bench: Bench, urls: Mapping[int, str]) -> Contender:
    rows = bench.rows // SLOW
    python = bench.environments.peer("dlt-rest", "dlt[duckdb]") / "python"
    space = bench.space("rest-dlt")
    lake = space / "lake.duckdb"

    def command(count: int) -> list[str]:
        return [str(each) for each in (python, bench.peers / "dlt_rest.py", urls[count], lake, space / "dlt")]

    return Contender(
        "dlt, rest_api",
        command(rows),
        environment=OFFLINE,
        prepare=emptied(space),
        check=lands(bench, lake, f"count(*) = {rows}", "bench_dataset.orders"),
        runs=2,
        rows=bench.rows,
        scale=bench.rows / rows,
        start=command(1),
        note=f"extrapolated from {rows:,} records",
    )


def singer(bench: Bench, urls: Mapping[int, str]) -> Contender:
    rows = bench.rows // SLOW
    space = bench.space("rest-singer")
    lake, config = space / "lake.duckdb", space / "target.json"
    config.write_text(json.dumps({"path": str(lake), "default_target_schema": "main"}), "utf-8")
    tap = bench.environments.peer("singer-rest", "singer-sdk") / "python"
    sources = {count: {"url": urls[count]} for count in (rows, 1)}
    command = [tap, bench.peers / "singer_rest_tap.py"]
    return piped(bench, command, config, sources, rows=rows, scale=bench.rows / rows, lake=lake)
