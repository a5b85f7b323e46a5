# SPDX-License-Identifier: Apache-2.0
"""What a source can do, in one set in its test class, which selects the checks that apply to it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ...contract.remedies import suggest

Level = Literal["draft", "beta", "stable"]
LEVELS: tuple[Level, ...] = ("draft", "beta", "stable")
"""Each needs its own checks and those of the levels before it."""

CheckT = TypeVar("CheckT", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that not every source can do.

    :param meaning: what it is. :param fixtures: what the class must define for its checks.
    """

    meaning: str
    fixtures: tuple[str, ...] = ()


CAPABILITIES = {
    "missing_data": Capability("its data can be missing, which check() must notice", ("bad_source",)),
    "other_data": Capability("it can be configured for other data", ("other_source",)),
    "bad_rows": Capability("a row of its data may be one that cannot land", ("with_bad_row",)),
    "incremental": Capability("a stream is read by a cursor", ("editor",)),
    "log": Capability("a stream is read by its offset in an append-only log", ("log",)),
    "deletes": Capability("a stream follows deletes", ("editor",)),
    "partitions": Capability("a stream is split"),
    "other_partitions": Capability("the number of its partitions is an option, or changes", ("split",)),
    "large_data": Capability("it reads page by page", ("large_source",)),
    "network": Capability("it reads over a network", ("source_at", "good_server")),
    "login": Capability("a server refuses a wrong secret", ("refused_source",)),
}
"""A class that declares ``capabilities`` has the checks of these, and the checks that every source must pass."""


def needs(capability: str) -> Callable[[CheckT], CheckT]:
    """Marks a check, or a class of checks, that only sources with this capability can pass."""
    assert capability in CAPABILITIES, capability

    def mark(check: CheckT) -> CheckT:
        check.needs = capability  # type: ignore[attr-defined]  # a function or a class
        return check

    return mark


def at(level: Level) -> Callable[[CheckT], CheckT]:
    """Marks a check that belongs to another level than the other checks of its class."""

    def mark(check: CheckT) -> CheckT:
        check.level = level  # type: ignore[attr-defined]  # a function
        return check

    return mark


def needed_by(check: Callable[..., None], owner: Any) -> str | None:
    """The capability that a check of a class needs; None: every source must pass it."""
    needed: str | None = getattr(check, "needs", None) or getattr(owner, "needs", None)
    return needed


def validate(cls: type, declared: Collection[str], defines: Callable[[str], bool]) -> None:
    """Refuse an unknown capability, and one whose fixture the class does not define.

    :param defines: whether the class has its own fixture of a name.
    """
    for name in sorted(declared):
        if name not in CAPABILITIES:
            raise TypeError(f"{cls.__qualname__}.capabilities has {name!r}; {suggest(name, CAPABILITIES)}")
        for fixture in CAPABILITIES[name].fixtures:
            if not defines(fixture):
                raise TypeError(
                    f"{cls.__qualname__}.capabilities has {name!r}, and the class does not define its fixture "
                    f"`{fixture}`: define it, or remove {name!r}"
                )
