"""What our plugins add to every ``vdk`` command, and what an idle run takes beside the imports that it needs."""

from __future__ import annotations

import data
from bench import QUIET, Bench, flow
from measure import Contender
from report import Comparison, Target

ALLOWED = 0.1
IMPORTS = {
    "Python alone": "pass",
    "import vdk-core": "import vdk.internal.cli_entry",
    "import SQLAlchemy": "import sqlalchemy",
    "import Arrow": "import pyarrow",
    "import DuckDB": "import duckdb",
    "import all of them": "import vdk.internal.cli_entry, sqlalchemy, pyarrow, duckdb",
}
"""The parts of an idle run that are not ours."""
EMPTY_JOB = "a VDK job that imports all of them and does nothing"


def measure(bench: Bench) -> list[Comparison]:
    """``vdk --help`` against that of vdk-core alone, and an idle run against the imports."""
    return [_commands(bench), _idle(bench)]


def _commands(bench: Bench) -> Comparison:
    measured = bench.measure(
        Contender("vdk-core alone: vdk --help", [bench.core / "vdk", "--help"], environment=QUIET),
        Contender("all plugins: vdk --help", [bench.ours / "vdk", "--help"], environment=QUIET),
        Contender("all plugins: vdk datasource list", [bench.ours / "vdk", "datasource", "list"], environment=QUIET),
    )
    core, *ours = measured
    targets = [Target(f"{our.name}, seconds over vdk-core", our.wall - core.wall, ALLOWED) for our in ours]
    return Comparison("Start-up", measured, core.name, targets)


def _idle(bench: Bench) -> Comparison:
    rows = bench.rows // 10
    database, space = data.orders(bench.folder / "data" / f"orders-{rows}.db", rows), bench.space("idle")
    path = flow(space, "sqlite", f'database = "{database}"', f"duckdb:///{space / 'lake.duckdb'}")
    run = Contender("an idle run", [bench.ours / "vdk", "datasource", "run", path], environment=QUIET)
    python = bench.ours / "python"
    job = bench.space("empty-job")
    code = f"{IMPORTS['import all of them']}\n\n\ndef run(job_input):\n    pass\n"
    (job / "10_nothing.py").write_text(code, "utf-8")
    empty = Contender(EMPTY_JOB, [bench.ours / "vdk", "run", job], environment=QUIET)
    bench.measure(run)  # the first one lands the rows
    measured = bench.measure(
        *(Contender(name, [python, "-c", code], environment=QUIET) for name, code in IMPORTS.items()), empty, run
    )
    *_, imports, nothing, idle = measured
    targets = [
        Target("an idle run, seconds over the imports", idle.wall - imports.wall, ALLOWED),
        Target("an idle run, processor seconds over the imports", idle.cpu - imports.cpu, ALLOWED),
        Target("an idle run, seconds over a VDK job that does nothing", idle.wall - nothing.wall, ALLOWED),
    ]
    return Comparison("An idle run, and its parts", measured, imports.name, targets)
