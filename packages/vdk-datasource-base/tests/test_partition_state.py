"""A partition's state as typed fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vdk.plugin.datasource_base import PartitionState, StateError


class Position(PartitionState):
    page: int = 0
    token: str | None = None


class Later(PartitionState):
    v: int = 2
    page: int = 0


def test_a_state_comes_back_as_it_was() -> None:
    """Through JSON, which is how it is kept."""
    assert Position.load(json.loads(json.dumps(Position(page=3).dump()))) == Position(page=3)


def test_an_empty_state_is_the_beginning() -> None:
    """The first run has no state, and needs no branch of its own."""
    assert Position.load({}) == Position(page=0, token=None)


def test_the_version_is_in_the_state() -> None:
    """What reads it one day knows what it reads."""
    assert Later(page=1).dump() == {"v": 2, "page": 1}


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"v": 2, "page": 1}, "the version 2, and this version of the source reads 1"),
        ({"page": 1}, "the version None"),
        ({"v": 1, "page": "3"}, r"Expected `int`, got `str` - at `\$\.page`"),
        ({"v": 1, "page": None}, "Expected `int`, got `null`"),
        ({"v": 1, "offset": 3}, "unknown field `offset`"),
        ({"v": True, "page": 3}, "Expected `int`, got `bool`"),
        ({"v": 1, "page": 3}, r"it lacks \['token'\]"),
    ],
)
def test_a_state_that_is_not_ours_is_refused(state: dict[str, Any], problem: str) -> None:
    """An error that says what to do, rather than a reading that begins at the wrong place."""
    with pytest.raises(StateError, match=f"{problem}.*vdk datasource state reset"):
        Position.load(state)
