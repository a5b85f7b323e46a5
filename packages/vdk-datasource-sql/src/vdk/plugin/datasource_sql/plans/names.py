# SPDX-License-Identifier: Apache-2.0
"""Names in a configuration, matched with those of the database."""

from __future__ import annotations

from collections.abc import Iterable

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import did_you_mean


def find_name(name: str, known: Iterable[str], *, config_path: str, what: str) -> str:
    """``name`` as the database spells it; a single match that ignores case is accepted.

    :param config_path: where it was written (``"tables.orders.cursor"``).
    :param what: what it should name (``"a column of table 'orders'"``).
    :raises ConfigurationError: with the closest names.
    """
    names = list(known)
    if name in names:
        return name
    alike = [candidate for candidate in names if candidate.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise ConfigurationError(f"{config_path}: {name!r} is not {what}{hint(name, names)}")


def named_like(name: str, known: Iterable[str]) -> list[str]:
    """The names that an option for all tables may mean: the one spelled like it, else all that differ in case."""
    names = list(known)
    return [name] if name in names else [other for other in names if other.casefold() == name.casefold()]


def hint(name: str, names: Iterable[str], shown: int = 12) -> str:
    """What to add to a message about an unknown name."""
    known = sorted(names)
    if near := did_you_mean(name, known):
        return f"; {near}"
    if not known:
        return "; there are none"
    more = f" and {len(known) - shown} more" if len(known) > shown else ""
    return f"; there are {', '.join(map(repr, known[:shown]))}{more}"
