# SPDX-License-Identifier: Apache-2.0
"""A configured tap: its catalog, and its runs, each with files of its own for what it must know."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.datasource_base.parts import Redactor

from ..config import SingerConfig
from ..errors import TapError
from .environments import locked, program_of
from .process import HEARTBEAT, TapProcess

_FOLDER = "vdk-singer-"
_LOCK = "lock"
"""The file in such a folder that its process has locked."""


class Slots:
    """How many processes of a tap may run at once. A copy in another process counts for itself."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.BoundedSemaphore(count)

    def __reduce__(self) -> tuple[type[Slots], tuple[int]]:
        return Slots, (self._count,)

    def try_take(self) -> bool:
        """Wait a moment for a free one; False: there is none."""
        return self._free.acquire(timeout=HEARTBEAT)

    def give_back(self) -> None:
        self._free.release()


class Tap:
    """A tap that can be started. It can be pickled."""

    def __init__(self, config: SingerConfig) -> None:
        self.config = config
        self.slots = Slots(config.processes)

    def redactor(self) -> Callable[[str], str]:
        return Redactor.of_config(self.config)

    def program(self) -> str:
        """The path of its program. Raises ``ConfigurationError`` if it has none."""
        return program_of(self.config, self.redactor())

    def catalog(self) -> Mapping[str, Any]:
        """The catalog of the file, or what the tap discovers.

        :raises ConfigurationError: there is no catalog, mostly because the tap's options are wrong.
        """
        config = self.config
        if config.catalog is not None:
            return _object(config.catalog, "catalog", f"{config.tap} --discover > {config.catalog.name}")
        try:
            with self._started(["--discover"]) as process:
                written = process.output()
        except TapError as error:
            raise ConfigurationError(
                f'{error}. If its options are right and it cannot discover, write catalog = "catalog.json", or run it '
                "without a catalog: together = true and discover = false"
            ) from None
        try:
            catalog = msgspec.json.decode(written)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            shown = written[:120].decode("utf-8", "replace")
            raise ConfigurationError(
                f"{config.tap} --discover wrote no catalog ({error}): {shown!r}. If it cannot discover, write catalog "
                '= "catalog.json", or run it without a catalog: together = true and discover = false'
            ) from None
        if not isinstance(catalog, dict):
            raise ConfigurationError(f'{config.tap} --discover wrote no catalog; write catalog = "catalog.json"')
        return catalog

    def initial_state(self) -> str:
        """The state of the file, which ``meltano state get`` wrapped or did not; empty: there is no file."""
        if self.config.state is None:
            return ""
        value = _object(self.config.state, "state", f"meltano state get STATE_ID > {self.config.state.name}")
        for wrapper in ("completed", "singer_state"):
            if isinstance(inner := value.get(wrapper), dict):
                value = inner
        return msgspec.json.encode(value).decode()

    @contextlib.contextmanager
    def reading(self, catalog: Mapping[str, Any] | None, state: str) -> Iterator[TapProcess]:
        """The tap, reading what a catalog selects (None: without one) after its own state, which is JSON or empty."""
        files: dict[str, Any] = {}
        if catalog is not None:
            files["properties" if self.config.properties else "catalog"] = catalog
        if state:
            files["state"] = msgspec.Raw(state.encode())
        with self._started([], files) as process:
            yield process

    @contextlib.contextmanager
    def _started(self, arguments: list[str], files: Mapping[str, Any] | None = None) -> Iterator[TapProcess]:
        config = self.config
        program = self.program()
        _remove_left_folders()
        # its folder can be read by this user alone
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
        lock = (folder / "new").open("wb")
        try:
            locked(lock.fileno())
            with contextlib.suppress(OSError):  # Windows does not rename open files, and nobody removes what is left
                (folder / "new").rename(folder / _LOCK)  # so what others find is locked
            command = [program]
            for option, value in {"config": config.tap_options(), **(files or {})}.items():
                path = folder / f"{option}.json"
                path.write_bytes(msgspec.json.encode(value))
                command += [f"--{option}", str(path)]
            with TapProcess(
                config.tap,
                [*command, *arguments],
                folder=config.folder,
                timeout=config.timeout.total_seconds(),
                max_line=config.max_line_bytes,
                redact=self.redactor(),
            ) as process:
                yield process
        finally:
            lock.close()
            shutil.rmtree(folder, ignore_errors=True)


def _object(path: Path, option: str, command: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigurationError(f"{option}: {path} cannot be read: {error}; make it: {command}") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{option}: {path} is not a JSON object; make it: {command}")
    return value


def _remove_left_folders() -> None:
    """Remove the files with secrets of processes that were killed: their locks ended with them."""
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*/{_LOCK}"):
        with contextlib.suppress(OSError), path.open("rb+") as lock:
            if locked(lock.fileno()):
                shutil.rmtree(path.parent, ignore_errors=True)
