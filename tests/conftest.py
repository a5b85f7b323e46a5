"""These tests belong to no single distribution: they make plugins from the template and follow the documentation."""

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
LEFTOVERS = ("__pycache__", "*.egg-info", "build", "dist", ".*_cache", ".env")
sys.path.append(str(ROOT / "tools"))

import distributions as d  # noqa: E402  # after the path is known


@dataclass(frozen=True)
class Machine:
    """A new environment with the wheel of the base and the requirements of a plugin's tests."""

    home: Path

    def __call__(
        self, *command: str | Path, cwd: Path, fails: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, and assert that it succeeds (or fails)."""
        done = subprocess.run(
            [str(part) for part in command],
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
        # Of what the plugins import mypy reads everything once.
        return inherited | changed | {"MYPY_CACHE_DIR": str(self.home.with_name("mypy"))}


@pytest.fixture(scope="session")
def base_wheel() -> Path:
    """The base's wheel, built from its sdist, outside the clone, once for every environment of tox."""
    return d.wheel(d.find("base"))


@pytest.fixture(scope="session")
def cloudquery_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that has the checks for CloudQuery."""
    return d.build(d.find("cloudquery"), tmp_path_factory.mktemp("built"))[1]


@pytest.fixture(scope="session")
def machine(base_wheel: Path, cloudquery_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """It also has pip; ruff and mypy are those of the running environment."""
    home = tmp_path_factory.mktemp("machine") / "venv"
    d.uv("venv", "--quiet", "--seed", "--python", sys.executable, str(home))
    files = [TEMPLATE / "requirements.txt", TEMPLATE / "api" / "requirements.txt"]
    requirements = [argument for file in files for argument in ("--requirement", str(file))]
    d.uv(
        "pip",
        "install",
        "--quiet",
        "--python",
        str(home),
        str(base_wheel),
        f"{cloudquery_wheel}[testing]",
        *requirements,
    )
    return Machine(home)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the template alone, committed, and with leftovers of tools, which are not committed."""
    clone = tmp_path_factory.mktemp("clone") / "vdk-sources"
    shutil.copytree(TEMPLATE, clone / "template", ignore=shutil.ignore_patterns(*LEFTOVERS))
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "Begin"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True)
    for kind in ("", "api"):
        cache = clone / "template" / kind / "src" / "vdk" / "plugin" / "source_acme" / "__pycache__"
        cache.mkdir()
        (cache / "acme.pyc").write_bytes(b"\xff acme")
        (clone / "template" / kind / ".env").write_text("ACME_TOKEN=a secret of whoever works on the template", "utf-8")
    return clone
