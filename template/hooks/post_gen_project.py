"""Rename what cookiecutter has copied, with the same script as the template's other doors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    # The name is read from the folder: cookiecutter could fill it in here, but a quote in it would break this file.
    name = Path.cwd().name
    sys.exit(subprocess.call([sys.executable, "rename.py", name, "--kind", "{{ cookiecutter.kind }}"]))
