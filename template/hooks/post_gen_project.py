"""Respells what cookiecutter has copied, in the same way as the template's other doors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    # The folder's name has the name in it. cookiecutter would fill it in here too, but a quote in it would break this.
    name = Path.cwd().name.removeprefix("vdk-source-")
    sys.exit(subprocess.call([sys.executable, "rename.py", name]))
