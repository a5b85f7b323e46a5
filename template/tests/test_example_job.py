"""The example job, run by `vdk`."""

from __future__ import annotations

import shutil
from pathlib import Path

from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from vdk.plugin.datasource_base import plugin_entry as base
from vdk.plugin.datasource_base.testing import MemoryDestination
from vdk.plugin.source_acme import plugin_entry

JOB = Path(__file__).parents[1] / "acme-example"


def test_the_example_job_lands_its_tickets(tmp_path: Path) -> None:
    """A copy of it, since a job may write into its folder."""
    MemoryDestination.clear()
    job = shutil.copytree(JOB, tmp_path / JOB.name)
    runner = CliEntryBasedTestRunner(base, plugin_entry)
    result = runner.invoke(["run", str(job)])
    assert result.exit_code == 0, result.output
    landed = sorted(row["id"] for row in MemoryDestination.tables()["tickets"])
    assert landed == ["B-1", "B-2", "B-3", "S-1", "S-2"]
