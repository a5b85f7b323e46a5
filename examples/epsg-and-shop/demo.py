"""Runs the job twice, with changed rows in between, and shows what landed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import shop
from tabulate import tabulate

JOB = Path(__file__).resolve().parent
DATA = JOB / "data"
LAKE = DATA / "lake.duckdb"


def main() -> None:
    for old in [LAKE, *DATA.glob("lake.duckdb.*")]:
        old.unlink(missing_ok=True)
    shop.make()
    headline("First run: everything lands")
    first = run_job()
    print(tabulate([summed("EPSG registry", first["epsg"]), *by_stream(first["shop"])], headers="keys", intfmt=","))
    print(f"\n{first['seconds']:.1f} s, with the start of Python and VDK")

    changed = shop.change()
    headline(f"{sum(changed.values())} rows of the shop change; second run: only they move")
    second = run_job()
    print(tabulate([summed("EPSG registry", second["epsg"]), *by_stream(second["shop"])], headers="keys", intfmt=","))
    print(f"\n{second['seconds']:.1f} s")

    headline(f"What is in {LAKE.relative_to(Path.cwd()) if LAKE.is_relative_to(Path.cwd()) else LAKE}")
    show(
        "Coordinate systems of Switzerland, from the EPSG registry",
        """
        SELECT crs.auth_name || ':' || crs.code AS id, crs.name, extent.name AS "where"
        FROM epsg_projected_crs crs
        JOIN epsg_usage usage ON usage.object_code = crs.code AND usage.object_auth_name = crs.auth_name
            AND usage.object_table_name = 'projected_crs'
        JOIN epsg_extent extent ON extent.code = usage.extent_code AND extent.auth_name = usage.extent_auth_name
        WHERE extent.name LIKE 'Europe%Switzerland%' AND crs.deprecated = false
        ORDER BY 1 LIMIT 5
        """,
    )
    show(
        "The latest orders, with their types",
        """
        SELECT o.id, c.name, c.city, o.ordered_on, o.total, p.name AS first_item, o.updated_time
        FROM orders o JOIN customers c ON c.id = o.customer_id
        LEFT JOIN "order items" i ON i.order_id = o.id AND i.line = 1 LEFT JOIN products p USING (sku)
        ORDER BY o.updated_time DESC, o.id DESC LIMIT 5
        """,
    )
    check(second["shop"], changed)


def run_job() -> dict[str, Any]:
    """One ``vdk run``; its log is kept in data/vdk.log and shown where it fails."""
    started = time.monotonic()
    log = DATA / "vdk.log"
    with log.open("w", encoding="utf-8") as out:
        command = [sys.executable, "-m", "vdk.internal.cli_entry", "run", str(JOB)]
        done = subprocess.run(command, check=False, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{log.read_text('utf-8')}\n\nThe job failed; its log is above, and in {log}.")
    summaries = {name: json.loads((DATA / f"{name}.json").read_text("utf-8"))["streams"] for name in ("epsg", "shop")}
    return {**summaries, "seconds": time.monotonic() - started}


def by_stream(streams: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"from": f"{stream['source']}.{stream['stream']}", "to": stream["table"], "rows landed": stream["rows_landed"]}
        for stream in streams
    ]


def summed(name: str, streams: Sequence[dict[str, Any]]) -> dict[str, Any]:
    landed = sum(stream["rows_landed"] for stream in streams)
    return {"from": f"{name}, {len(streams)} tables and views", "to": "epsg_…, replaced", "rows landed": landed}


def headline(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m\n" if sys.stdout.isatty() else f"\n{text}\n{'=' * len(text)}\n")


def show(title: str, query: str) -> None:
    with duckdb.connect(str(LAKE), read_only=True) as lake:
        result = lake.execute(query)
        heads = [f"{column[0]}\n{str(column[1]).lower()}" for column in result.description or ()]
        print(f"{title}:\n{tabulate(result.fetchall(), headers=heads, disable_numparse=True)}\n")


def check(shop_streams: Sequence[dict[str, Any]], changed: dict[str, int]) -> None:
    landed = {stream["stream"]: stream["rows_landed"] for stream in shop_streams}
    if landed != changed:
        sys.exit(f"The second run should have landed {changed}, and landed {landed}.")
    print("The second run landed the changed rows and no others.")


if __name__ == "__main__":
    main()
