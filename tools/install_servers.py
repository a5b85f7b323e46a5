"""Installs the servers that some tests start and that PyPI does not have: Debian's packages.

    python tools/install_servers.py mysql

The argument is a distribution's short name. What is installed already stays as it is. Else, on Debian and Ubuntu:
as root, or where sudo asks for no password, ``apt-get install``; as another user the packages are unpacked into
``.tox/servers``. No service is started. Where neither works the tests that need the server are skipped, which is a
failure in CI. Environments of tox that run side by side wait for each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import distributions as d

FOLDER = d.ROOT / ".tox" / "servers"
# Debian has servers in folders that only the administrator's PATH has.
ADMIN_FOLDERS = ("/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True)
class Server:
    """A program that must exist, and the packages that have it."""

    program: str
    packages: tuple[str, ...]
    only_in_ci: bool = False


# The programs alone: mariadb-server would add a service and its users.
_MARIADB = Server("mariadbd", ("mariadb-server-core", "mariadb-client-core"))
SERVERS = {
    # Shows the report of a run, in one test.
    "base": Server("chromium-headless-shell", ("chromium-headless-shell",), only_in_ci=True),
    "mysql": _MARIADB,
    "sql": _MARIADB,
    "cloudquery": _MARIADB,
    # Spark runs on it: 17 on Debian 12, 21 on Debian 13.
    "spark": Server("java", ("default-jre-headless",)),
    # The tests of a pooler are few, and skip where it is missing.
    "postgres": Server("pgbouncer", ("pgbouncer",), only_in_ci=True),
}


def environment_for(name: str) -> dict[str, str]:
    """Installs what the tests of a distribution need; returns the variables with which they find it.

    :raises SystemExit: in CI, if a server is missing in the end.
    """
    server, in_ci = SERVERS.get(name), bool(os.environ.get("CI"))
    if server is None:
        return {}
    if find(server.program) is None and shutil.which("apt-get") and (in_ci or not server.only_in_ci):
        with lock():
            if find(server.program) is None:
                install(server)
    if find(server.program) is None:
        packages = " ".join(server.packages)
        message = f"{server.program} is not installed, so tests of {name} are skipped: apt-get install {packages}"
        if in_ci:
            raise SystemExit(message)
        print(message, flush=True)
    return {"PATH": search_path()}


def find(program: str) -> str | None:
    """The path of a program that can be started; a library that it needs may be missing."""
    path = shutil.which(program, path=search_path())
    return path if path is not None and run(path, "--version", quiet=True) else None


def search_path() -> str:
    unpacked = [str(FOLDER / folder) for folder in ("usr/sbin", "usr/bin")]
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *ADMIN_FOLDERS, *unpacked))


@contextmanager
def lock() -> Iterator[None]:
    """One process at a time."""
    import fcntl  # not on Windows, where there is no apt-get either

    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(server: Server) -> None:
    """Does what this user may do. Reports a failure, and raises none."""
    sudo = () if os.geteuid() == 0 else ("sudo", "-n")
    if not sudo or run(*sudo, "true", quiet=True):
        with no_service(sudo):
            # The server's own dependencies are enough; locks of another apt-get are waited for.
            apt = (*sudo, "apt-get", "-o", "DPkg::Lock::Timeout=300", "--yes")
            if run(*apt, "update") and run(*apt, "install", "--no-install-recommends", *server.packages):
                return
    unpack(server)


@contextmanager
def no_service(sudo: tuple[str, ...]) -> Iterator[None]:
    """A package starts its service when it is installed, unless this program forbids it."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():  # a container image has one that does the same
        yield
        return
    own = FOLDER / "policy-rc.d"
    own.write_text("#!/bin/sh\nexit 101\n", "utf-8")
    own.chmod(0o755)
    run(*sudo, "install", "-m", "755", str(own), str(policy))
    try:
        yield
    finally:
        run(*sudo, "rm", "-f", str(policy))


def unpack(server: Server) -> None:
    """The files of the packages, without their scripts; libraries that the system lacks are not looked for."""
    downloads = FOLDER / "packages"
    downloads.mkdir(exist_ok=True)
    for package in server.packages:
        run("apt-get", "download", package, cwd=downloads)
    for archive in downloads.glob("*.deb"):
        run("dpkg", "-x", str(archive), str(FOLDER))


def run(*command: str, quiet: bool = False, cwd: Path | None = None) -> bool:
    """Whether a command succeeded. Its output goes where that of the tests goes."""
    environment: Mapping[str, str] = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    output = subprocess.DEVNULL if quiet else None
    try:
        finished = subprocess.run(
            command, check=False, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    except OSError as error:
        print(f"{command[0]}: {error}", flush=True)
        return False
    return finished.returncode == 0


if __name__ == "__main__":
    environment_for(*sys.argv[1:])
