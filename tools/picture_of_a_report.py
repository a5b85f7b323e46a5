"""Draws docs/pictures/run-report.png: the page that `vdk datasource run --report` writes, as a browser shows it.

    .venv/bin/python tools/picture_of_a_report.py

The runs are real. It needs Chromium, such as chromium-headless-shell.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "run-report.png"
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
RUNS = 4
SIZE = "1120,1000"

SHOP = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total DECIMAL(10, 2), updated_at TIMESTAMP);
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, score INTEGER);
INSERT INTO customers VALUES (1, 'Ada', 7), (2, 'Grace', 'unknown'), (3, 'Edsger', 9);
"""
ORDERS = """
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
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
on_bad_record = "reject"
max_rejected = "50%"
batch_rows = 20000
"""


def main() -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("no Chromium; write: apt-get install chromium-headless-shell")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "shop.toml").write_text(FLOW, "utf-8")
        for number in range(RUNS):
            fill(folder / "shop.db", number)
            run(folder)
        picture = folder / "run.png"
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}",
                f"--user-data-dir={folder / 'profile'}", f"--screenshot={picture}", (folder / "run.html").as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        PICTURE.write_bytes(picture.read_bytes())
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


def fill(path: Path, number: int) -> None:
    """More orders than the runs before have read."""
    with closing(sqlite3.connect(path)) as shop, shop:
        if number == 0:
            shop.executescript(SHOP)
        shop.execute(ORDERS, {"first": number * 100_000 + 1, "last": (number + 1) * 100_000 - number * 15_000})


def run(folder: Path) -> None:
    command = [sys.executable, "-m", "vdk.internal.cli_entry", "datasource", "run", "shop.toml", "-q"]
    environment = {**os.environ, "VDK_VERSION_CHECK_DISABLED": "true", "DATASOURCE_PROGRESS_SECONDS": "0.1"}
    subprocess.run([*command, "--report", "run.html"], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    main()
