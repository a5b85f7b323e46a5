"""Refresh tokens that a server replaced: kept in a private file, so that the next run has the one that works."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

log = logging.getLogger(__name__)
LOCK_SECONDS = 60.0


class TokenFile:
    """One refresh token in one file, readable by its owner only, replaced at once or not at all.

    The file knows which configured token its own descends from (by a hash): a new one in the
    configuration counts, whatever the file holds.
    """

    def __init__(self, path: Path | None, *, token_url: str, client_id: str, configured: str) -> None:
        self._descent = _digest(token_url, client_id, configured)
        self._path = path or _state_folder() / f"{self._descent[:32]}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the file: of two processes that use one token at once, the second would use a dead one."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(f"{self._path}.lock", timeout=LOCK_SECONDS, mode=0o600)
            lock.acquire()
        except Timeout:
            raise ConnectionFailedError(f"{self._path}: another process has held the token for a minute") from None
        except OSError as error:
            raise ConfigurationError(
                f"{self._path}: a refresh token that the server replaces could not be kept there ({error.strerror}); "
                "name a file that can be written with auth.token_file"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def load(self) -> str | None:
        """The token that replaced the configured one; None where none did."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            return str(content["refresh_token"]) if content["descends_from"] == self._descent else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{self._path}: the refresh token kept there cannot be read ({type(error).__name__}); delete the file "
                "and configure a new token"
            ) from None

    def save(self, token: str) -> None:
        """Durably, before the token is used: the one before is dead by now."""
        try:
            self._replace(token)
        except OSError as error:
            raise ConfigurationError(
                f"{self._path}: the refresh token that the server issued could not be kept there ({error.strerror}), "
                "and the one before may be dead: name a file that can be written with auth.token_file, and configure a "
                "new refresh_token if the next run is refused"
            ) from None
        log.info("the server issued a new refresh token; it is kept in %s", self._path)

    def _replace(self, token: str) -> None:
        folder = self._path.parent
        handle, name = tempfile.mkstemp(
            dir=folder, prefix=f".{self._path.name}."
        )  # mkstemp: readable by the owner only
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"descends_from": self._descent, "refresh_token": token}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _state_folder() -> Path:
    """The user's state folder (XDG base directory specification)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "vdk-source-rest"
