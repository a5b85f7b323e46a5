# SPDX-License-Identifier: Apache-2.0
"""One connection of a source for several readers, which begin and end whenever they like."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...contract import DataSource, DataSourceConfig, DataSourceState, DataSourceStream, State


class SharedSource:
    """A source that is connected by its first user, and disconnected by its last one.

    :param make: creates the source; once for each connection. :param states: stream → partition → state, which the
        source gets when it connects.
    """

    def __init__(self, make: Callable[[], DataSource[Any]], states: Mapping[str, Mapping[str, State]]) -> None:
        self._make = make
        self._states = states
        self._lock = threading.Lock()
        self._users = 0
        self.source = make()

    def lease(self) -> DataSource[Any]:
        """The source for one user, who connects and disconnects it as if it were the only one."""
        return _Lease(self)

    def acquire(self) -> None:
        """:raises Exception: what the source raises when it connects; it has one user less then."""
        with self._lock:
            if not self._users:
                self.source.connect(DataSourceState(self._states))
            self._users += 1

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._renew()

    def abandon(self) -> None:
        """A user could not connect: what the attempt acquired is released, unless others are connected."""
        with self._lock:
            if not self._users:
                self._renew()

    def _renew(self) -> None:
        source, self.source = self.source, self._make()
        source.disconnect()


class _Lease(DataSource[DataSourceConfig]):
    source_name = "shared"

    def __init__(self, shared: SharedSource) -> None:
        super().__init__(shared.source.config)
        self._shared = shared
        self._used = self._connected = False

    def identity(self) -> str:
        return self._shared.source.identity()

    def connect(self, state: DataSourceState) -> None:
        self._used = True
        if not self._connected:
            self._shared.acquire()
            self._connected = True

    def streams(self) -> Sequence[DataSourceStream]:
        return self._shared.source.streams()

    def disconnect(self) -> None:
        if self._connected:
            self._connected = False
            self._shared.release()
        elif self._used:
            self._shared.abandon()
        self._used = False
