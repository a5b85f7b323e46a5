"""Draws docs/pictures/killed-run.svg from a real run that is killed in the middle, and the run after it.

    .venv/bin/python tools/picture_of_a_kill.py

Both processes are real, and so is every number in the picture: rows over time are those of the progress lines, the
counts are queried from the DuckDB file.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from html import escape
from pathlib import Path

import duckdb

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "killed-run.svg"
ROWS = 2_000_000
KILLED_FROM = 0.45
"""The run is killed when it has reported this part of the rows."""

SHOP = f"""
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total DECIMAL(10, 2), updated_at TIMESTAMP);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO orders
SELECT i, 'customer ' || i % 1000, i % 100000 / 100.0, datetime('2026-01-01', i || ' seconds') FROM n;
"""
FLOW = """
[sources.shop]
name = "sqlite"
config = { database = "shop.db" }

[destinations.lake]
method = "arrow"
target = "duckdb:///lake.duckdb"

[[flows]]
from = "shop"
to = "lake"
"""
ENVIRONMENT = {
    "VDK_VERSION_CHECK_DISABLED": "true",
    "DATASOURCE_PROGRESS_SECONDS": "0.1",
    "DATASOURCE_BATCH_ROWS": "40000",
}


@dataclass(frozen=True)
class Run:
    """What a run reported: (seconds since its start, rows) for each progress line, and the rows that the lake has."""

    points: Sequence[tuple[float, int]]
    committed: int
    distinct: int


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with closing(sqlite3.connect(folder / "shop.db")) as shop, shop:
            shop.executescript(SHOP)
        (folder / "shop.toml").write_text(FLOW, "utf-8")
        killed, completed = run(folder, kill_from=int(ROWS * KILLED_FROM)), run(folder)
    if completed.committed != ROWS or completed.distinct != ROWS:
        sys.exit(f"expected {ROWS} rows, each once: {completed.committed} rows, {completed.distinct} keys")
    if not 0 < killed.committed < ROWS:
        sys.exit(f"the run was not killed in the middle: {killed.committed} rows were committed")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(killed, completed), "utf-8")
    print(f"{PICTURE}: killed after {killed.committed:,} rows, then {ROWS - killed.committed:,} more")


def run(folder: Path, kill_from: int | None = None) -> Run:
    """Run the flow, and send SIGKILL once it has reported ``kill_from`` rows."""
    started = time.monotonic()
    command = [sys.executable, "-m", "vdk.internal.cli_entry", "datasource", "run", "shop.toml", "--log-format", "json"]
    points = [(0.0, 0)]
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            message = json.loads(line)["message"] if line.startswith("{") else ""
            if match := re.search(r"([\d,]+) rows? ", message):
                points.append((time.monotonic() - started, int(match[1].replace(",", ""))))
                if kill_from is not None and points[-1][1] >= kill_from:
                    process.send_signal(signal.SIGKILL)
                    break
    seconds = time.monotonic() - started
    with closing(duckdb.connect(str(folder / "lake.duckdb"))) as lake:
        row = lake.execute("SELECT count(*), count(DISTINCT id) FROM orders").fetchone()
    assert row is not None
    # Without start-up, which depends on the machine and would be most of the picture.
    begin = max(second for second, rows in points if rows == 0)
    shown = [(second - begin, rows) for second, rows in [*points, (seconds, points[-1][1])] if second >= begin]
    return Run(shown, int(row[0]), int(row[1]))


def picture(killed: Run, completed: Run) -> str:
    """The rows in the lake over the time of both runs, beside the commands."""
    left, top, width, height = 70, 150, 790, 210
    seconds = killed.points[-1][0] + completed.points[-1][0]

    def place(second: float, rows: int) -> str:
        return f"{left + width * second / seconds:.1f},{top + height * (1 - rows / ROWS):.1f}"

    def line(points: Sequence[tuple[float, int]], offset: float, base: int) -> str:
        shown = [(second + offset, min(base + rows, ROWS)) for second, rows in points]
        return " ".join(place(*point) for point in shown)

    end = killed.points[-1][0]
    kept = killed.committed
    after = [
        *((second, min(rows, ROWS - kept)) for second, rows in completed.points[:-1]),
        (seconds - end, ROWS - kept),
    ]
    x, y = (float(part) for part in place(end, kept).split(","))
    lost = max(rows for _, rows in killed.points) - kept
    dropped = (
        f"{lost:,} more were read, not committed, and dropped" if lost > 0 else "what was not committed is dropped"
    )
    rows = "SELECT count(*), count(DISTINCT id) FROM orders"
    texts = [
        (24, 34, "prompt", "$ vdk datasource run shop.toml"),
        (24, 56, "output", f"Killed (kill -9)      in the lake: {kept:,} rows, and the state that covers exactly them"),
        (24, 82, "prompt", "$ vdk datasource run shop.toml"),
        (24, 104, "output", f"succeeded             {ROWS - kept:,} rows landed"),
        (24, 130, "prompt", f"$ {rows}   →   {completed.committed:,} | {completed.distinct:,}"),
        (x + 10, y + 28, "note", "kill -9"),
        (x + 10, y + 46, "note", dropped),
        (left, top + height + 24, "axis", "0 s"),
        (left + width - 40, top + height + 24, "axis", f"{seconds:.0f} s"),
        (left + width / 2 - 190, top + height + 24, "axis", "rows over time, the start of both processes left out"),
        (8, top + 12, "axis", f"{ROWS / 1e6:g} M"),
        (8, top + height, "axis", "0 rows"),
    ]
    written = "\n".join(
        f'<text x="{x_:.1f}" y="{y_:.1f}" class="{kind}">{escape(text)}</text>' for x_, y_, kind, text in texts
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 400" role="img" aria-labelledby="title">
<title id="title">A run is killed after {kept:,} rows; the next one lands the other {ROWS - kept:,}, each once</title>
<style>
svg {{ background: #0d1117; border-radius: 8px }}
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #c9d1d9; white-space: pre }}
.prompt {{ fill: #7ee787 }} .note {{ fill: #ff7b72 }} .axis {{ fill: #8b949e; font-size: 12px }}
polyline {{ fill: none; stroke-width: 2.5; stroke-linejoin: round }}
</style>
<rect width="880" height="400" rx="8" fill="#0d1117"/>
<path d="M{left} {top} V{top + height} H{left + width}" fill="none" stroke="#30363d"/>
<path d="M{left} {y:.1f} H{left + width}" stroke="#30363d" stroke-dasharray="2 4"/>
<polyline points="{line(killed.points, 0, 0)}" stroke="#8b949e"/>
<polyline points="{line(after, end, kept)}" stroke="#7ee787"/>
<path d="M{x:.1f} {top} V{top + height}" stroke="#ff7b72" stroke-dasharray="4 4"/>
<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#ff7b72"/>
{written}
</svg>
"""


if __name__ == "__main__":
    main()
