# SPDX-License-Identifier: Apache-2.0
"""Checks what changed since ``main``, in under a minute: commits, style, types, and the tests of changed modules.

    python tools/check_change.py [BASE]

Run by ``make check`` in the environment of ``make dev``, against the sources instead of built wheels. What it leaves
out, ``make test`` runs. The tests of a changed module are those that changed, those named after it, and those that
import it; a change of a shared file, such as ``conftest.py``, runs all tests beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import check_types
import distributions as d

FOLDERS = ("benchmarks", "examples", "tests", "tools")
LONGEST_SUBJECT = 72
SETTINGS = {"VDK_VERSION_CHECK_DISABLED": "true", "PYTHONUTF8": "1"}


def main(base: str = "main") -> int:
    changed = changed_files(base)
    if not changed:
        print(f"nothing changed since {base}")
        return 0
    checks = (("style", style), ("types", types), ("tests", tests))
    failed = [name for name, passes in checks if not passes(changed)]
    if problems := list(check_subjects(git("log", "--no-merges", "--format=%h %s", f"{base}..HEAD").splitlines())):
        print("\n".join(problems))
        failed.insert(0, "commits")
    print(f"check: {', '.join(failed)} failed" if failed else "check: all is well")
    return 1 if failed else 0


def changed_files(base: str) -> list[Path]:
    """Files that differ from where this branch left ``base``, uncommitted and new ones included."""
    start = git("merge-base", base, "HEAD").strip() or "HEAD"
    names = git("diff", "--name-only", "--diff-filter=d", "-z", start)
    names += git("ls-files", "--others", "--exclude-standard", "-z")
    return [d.ROOT / name for name in sorted(set(filter(None, names.split("\0"))))]


def check_subjects(commits: Iterable[str]) -> Iterator[str]:
    """The problems of commit subjects, each given as ``hash subject``; they must fit one line of a log."""
    for line in commits:
        commit, _, subject = line.partition(" ")
        if len(subject) > LONGEST_SUBJECT:
            yield f"commit {commit}: the subject has {len(subject)} characters, at most {LONGEST_SUBJECT} are allowed"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=False, cwd=d.ROOT, capture_output=True, text=True).stdout


def style(changed: list[Path]) -> bool:
    commands = (["ruff", "check"], ["ruff", "format", "--check"], ["python", "tools/check_house.py"])
    results = [run([str(Path(d.bin_folder()) / program), *rest], d.ROOT) for program, *rest in commands]
    return all(results)


def types(changed: list[Path]) -> bool:
    """mypy over each distribution and folder in which a Python file changed; its cache makes a second run fast."""
    everything = d.all_distributions()
    sources = [str(each.folder / "src") for each in everything]
    folders = [*(each.folder for each in everything), *(d.ROOT / name for name in FOLDERS)]
    touched = [folder for folder in folders if any(path.suffix == ".py" and folder in path.parents for path in changed)]
    results = [check_types.passes(folder, sources) for folder in touched]
    return all(results)


def tests(changed: list[Path]) -> bool:
    results = []
    for distribution in d.all_distributions():
        selected = tests_of(distribution.folder, [path for path in changed if distribution.folder in path.parents])
        if selected:
            print(
                f"pytest {distribution.folder.relative_to(d.ROOT)}: {', '.join(path.name for path in selected)}",
                flush=True,
            )
            config = f"--config-file={d.ROOT / 'pyproject.toml'}"
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                config,
                f"--rootdir={distribution.folder}",
                *map(str, selected),
            ]
            results.append(run(command, distribution.folder))
    return all(results)


def tests_of(folder: Path, changed: list[Path]) -> list[Path]:
    """The test files of a distribution that its changed files touch."""
    files = sorted((folder / "tests").glob("test_*.py"))
    helpers = {path for path in changed if path.parent == folder / "tests" and path not in files}
    if any(path.name == "conftest.py" for path in helpers):
        return files
    stems = {path.stem.strip("_") for path in changed if path.suffix == ".py" and path not in files} - {"", "init"}
    mentioned = re.compile(rf"\b(?:import|from)\b[^#\n]*\b_?(?:{'|'.join(map(re.escape, stems))})\b") if stems else None
    return [
        path
        for path in files
        if path in changed
        or any(path.stem.startswith(f"test_{stem}") for stem in stems)
        or (mentioned and mentioned.search(path.read_text("utf-8")))
    ]


def run(command: list[str], folder: Path) -> bool:
    path = d.bin_folder() + os.pathsep + os.environ["PATH"]
    return (
        subprocess.run(command, check=False, cwd=folder, env={**os.environ, **SETTINGS, "PATH": path}).returncode == 0
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
