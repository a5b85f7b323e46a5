# SPDX-License-Identifier: Apache-2.0
"""The executable for ``registry: local``: it starts this Python, without vdk-core."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from vdk.plugin.datasource_base.contract import ConfigurationError


def install(name: str, path: Path) -> Path:
    """Write the executable. Returns its absolute path, which is what the configuration needs.

    :raises ConfigurationError: if the file cannot be written, or is another one.
    """
    path = path.expanduser().absolute()
    python, source = shlex.quote(sys.executable), shlex.quote(name)
    first = "#!/bin/sh\n# Serves a data source to CloudQuery (registry: local)."
    content = f'{first}\nexec {python} -m vdk.plugin.datasource_cloudquery {source} "$@"\n'
    try:
        if path.exists() and not path.read_text("utf-8", errors="replace").startswith(first):
            raise ConfigurationError(f"--install {path}: the file exists, and is not one of these; write another path")
        path.write_text(content, "utf-8")
        os.chmod(path, 0o755)
    except OSError as error:
        raise ConfigurationError(f"--install {path}: {error.strerror}; write another path") from None
    return path
