"""A PostgreSQL table on Spark: our reader, Spark's own JDBC source, and Parquet files of the same rows."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from bench import Bench
from report import Comparison, Target

DRIVER = "libpostgresql-jdbc-java"
INSTALLED = Path("/usr/share/java/postgresql.jar")
VDK, JDBC, PARQUET, BARE = "format vdk", "format jdbc", "format parquet", "our reader without Spark"
RANGES, PLAN = "format vdk, in ranges", "format vdk, its plan alone"


def measure(bench: Bench) -> list[Comparison]:
    """One session on this machine, in turns. Rows go nowhere (``noop``), so that reading is all that counts."""
    space = bench.space("spark")
    python = bench.spark / "python"
    script = Path(__file__).with_name("on_spark_read.py")
    with bench.server("postgres_server.py", bench.rows) as server:
        url = f"{server}/shop{bench.rows}"
        command = [str(python), str(script), str(space), url, str(bench.rows), str(bench.runs), str(jdbc_driver(space))]
        measured = bench.measured_in(command, bench.rows)
    ours = measured[VDK]
    targets = [Target("processor seconds, format vdk / our reader without Spark", ours.cpu / measured[BARE].cpu, 2.0)]
    if JDBC in measured:
        targets.append(Target("processor seconds, format vdk / format jdbc", ours.cpu / measured[JDBC].cpu, 1.0))
    measured[PLAN] = replace(measured[PLAN], rows=0)
    title = f"{bench.rows:,} rows, 10 columns, PostgreSQL on Spark, one partition where nothing else is said"
    return [Comparison(title, list(measured.values()), VDK, targets)]


def jdbc_driver(folder: Path) -> Path:
    """PostgreSQL's driver for Java, from Debian. Where it cannot be had, the path does not exist."""
    if INSTALLED.exists() or shutil.which("apt-get") is None:
        return INSTALLED
    subprocess.run(["apt-get", "download", DRIVER], check=False, cwd=folder, capture_output=True)
    for archive in folder.glob(f"{DRIVER}*.deb"):
        subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=False)
    return folder / "usr" / "share" / "java" / INSTALLED.name
