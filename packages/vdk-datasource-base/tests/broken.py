"""The registry of broken sources: each has one mistake, and one check catches it."""

from __future__ import annotations

import sys
from typing import TypeVar

from reference_journal import Journal, JournalSource, SweptOrders, SweptSource
from reference_lines import Lines, LinesSource
from reference_shop import Events, Orders, ShopConfig, ShopSource, Whole
from reference_split import SplitEvents, SplitSource

Broken = type[ShopSource] | type[LinesSource]
BROKEN: dict[str, Broken] = {}
"""The broken source of each check."""

T = TypeVar("T", bound=type)


class caught_by:
    """Registers a source under the check that catches it; a stream or a configuration is put into a source."""

    def __init__(self, check: str) -> None:
        assert check not in BROKEN, f"{check} already has a broken source"
        self._check = check

    def __call__(self, cls: T) -> T:
        BROKEN[self._check] = _source_with(cls)
        return cls


def _source_with(cls: type) -> Broken:
    if issubclass(cls, (ShopSource, LinesSource)):
        return cls
    parts: dict[type, tuple[Broken, str]] = {
        SweptOrders: (SweptSource, "orders"),
        Journal: (JournalSource, "journal"),
        SplitEvents: (SplitSource, "split"),
        Orders: (ShopSource, "orders"),
        Events: (ShopSource, "events"),
        Whole: (ShopSource, "whole"),
        ShopConfig: (ShopSource, "config_type"),
        Lines: (LinesSource, "lines"),
    }
    owner, attribute = next(part for base, part in parts.items() if issubclass(cls, base))
    made: Broken = type(f"{cls.__name__}Source", (owner,), {attribute: cls, "__module__": cls.__module__})
    setattr(sys.modules[cls.__module__], made.__name__, made)  # where unpickling looks for it
    return made
