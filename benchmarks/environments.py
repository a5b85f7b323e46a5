"""An environment of its own for each contender: peers want versions of their own, and some take long to import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

import distributions as d

CONSTRAINTS = d.ROOT / "constraints.txt"


class Environments:
    """Virtual environments below one folder, made when they are asked for first, and kept for the next time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def peer(self, name: str, *requirements: str) -> Path:
        """The bin folder of an environment with these requirements from the package index."""
        home, stamp = self._folder / name, self._folder / f"{name}.txt"
        wanted = "\n".join(requirements)
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            self._make(home)
            self._install(home, *requirements)
            stamp.write_text(wanted, "utf-8")
        return _bin(home)

    def ours(self, name: str, *more: str) -> Path:
        """The bin folder of an environment with all of this repository's distributions, built as they are now."""
        home = self._folder / name
        self._make(home)
        self._install(home, *d.wheels(d.all_distributions()), *more)
        # as an installer that compiles does: else the first run of each command pays for it
        subprocess.run([_bin(home) / "python", "-m", "compileall", "-q", home], check=False, stdout=subprocess.DEVNULL)
        return _bin(home)

    def _make(self, home: Path) -> None:
        shutil.rmtree(home, ignore_errors=True)
        d.uv("venv", "--quiet", "--python", sys.executable, str(home))

    def _install(self, home: Path, *requirements: str) -> None:
        os.environ.setdefault("UV_CONSTRAINT", str(CONSTRAINTS))
        os.environ.setdefault("UV_BUILD_CONSTRAINT", str(CONSTRAINTS))
        python = _bin(home) / "python"
        d.uv("pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *requirements)


def _bin(home: Path) -> Path:
    return home / ("Scripts" if os.name == "nt" else "bin")
