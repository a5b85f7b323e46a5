"""Installs the built wheel of one distribution and runs its tests against it.

    python tools/run_tests.py sqlite-py312 [pytest's arguments]

The first argument is the name of a tox environment or of a distribution; ``examples`` means the tests of the
example jobs, with every distribution installed, ``template`` also those of what is made from it. The oldest Python
tests a distribution with the lowest versions that its dependencies allow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import distributions as d
from install_servers import environment_for

FULL = "py312"
"""The Python that runs every test. The others leave out those that are marked ``heavy``."""
LOWEST = "py311"
"""The Python that tests distributions with the lowest versions. It and ``FULL`` run what is marked ``libraries``."""


def main(name: str, *pytest_arguments: str) -> int:
    subject, _, python = name.partition("-py")
    if python and python != "{}{}".format(*sys.version_info):
        raise SystemExit(f"{name} runs on Python {sys.version}")
    if subject == "examples":
        folder = d.ROOT / "examples"
        d.install(d.all_distributions(), [])
    else:
        distribution = d.find(subject)
        folder = distribution.folder
        if folder == d.TEMPLATE:
            pytest_arguments = pytest_arguments or ("tests", "../tests")
        needed = d.with_siblings([distribution], for_tests=True)
        if folder == d.TEMPLATE:  # a plugin's own requirements leave it out, and its tests skip what needs it
            needed = d.with_siblings([*needed, d.find("cloudquery")])
        # What is made from the template is tested with what its author would get.
        lowest = f"py{python}" == LOWEST and folder != d.TEMPLATE
        d.install(needed, [distribution.requirements], lowest=lowest)
        os.environ.update(environment_for(distribution.short_name))
    return run_pytest(folder, name, pytest_arguments)


def run_pytest(folder: Path, name: str, arguments: tuple[str, ...]) -> int:
    """Runs pytest in ``folder`` with the repository's settings; the report goes where ``ci_report.py`` looks."""
    report = d.ROOT / ".tox" / "reports" / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--config-file={d.ROOT / 'pyproject.toml'}", f"--rootdir={folder}"]
    # Without it Python puts the working directory on the path, and the tests could import what was not installed.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    if name.endswith(LOWEST):
        command += ["-m", "not heavy"]
    elif "-py" in name and not name.endswith(FULL):
        command += ["-m", "not heavy and not libraries"]
    return subprocess.run(
        [*command, f"--junitxml={report}", *(arguments or ("tests",))], check=False, cwd=folder, env=environment
    ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
