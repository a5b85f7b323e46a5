"""Compares serving a SQLite table to CloudQuery with reading it into Arrow, and with a plugin on CloudQuery's SDK.

By a bare client of the protocol, and by CloudQuery's own command.
"""

from __future__ import annotations

from pathlib import Path

import data
import serving_command
from bench import Bench
from report import Comparison, Target

SDK_SHARE = 25
"""The SDK's plugin reads one row in so many, as it sends one row in a message; its figures are multiplied."""
ARROW, SERVED, SDK = "the source, to Arrow", "our plugin, to a bare client", "CloudQuery's SDK for Python, to the same"


def measure(bench: Bench) -> list[Comparison]:
    """Run all contenders in turns, each plugin in a process of its own, which is started before."""
    python, sdk = bench.cloudquery / "python", bench.environments.peer("cloudquery-sdk", *serving_command.SDK)
    rows = bench.rows // 2
    large, small = (data.orders(bench.folder / "data" / f"orders-{n}.db", n) for n in (rows, rows // SDK_SHARE))
    script, space = Path(__file__).with_name("serving_read.py"), bench.space("serving")
    peer = bench.peers / "cloudquery_sdk.py"
    arguments = [large, rows, small, rows // SDK_SHARE, bench.runs, sdk / "python", peer]
    command = [str(python), str(script), str(space), *map(str, arguments)]
    measured = bench.measured_in(command, rows, {SDK: float(SDK_SHARE)})
    arrow, served, sdk_plugin = measured[ARROW], measured[SERVED], measured[SDK]
    targets = [
        Target("seconds, our plugin / the source to Arrow", served.wall / arrow.wall, 1.3),
        Target("processor seconds, the same (client and server)", served.cpu / arrow.cpu, 1.3),
        Target("rows a second, our plugin / CloudQuery's SDK", sdk_plugin.wall / served.wall, 10, least=True),
    ]
    title = f"Serving a SQLite table to CloudQuery, {rows:,} rows of 10 columns"
    bare = Comparison(title, list(measured.values()), ARROW, targets)
    databases = {large: rows, small: rows // SDK_SHARE}
    return [bare, serving_command.compare(bench, bench.cloudquery, sdk, databases)]
