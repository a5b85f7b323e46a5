"""What the partitions of a source share within a process, also where each of them was pickled by itself."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any, Self
from weakref import WeakValueDictionary

_lock = threading.Lock()
_shared: WeakValueDictionary[str, PerProcess] = WeakValueDictionary()
"""Objects of other processes that partitions brought here, by the id that they were made with."""


class PerProcess:
    """An object whose copies in another process are one object there.

    A cluster pickles every partition by itself. Without this, each would bring a rate limit and a cache of its own.
    """

    def __init__(self, *arguments: Any) -> None:
        """``arguments``: what the class is made with in another process."""
        self._arguments = arguments
        self._id = uuid.uuid4().hex

    def __reduce__(self) -> tuple[Callable[..., PerProcess], tuple[Any, ...]]:
        return _restored, (type(self), self._id, self._arguments)

    @classmethod
    def restored(cls, id_: str, arguments: tuple[Any, ...]) -> Self:
        with _lock:
            existing = _shared.get(id_)
            if not isinstance(existing, cls):
                existing = cls(*arguments)
                existing._id = id_
                _shared[id_] = existing
            return existing


def _restored(cls: type[PerProcess], id_: str, arguments: tuple[Any, ...]) -> PerProcess:
    return cls.restored(id_, arguments)
