# SPDX-License-Identifier: Apache-2.0
"""Objects that the partitions of a source share within a process, even if each partition was pickled separately."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any, Self
from weakref import WeakValueDictionary

_lock = threading.Lock()
_shared: WeakValueDictionary[str, PerProcess] = WeakValueDictionary()
"""Objects that arrived from other processes with a pickled partition, by their ids."""


class PerProcess:
    """An object whose copies in another process are the same object.

    A cluster pickles each partition separately; otherwise each would have its own rate limit and cache.
    """

    def __init__(self, *arguments: Any) -> None:
        """:param arguments: the arguments of the class in another process."""
        self._arguments = arguments
        self._id = uuid.uuid4().hex

    def __reduce__(self) -> tuple[Callable[..., PerProcess], tuple[Any, ...]]:
        return _restored, (type(self), self._id, self._arguments)

    @classmethod
    def restored(cls, id_: str, arguments: tuple[Any, ...]) -> Self:
        """The object of this process with this id, created at the first call."""
        with _lock:
            existing = _shared.get(id_)
            if not isinstance(existing, cls):
                existing = cls(*arguments)
                existing._id = id_
                _shared[id_] = existing
            return existing


def _restored(cls: type[PerProcess], id_: str, arguments: tuple[Any, ...]) -> PerProcess:
    return cls.restored(id_, arguments)
