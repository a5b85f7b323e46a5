"""The known names that an unknown one may have been meant for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str], *, limit: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names that are spelled most like ``name``, the best first.

    :param cutoff: how alike they are at least, from 0 to 1, as ``difflib`` measures it.
    """
    return difflib.get_close_matches(name, sorted(known), n=limit, cutoff=cutoff)


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """``did you mean 'orders' or 'order'?``; empty where no known name is like ``name``."""
    near = closest(name, known, cutoff=cutoff)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the names like it, or all of them."""
    names = sorted(known)
    near = did_you_mean(name, names, cutoff=0.7)  # "rest" is not a misspelt "postgres"
    return near or (f"there are: {', '.join(names)}" if names else "there are none")
