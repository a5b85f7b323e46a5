# SPDX-License-Identifier: Apache-2.0
"""A MariaDB server for tests and examples, of the programs that the operating system has.

On Debian and Ubuntu they are in the packages ``mariadb-server-core`` and ``mariadb-client-core``, which have no
service. The client is PyMySQL: ``pip install 'vdk-datasource-base[testing-mariadb]'``.
"""

from __future__ import annotations

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

import pymysql

PASSWORD = "sesam:öffne/dich"
QUOTED_PASSWORD = "sesam%3A%C3%B6ffne%2Fdich"
OPTIONS = (
    *("--bind-address=127.0.0.1", "--character-set-server=utf8mb4", "--skip-log-bin", "--max-connections=50"),
    *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=2"),
)
# Killing the server itself, and not the machine, loses nothing that a flush at each commit would have saved.


class Server:
    """One server, which can be stopped, killed and started again at the same port. Its user root has a password."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def url(self, database: str, *, user: str = "root", password: str = QUOTED_PASSWORD) -> str:
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def query(self, database: str, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """One statement, committed at its end; times are in UTC."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def connect(self, database: str | None = None) -> pymysql.Connection[Any]:
        """A connection of root, which commits each statement."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            password=PASSWORD.encode(),  # of a str the driver keeps Latin-1
            database=database,
            autocommit=True,
            ssl_disabled=True,
            init_command="SET time_zone = '+00:00'",
        )

    def clear(self, database: str) -> None:
        """Drop a database if it exists, and create it without tables."""
        self.query("mysql", f"CREATE OR REPLACE DATABASE `{database}`")

    def start(self) -> None:
        folder = self._folder
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # A server deletes at its start what it takes for its own in the folder of temporary tables.
                    *(*_program("mariadbd"), f"--datadir={folder / 'data'}", f"--tmpdir={folder / 'data'}"),
                    *(f"--port={self.port}", f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"),
                    *(f"--init-file={folder / 'init.sql'}", *OPTIONS, *self._options),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=folder,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect().close()
                return
            except pymysql.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text("utf-8", "replace")) from None
                time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and all its connections: SIGTERM orderly, SIGKILL as after a crash."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)


def _program(name: str) -> tuple[str, ...]:
    """One of the server's programs and its first options. Raises ``LookupError`` if it is not installed."""
    # Debian has the server in a folder that only the administrator's PATH has.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    if (program := shutil.which(name, path=path)) is None:
        raise LookupError(f"there is no {name}: apt-get install mariadb-server-core mariadb-client-core")
    # The server refuses to run as root unless it is asked to.
    user = ("--user=root",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
    return (program, "--no-defaults", f"--basedir={Path(program).resolve().parents[1]}", *user)


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """Start an empty server, and stop it at the end. Raises ``LookupError`` if it is not installed.

    :param options: of ``mariadbd``, such as ``--max-statement-time=5``.
    """
    _program("mariadbd")
    with tempfile.TemporaryDirectory(prefix="vdk-mariadb-") as name:
        folder = Path(name)
        (folder / "init.sql").write_text(f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}';\n", "utf-8")
        finished = subprocess.run(
            [
                *(*_program("mariadb-install-db"), f"--datadir={folder / 'data'}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--innodb-log-file-size=16M"),
            ],
            check=False,
            capture_output=True,
            cwd=folder,
        )
        if finished.returncode:
            raise RuntimeError((finished.stdout + finished.stderr).decode("utf-8", "replace"))
        server = Server(folder, options)
        server.start()
        try:
            yield server
        finally:
            server.end()
