"""What our plugins add to every ``vdk`` command."""

from __future__ import annotations

from bench import Bench
from measure import Contender
from report import Comparison, Target

ALLOWED = 0.1


def measure(bench: Bench) -> list[Comparison]:
    """``vdk --help`` and ``vdk datasource list`` with all plugins, against ``vdk --help`` of vdk-core alone."""
    quiet = {"VDK_VERSION_CHECK_DISABLED": "true"}
    measured = bench.measure(
        Contender("vdk-core alone: vdk --help", [bench.core / "vdk", "--help"], environment=quiet),
        Contender("all plugins: vdk --help", [bench.ours / "vdk", "--help"], environment=quiet),
        Contender("all plugins: vdk datasource list", [bench.ours / "vdk", "datasource", "list"], environment=quiet),
    )
    core, *ours = measured
    targets = [Target(f"{our.name}, seconds over vdk-core", our.wall - core.wall, ALLOWED) for our in ours]
    return [Comparison("Start-up", measured, core.name, targets)]
