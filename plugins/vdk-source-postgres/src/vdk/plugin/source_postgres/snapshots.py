# SPDX-License-Identifier: Apache-2.0
"""Snapshots that several connections share, each held by a connection of its own."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_sql import Backend, SqlSession

MOST_SNAPSHOTS = 4
"""How many are held at once. A run reads its streams one after the other: four later, all parts of one have begun."""

_EXPORT = sa.select(sa.func.pg_export_snapshot())


class Snapshots:
    """The snapshots of one source, by stream.

    A snapshot holds back the server's cleaning up, so a stream's last one ends when it takes another, when four other
    streams have taken theirs, or with the source.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, SqlSession] = {}
        self._lock = threading.Lock()

    def export(self, stream: str, backend: Backend, lock: sa.Select[Any]) -> str:
        """Take a snapshot; returns its name, by which other connections import it.

        :param lock: a statement that returns nothing and keeps its table from being changed meanwhile.
        """
        self._end(stream)
        session = SqlSession(backend)
        try:
            session.begin()
            session.all(lock)
            ((name,),) = session.all(_EXPORT)
        except BaseException:
            session.__exit__(None, None, None)
            raise
        with self._lock:
            self._sessions[stream] = session
            oldest = list(self._sessions)[:-MOST_SNAPSHOTS]
        for other in oldest:
            self._end(other)
        return str(name)

    def close(self) -> None:
        """End all. Idempotent."""
        for stream in list(self._sessions):
            self._end(stream)

    def _end(self, stream: str) -> None:
        with self._lock:
            session = self._sessions.pop(stream, None)
        if session is not None:
            with suppress(Exception):  # the connection may be lost
                session.__exit__(None, None, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshots, ()  # connections stay where they are
