# SPDX-License-Identifier: Apache-2.0
"""The program of a tap: on the PATH, in a virtual environment, or in one that is made for it and kept."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vdk.plugin.datasource_base import ConfigurationError, ConnectionFailedError

from ..config import SingerConfig

log = logging.getLogger(__name__)
_COMPLETE = "vdk-source-singer"
"""The file in an environment that was made completely; its text is what was installed."""
_LOCK_SECONDS = 900.0
_SCRIPTS = "Scripts" if os.name == "nt" else "bin"


def program_of(config: SingerConfig, redact: Callable[[str], str]) -> str:
    """The path of the tap's program. With ``pip_url`` its environment is made, if it does not exist yet.

    :raises ConfigurationError: there is no such program. :raises ConnectionFailedError: it cannot be installed now.
    """
    if config.executable is not None:
        return _existing(str(config.executable), f"executable = {str(config.executable)!r} is not a program")
    if config.venv is not None:
        path = config.venv / _SCRIPTS / config.tap
        return _existing(str(path), f"the environment {config.venv} has no program {config.tap!r}; install it there")
    if config.pip_url is not None:
        folder = _environment(config, config.pip_url, redact)
        return _existing(
            str(folder / _SCRIPTS / config.tap),
            f"pip_url = {config.pip_url!r} installs no program {config.tap!r}; its programs are {_programs(folder)}",
        )
    beside = Path(sys.executable).parent / config.tap
    return _existing(
        shutil.which(config.tap) or str(beside),
        f'{config.tap!r} is not on the PATH; write pip_url = "{config.tap}" to install it, or executable = "/path"',
    )


def _existing(path: str, problem: str) -> str:
    if (program := shutil.which(path)) is None:
        raise ConfigurationError(f"{problem}" if "; " in problem else f"{problem}; write the path of the tap's program")
    return str(Path(program).absolute())


def _programs(folder: Path) -> list[str]:
    usual = ("python", "pip", "activate", "Activate", "deactivate", "pydoc")
    return sorted(path.name for path in (folder / _SCRIPTS).iterdir() if not path.name.startswith(usual))[:20]


def _environment(config: SingerConfig, pip_url: str, redact: Callable[[str], str]) -> Path:
    """The environment for what pip installs, made by the first process that needs it."""
    python = _python(config.python)
    version = config.python or "{}.{}".format(*sys.version_info)
    parent = config.environments or _cache()
    name = hashlib.sha256(f"{pip_url}\n{version}".encode()).hexdigest()[:16]
    folder = parent / f"{config.tap}-{name}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _lock(parent / f"{folder.name}.lock"):
            if not (folder / _COMPLETE).is_file():
                _make(folder, python, shlex.split(pip_url), redact)
                (folder / _COMPLETE).write_text(f"{redact(pip_url)}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f'the environment of {config.tap} cannot be made: {error}; write environments = "/a/writable/folder"'
        ) from None
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vdk-source-singer"


def _python(option: str | None) -> str:
    if option is None:
        return sys.executable
    if (python := shutil.which(option)) is None:
        raise ConfigurationError(f'python = "{option}" is not a program; write the path of a Python')
    return python


def _make(folder: Path, python: str, requirements: Sequence[str], redact: Callable[[str], str]) -> None:
    """Make the environment from the start: one that a killed process left is not complete."""
    shutil.rmtree(folder, ignore_errors=True)
    log.info("installing %s into %s", redact(shlex.join(requirements)), folder)
    inside = str(folder / _SCRIPTS / "python")
    if uv := shutil.which("uv"):
        commands = [
            [uv, "venv", "--quiet", "--python", python, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", inside, *requirements],
        ]
    else:
        commands = [[python, "-m", "venv", str(folder)], [inside, "-m", "pip", "install", "--quiet", *requirements]]
    for command in commands:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            lines = redact((done.stderr or done.stdout).decode("utf-8", "replace")).strip().splitlines()
            raise ConnectionFailedError(
                f"{redact(shlex.join(requirements))} cannot be installed: {' | '.join(lines[-4:])[:1000]}; try it: "
                f"{redact(shlex.join(command))}"
            )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process make an environment, and the others wait for it."""
    end = time.monotonic() + _LOCK_SECONDS
    with path.open("a+b") as file:
        while not locked(file.fileno()):
            if time.monotonic() > end:
                raise ConnectionFailedError(f"another process has held {path} for {_LOCK_SECONDS:g} s")
            time.sleep(0.1)
        yield  # closing the file unlocks it


def locked(descriptor: int) -> bool:
    """Lock a file until it is closed, however the process ends; False: another process has locked it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
