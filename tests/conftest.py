"""What is tested here belongs to no distribution: the ways to a plugin of one's own, from a package that was built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "template"
LEFTOVERS = ("__pycache__", "*.egg-info", "build", "dist", ".*_cache")
sys.path.append(str(ROOT / "tools"))

import distributions as d  # noqa: E402  # after the path is known


@dataclass(frozen=True)
class Machine:
    """A new environment, as a stranger has it: the base's wheel is installed, and what a plugin's tests need."""

    home: Path

    def __call__(
        self, *command: str | Path, cwd: Path, fails: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command that is found in the environment first; that it fails (or succeeds) is asserted."""
        done = subprocess.run(
            [str(one) for one in command],
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=240,
            cwd=cwd,
            env=self.environment | environment,
        )
        assert (done.returncode != 0) is fails, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell in which this environment is activated."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        path = os.pathsep.join([str(self.home / "bin"), d.bin_folder(), os.environ["PATH"]])
        changed = {"PATH": path, "VIRTUAL_ENV": str(self.home), "VDK_VERSION_CHECK_DISABLED": "true", "COLUMNS": "120"}
        return inherited | changed


@pytest.fixture(scope="session")
def base_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base's wheel, built from its sdist, outside the clone."""
    return d.build(d.find("base"), tmp_path_factory.mktemp("built"))[1]


@pytest.fixture(scope="session")
def machine(base_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """It has pip as well; tools that are no part of a plugin are those of the running environment."""
    home = tmp_path_factory.mktemp("machine") / "venv"
    d.uv("venv", "--quiet", "--seed", "--python", sys.executable, str(home))
    requirements = str(TEMPLATE / "requirements.txt")
    d.uv("pip", "install", "--quiet", "--python", str(home), str(base_wheel), "--requirement", requirements)
    return Machine(home)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with nothing but the template, committed; and leftovers of tools in it, which are not."""
    clone = tmp_path_factory.mktemp("clone") / "vdk-sources"
    shutil.copytree(TEMPLATE, clone / "template", ignore=shutil.ignore_patterns(*LEFTOVERS))
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "Begin"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True)
    cache = clone / "template" / "src" / "vdk" / "plugin" / "source_acme" / "__pycache__"
    cache.mkdir()
    (cache / "acme.pyc").write_bytes(b"\xff acme")
    return clone
