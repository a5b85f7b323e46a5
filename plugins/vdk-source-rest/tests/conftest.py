"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import source_of


@pytest.fixture
def source() -> Iterator[Callable[..., Any]]:
    """Makes sources, and disconnects them when the test ends."""
    made: list[Any] = []

    def make(*arguments: Any, **config: Any) -> Any:
        made.append(source_of(*arguments, **config))
        return made[-1]

    yield make
    for rest_source in made:
        rest_source.disconnect()
