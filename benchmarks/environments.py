"""An environment of its own for each contender: peers want versions of their own, and some take long to import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

import distributions as d

CONSTRAINTS = d.ROOT / "constraints.txt"


class Environments:
    """Virtual environments below one folder, made when they are asked for first, and kept for the next time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()
        self.versions: dict[str, str] = {}
        """What was asked for since it was emptied, with the version of each that is installed."""

    def peer(self, name: str, *requirements: str) -> Path:
        """The bin folder of an environment with these requirements from the package index.

        If they cannot be installed, the folder does not exist: contenders fail that need it, and no others.
        """
        home, stamp = self._folder / name, self._folder / f"{name}.txt"
        wanted = "\n".join(requirements)
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            try:
                self._make(home)
                self._install(home, *requirements)
                stamp.write_text(wanted, "utf-8")
            except SystemExit as error:
                print(error, file=sys.stderr, flush=True)
                shutil.rmtree(home, ignore_errors=True)
        self._note(home, requirements)
        return _bin(home)

    def ours(self, name: str, *more: str) -> Path:
        """The bin folder of an environment with all of this repository's distributions, built as they are now."""
        home = self._folder / name
        if home not in self._made:
            self._make(home)
            self._install(home, *d.wheels(d.all_distributions()), *more)
            # as an installer that compiles does: else the first run of each command pays for it
            compiled = [str(_bin(home) / "python"), "-m", "compileall", "-q", str(home)]
            subprocess.run(compiled, check=False, stdout=subprocess.DEVNULL)
            self._made.add(home)
        return self.installed(_bin(home))

    def installed(self, folder: Path) -> Path:
        """The bin folder of an environment that has this repository's distributions already."""
        self._note(folder.parent, ("vdk-core", "duckdb", "pyarrow", "SQLAlchemy"))
        return folder

    def _note(self, home: Path, requirements: tuple[str, ...]) -> None:
        names = {d.canonical_name(each) for each in requirements}
        for found in metadata.distributions(path=[str(path) for path in home.glob("lib*/**/site-packages")]):
            if (name := d.canonical_name(found.name)) in names:
                self.versions[name] = found.version

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
