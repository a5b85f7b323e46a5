"""The example job, run by `vdk`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from server import SAMPLE, TOKEN, HelpDesk
from vdk.plugin.datasource_base import plugin_entry as base
from vdk.plugin.datasource_base.testing import MemoryDestination
from vdk.plugin.source_acme import plugin_entry

JOB = Path(__file__).parents[1] / "acme-example"


def test_the_example_job_lands_its_tickets_after_a_retry(
    help_desk: HelpDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of it, since a job may write into its folder. The first request is answered with 503."""
    MemoryDestination.clear()
    help_desk.add(*SAMPLE)
    help_desk.failures.append((503, {"Retry-After": "0"}))
    monkeypatch.setenv("ACME_URL", help_desk.url)
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    job = shutil.copytree(JOB, tmp_path / JOB.name)
    result = CliEntryBasedTestRunner(base, plugin_entry).invoke(["run", str(job)])
    assert result.exit_code == 0, result.output
    assert sorted(row["id"] for row in MemoryDestination.tables()["tickets"]) == ["T-1", "T-2", "T-3"]
