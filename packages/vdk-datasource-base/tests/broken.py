"""The register of broken sources: each is wrong in one way, and is found by one check."""

from __future__ import annotations

import sys
from typing import TypeVar

from reference_journal import Journal, JournalSource, SweptOrders, SweptSource
from reference_lines import Lines, LinesSource
from reference_shop import Events, Orders, ShopConfig, ShopSource, Whole

Broken = type[ShopSource] | type[LinesSource]
BROKEN: dict[str, Broken] = {}
"""Check → the source that it finds."""

T = TypeVar("T", bound=type)


class found_by:
    """Registers a source under the check that finds it; a stream or a configuration makes a source of its own."""

    def __init__(self, check: str) -> None:
        assert check not in BROKEN, f"{check} has a broken source already"
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
        Orders: (ShopSource, "orders"),
        Events: (ShopSource, "events"),
        Whole: (ShopSource, "whole"),
        ShopConfig: (ShopSource, "config_type"),
        Lines: (LinesSource, "lines"),
    }
    owner, attribute = next(found for base, found in parts.items() if issubclass(cls, base))
    made: Broken = type(f"{cls.__name__}Source", (owner,), {attribute: cls, "__module__": cls.__module__})
    setattr(sys.modules[cls.__module__], made.__name__, made)  # where a pickle of it looks
    return made
