"""Builds every distribution and checks what a user would get from it.

For each: the metadata is complete and the README renders, the wheel and the sdist hold what they should and nothing
of the shared ``vdk`` namespace, and the wheel, installed alone into a new environment next to vdk-core and the
siblings it names, is listed exactly once by ``vdk version``. Reports all problems, not only the first. The archives are
the same on each Python, so their content is looked at on one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import distributions as d
from run_tests import FULL


def main() -> int:
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for distribution in d.all_distributions():
            wheel = d.wheel(distribution)
            own_problems = [*check_alone(distribution, wheel, Path(scratch))]
            if "py{}{}".format(*sys.version_info) == FULL:
                built = d.build(distribution, Path(scratch))
                own_problems += [*check_files(distribution, *built), *check_readme(built)]
            print(
                f"{distribution.name}: {'; '.join(own_problems) or 'sdist and wheel are right, and vdk lists it once'}"
            )
            problems += own_problems
    return 1 if problems else 0


def check_files(distribution: d.Distribution, sdist: Path, wheel: Path) -> Iterator[str]:
    """The content of the two archives, compared with the sources."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.namelist()
        licences = [archive.read(name) for name in packed if name.endswith("/licenses/LICENSE")]
    with tarfile.open(sdist) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    if licences != [(d.ROOT / "LICENSE").read_bytes()]:
        yield "the wheel does not carry the repository's LICENSE"
    yield from (f"the wheel has {name}" for name in ("vdk/__init__.py", "vdk/plugin/__init__.py") if name in packed)
    source = distribution.folder / "src"
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    yield from (f"the wheel lacks {name}" for name in sorted(modules - set(packed)))
    yield from (f"the sdist lacks src/{name}" for name in sorted(modules) if f"src/{name}" not in shipped)
    package = {"/".join(name.split("/")[:3]) for name in packed if name.startswith("vdk/plugin/")}
    if len(package) != 1:
        yield f"the wheel has {len(package)} import packages: {sorted(package)}"
    yield from (f"{name} has no py.typed" for name in package if f"{name}/py.typed" not in packed)
    yield from (f"the sdist lacks {name}" for name in ("setup.py", "README.md", "LICENSE") if name not in shipped)
    yield from (f"the wheel has {name}" for name in packed if not re.match(r"vdk/plugin/|[^/]+\.dist-info/", name))


def check_readme(built: tuple[Path, Path]) -> Iterator[str]:
    """The README renders as it will on the package's page."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    if finished.returncode:
        yield f"twine check: {finished.stdout}{finished.stderr}"


def check_alone(distribution: d.Distribution, wheel: Path, scratch: Path) -> Iterator[str]:
    """The wheel in a new environment, with its dependencies only."""
    home = scratch / "alone" / distribution.name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    d.uv("venv", "--quiet", "--python", sys.executable, str(home))
    siblings = d.wheels(each for each in d.with_siblings([distribution]) if each != distribution)
    # Spark's readers are tested on 3.11 and 3.12. It takes half a gigabyte, so here it is imported on the others only.
    is_tested = sys.version_info[:2] in ((3, 11), (3, 12))
    extra = "[pyspark]" if "pyspark" in distribution.extras() and not is_tested else ""
    d.uv("pip", "install", "--quiet", "--python", str(python), f"{wheel}{extra}", *siblings)
    environment = {**os.environ, "VDK_VERSION_CHECK_DISABLED": "true", "NO_COLOR": "1"}
    # Outside the sources, so that only the installed files can be imported.
    command = [str(python.parent / "vdk"), "version"]
    finished = subprocess.run(command, check=False, cwd=home, env=environment, capture_output=True, text=True)
    # It prints to stderr, with a line per plugin: "name (from package name, version 0.1.0)".
    name = re.escape(distribution.name)
    listed = re.findall(rf"^{name} \(from package {name}, ", finished.stdout + finished.stderr, re.MULTILINE)
    if finished.returncode or len(listed) != 1:
        yield f"vdk version lists it {len(listed)} times:\n{finished.stdout}{finished.stderr}"
    if extra:
        program = (
            f"import vdk.plugin.{distribution.package} as package; [getattr(package, name) for name in package.__all__]"
        )
        finished = subprocess.run([str(python), "-c", program], check=False, cwd=home, capture_output=True, text=True)
        if finished.returncode:
            yield f"it cannot be imported:\n{finished.stderr}"


if __name__ == "__main__":
    sys.exit(main())
