"""Runs mypy over every distribution with its tests, the benchmarks, the examples and these tools.

In several runs: tests of two distributions may have the same file name, and mypy knows a module by its name
alone. MYPYPATH leads to the sources, so that a new folder is covered without being listed anywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import distributions as d

OTHERS = ("benchmarks", "examples", "tests", "tools")
# What a distribution may have, besides its setup.py and its jobs, whose steps are not modules.
PARTS = ("src", "tests", "backend", "hooks", "rename.py")


def main() -> int:
    everything = d.all_distributions()
    # For the types of what they import; mypy looks for our own modules in the sources first.
    d.install(everything, [each.requirements for each in everything])
    sources = [str(each.folder / "src") for each in everything]
    failed = [
        folder.relative_to(d.ROOT).as_posix()
        for folder in [*(each.folder for each in everything), *(d.ROOT / name for name in OTHERS)]
        if any(folder.rglob("*.py")) and not passes(folder, sources)
    ]
    print(f"types: {', '.join(failed)} failed" if failed else "types: all is well")
    return 1 if failed else 0


def passes(folder: Path, sources: list[str]) -> bool:
    """Checks the parts of a distribution, or all of another folder."""
    parts = [folder / name for name in PARTS if (folder / name).exists()]
    checked = parts if (folder / "src").is_dir() else sorted(modules(folder))
    # The tests of no distribution test the benchmarks too.
    roots = [folder / "tests"] if (folder / "tests").is_dir() else [folder, d.ROOT / "benchmarks"]
    print(f"mypy {folder.relative_to(d.ROOT)}", flush=True)
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([*sources, *map(str, roots), str(d.ROOT / "tools")])}
    # One cache: of two modules with one name the second takes the place of the first, and libraries are read once.
    settings = [f"--config-file={d.ROOT / 'pyproject.toml'}", f"--cache-dir={d.ROOT / '.mypy_cache' / 'all'}"]
    command = [sys.executable, "-m", "mypy", *settings, *map(str, checked)]
    return subprocess.run(command, check=False, cwd=d.ROOT, env=environment).returncode == 0


def modules(folder: Path) -> list[Path]:
    """The Python files with an importable name, unlike the ``10_step.py`` of a job."""
    return [path for path in folder.rglob("*.py") if path.stem.isidentifier()]


if __name__ == "__main__":
    sys.exit(main())
