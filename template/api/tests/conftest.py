"""The server of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import HelpDesk, serving


@pytest.fixture
def help_desk() -> Iterator[HelpDesk]:
    with serving() as server:
        yield server
