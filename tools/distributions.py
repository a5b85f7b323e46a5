"""The distributions of this repository: their folders, their dependencies on each other, their built files.

No list has to be maintained: every folder in ``packages/`` and ``plugins/`` with a ``pyproject.toml`` is one, and so
is the template. Its short name is its own part of the folder's name, so ``plugins/vdk-source-sqlite`` is ``sqlite``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "template"
LEFTOVERS = ("build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", ".coverage*")
"""What tools leave in the folders of distributions; no part of them."""


@dataclass(frozen=True)
class Distribution:
    """One folder that builds one wheel and one sdist."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, which is the distribution's name and that of its ``vdk.plugin.run`` entry point.

        Only the template has a folder of another name.
        """
        return "vdk-source-acme" if self.folder == TEMPLATE else self.folder.name

    @property
    def short_name(self) -> str:
        if self.folder == TEMPLATE:
            return "template"
        return "base" if self.name == "vdk-datasource-base" else re.sub("^vdk-[a-z]+-", "", self.name)

    @property
    def package(self) -> str:
        """The import package below ``vdk.plugin``: ``vdk-source-sqlite`` has ``source_sqlite``."""
        return self.name.removeprefix("vdk-").replace("-", "_")

    @property
    def requirements(self) -> Path:
        """The file that lists the requirements of its tests, one per line."""
        return self.folder / "requirements.txt"

    def metadata(self) -> dict[str, object]:
        """The ``[project]`` table."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]
        assert isinstance(project, dict)
        return project

    def extras(self) -> set[str]:
        extras = self.metadata().get("optional-dependencies", {})
        assert isinstance(extras, dict)
        return set(extras)

    def dependencies(self) -> list[str]:
        """Its dependencies, including those of its extras, as requirement lines."""
        project = self.metadata()
        required, extras = project.get("dependencies", []), project.get("optional-dependencies", {})
        assert isinstance(required, list)
        assert isinstance(extras, dict)
        return [str(line) for line in [*required, *(line for lines in extras.values() for line in lines)]]

    def mentions(self, *, for_tests: bool) -> set[str]:
        """The names of its dependencies, with those of its tests (``for_tests``)."""
        dependencies = self.metadata().get("dependencies", [])
        assert isinstance(dependencies, list)
        lines = [str(line) for line in dependencies]
        if for_tests:
            lines += self.requirements.read_text("utf-8").splitlines()
        return {canonical_name(line) for line in lines if re.match(r"\w", line)}


def canonical_name(requirement: str) -> str:
    """The name in a requirement line, in lower case and with hyphens: ``vdk-core`` of ``VDK_core>=0.3``."""
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def all_distributions() -> list[Distribution]:
    """Every distribution, the base first and the template last."""
    groups = ("packages/*", "plugins/*", TEMPLATE.name)
    folders = [path.parent for group in groups for path in ROOT.glob(f"{group}/pyproject.toml")]
    if not folders:
        raise SystemExit(f"no distribution found under {ROOT}")
    return [Distribution(folder) for folder in sorted(folders)]


def find(name: str) -> Distribution:
    """The distribution called ``name``, which is its full name or its short one."""
    everything = all_distributions()
    matching = [each for each in everything if name in (each.name, each.short_name)]
    if len(matching) != 1:
        known = ", ".join(f"{each.short_name} ({each.name})" for each in everything)
        raise SystemExit(f"{name!r} names {len(matching)} distributions; expected one of: {known}")
    return matching[0]


def with_siblings(distributions: Iterable[Distribution], *, for_tests: bool = False) -> list[Distribution]:
    """These distributions, and those of this repository that they depend on, directly or not."""
    known = {distribution.name: distribution for distribution in all_distributions()}
    needed: dict[str, Distribution] = {}
    requested = list(distributions)
    pending = list(requested)
    while pending:
        each = pending.pop()
        if each.name not in needed:
            needed[each.name] = each
            # Only the requested distributions are tested, not their siblings.
            tests = for_tests and each in requested
            pending += [known[name] for name in each.mentions(for_tests=tests) if name in known]
    return sorted(needed.values(), key=lambda each: each.folder)


def build(distribution: Distribution, into: Path) -> tuple[Path, Path]:
    """Builds the sdist, and the wheel from the sdist; returns (sdist, wheel).

    From a copy of the folder: setuptools leaves ``build/lib`` and ``*.egg-info``, through which deleted files return
    in later wheels, and environments that run side by side would write them at the same time. The template is copied
    too, to the same place as in the repository, because the build of the base includes it.
    """
    copy, output = into / "src", into / distribution.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(output, ignore_errors=True)
    for folder in {distribution.folder, TEMPLATE}:
        shutil.copytree(folder, copy / folder.relative_to(ROOT), ignore=shutil.ignore_patterns(*LEFTOVERS))
    source = copy / distribution.folder.relative_to(ROOT)
    uv("build", "--quiet", "--python", sys.executable, "--out-dir", str(output), str(source))
    (sdist,), (wheel,) = output.glob("*.tar.gz"), output.glob("*.whl")
    return sdist, wheel


def wheels(distributions: Iterable[Distribution]) -> list[str]:
    """The wheel of each as a path, which ``uv pip install`` takes as a requirement.

    As paths and not as names with ``--find-links``: a name is also looked up on the index, where a stranger may
    have published a higher version.
    """
    return [str(wheel(distribution)) for distribution in distributions]


def wheel(distribution: Distribution) -> Path:
    """The wheel of the sources as they are now, built once for all environments and Pythons: it has no binaries."""
    folder = ROOT / ".tox" / "wheels" / f"{distribution.name}-{digest(distribution)}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            _, built = build(distribution, Path(scratch))
            with suppress(OSError):  # another environment was faster
                built.parent.rename(folder)
    (path,) = folder.glob("*.whl")
    return path


def digest(distribution: Distribution) -> str:
    """A text that changes with every file that a build reads."""
    content = hashlib.sha256()
    for folder in (distribution.folder, TEMPLATE):
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            if path.is_file() and not any(fnmatch(part, pattern) for part in parts for pattern in LEFTOVERS):
                content.update(f"{path.relative_to(ROOT)} {path.stat().st_mode} {path.stat().st_size}\n".encode())
                content.update(path.read_bytes())
    return content.hexdigest()[:16]


def lowest_versions() -> list[str]:
    """Every dependency that has a lower bound, pinned to it: what ``--constraint`` of pip and uv takes.

    Where two distributions name different bounds, the higher one is the lowest that both can have.
    """
    bounds: dict[str, str] = {}
    siblings = {distribution.name for distribution in all_distributions()}
    for line in (line for distribution in all_distributions() for line in distribution.dependencies()):
        bound = re.search(r">=\s*([\w.]+)", line)
        if bound and (name := canonical_name(line)) not in siblings:
            bounds[name] = max(bounds.get(name, "0"), bound[1], key=_as_numbers)
    return [f"{name}=={version}" for name, version in bounds.items()]


def _as_numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def install(needed: list[Distribution], requirement_files: Iterable[Path], *, lowest: bool = False) -> None:
    """Installs the wheels of ``needed`` and the requirements of the files into the running Python, in one resolution.

    The wheels are installed again, because their version stays the same while the code changes.

    :param lowest: with the lowest version of each dependency that the distributions declare.
    """
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [part for file in requirement_files for part in ("--requirement", str(file))]
        arguments += [part for each in needed for part in ("--reinstall-package", each.name)]
        if lowest:
            pins = Path(scratch) / "lowest.txt"
            pins.write_text("\n".join(lowest_versions()), "utf-8")
            arguments += ["--constraint", str(pins)]
        arguments += wheels(needed)
        uv("pip", "install", "--quiet", "--python", sys.executable, *arguments)


def uv(*arguments: str) -> None:
    """Runs uv, which tox installs into the environment, and stops here when it fails."""
    command = [shutil.which("uv", path=bin_folder() + os.pathsep + os.environ["PATH"]) or "uv", *arguments]
    finished = subprocess.run(command, check=False, cwd=ROOT)
    if finished.returncode:
        raise SystemExit(f"failed with exit code {finished.returncode}: {' '.join(command)}")


def bin_folder() -> str:
    """The folder of the running Python's scripts."""
    return str(Path(sys.executable).parent)
