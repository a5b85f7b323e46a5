"""The checks for sources that reach their data over a network."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from ...contract import ConnectionFailedError, DataSource
from ._reading import error_of
from ._suite import Conformance

SourceAt = Callable[[str, int], DataSource[Any]]


class RemoteConformance(Conformance):
    """What a source does when the other side is away, silent or broken. Fixture: ``source_at``."""

    yours = ("source_at",)

    @pytest.fixture
    def source_at(self) -> SourceAt:
        """Makes a source whose server is at a host and port, with timeouts of at most a second."""
        pytest.fail(f"{type(self).__name__} must define the fixture `source_at`: (host, port) -> a configured source")

    def test_a_server_that_is_away_is_a_failed_connection(self, source_at: SourceAt) -> None:
        """The runtime tries again after ConnectionFailedError, and gives up at once after any other error."""
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        error = error_of(source_at("127.0.0.1", port).check)
        assert isinstance(error, ConnectionFailedError), (
            f"check() must raise ConnectionFailedError where nobody listens; it gave {error!r}"
        )
