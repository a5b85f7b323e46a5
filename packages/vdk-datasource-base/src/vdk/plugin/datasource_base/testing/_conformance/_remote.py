"""The checks for sources that reach their data over a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import pytest

from ...contract import ConnectionFailedError, DataSource, DataSourceError
from ._payloads import error_of, opened, partitions_of
from ._resources import held, new_since, within
from ._servers import HOST, babbling, breaking, closed_port, served, silent
from ._suite import Conformance

SourceAt: TypeAlias = Callable[[str, int], DataSource[Any]]
AWAY = (ConnectionFailedError, ConnectionError, TimeoutError)
"""What the runtime tries again after."""


class RemoteConformance(Conformance):
    """What a source does when the other side is away, silent or broken. Fixture: ``source_at``."""

    yours: ClassVar[tuple[str, ...]] = ("source_at", "patience")
    patience: float = 30.0
    """Seconds within which a reader has to give up on a server that says nothing."""

    @pytest.fixture
    def source_at(self) -> SourceAt:
        """Makes a source whose server is at a host and port, with timeouts of at most a second."""
        pytest.fail(f"{type(self).__name__} must define the fixture `source_at`: (host, port) -> a configured source")

    def test_a_server_that_is_away_is_a_failed_connection(self, source_at: SourceAt) -> None:
        """The runtime tries again after ConnectionFailedError, and gives up at once after any other error."""
        error = error_of(source_at(HOST, closed_port()).check)
        assert isinstance(error, ConnectionFailedError), (
            f"check() must raise ConnectionFailedError where nobody listens; it gave {error!r}"
        )

    def test_reading_from_a_server_that_is_away_is_worth_a_retry(self, source_at: SourceAt) -> None:
        """A restart of the server takes a minute; a run that dies of it takes somebody's night."""
        port = closed_port()
        error = error_of(_read_something, source_at(HOST, port))
        assert isinstance(error, AWAY), f"reading must raise ConnectionFailedError where nobody listens, not {error!r}"

    def test_a_connection_that_breaks_is_worth_a_retry(self, source_at: SourceAt) -> None:
        """Load balancers reset connections; the next one works."""
        with served(breaking) as port:
            error = error_of(_read_something, source_at(HOST, port))
        assert isinstance(error, AWAY), f"a connection that is reset must be ConnectionFailedError, not {error!r}"

    def test_a_silent_server_is_not_waited_for(self, source_at: SourceAt) -> None:
        """A request without a timeout waits for ever, and the job with it."""
        with served(silent) as port:
            ended, error = within(self.patience, lambda: _read_something(source_at(HOST, port)))
        assert ended, f"reading did not give up within {self.patience} s: give every request a timeout"
        assert isinstance(error, AWAY), f"a timeout must be ConnectionFailedError, not {error!r}"

    def test_a_server_that_talks_nonsense_is_told(self, source_at: SourceAt) -> None:
        """A proxy's login page instead of data must be an error with a name, and never an empty table."""
        with served(babbling) as port:
            ended, error = within(self.patience, lambda: _read_something(source_at(HOST, port)))
        assert ended, f"reading did not end within {self.patience} s: give every request a timeout"
        assert isinstance(error, (DataSourceError, *AWAY)), (
            f"an answer that is not understood must be a DataSourceError that shows it; it gave {error!r}"
        )

    def test_failed_connections_leave_nothing_open(self, source_at: SourceAt) -> None:
        """A source that retries all night with a socket left open each time ends at the limit."""
        with served(breaking) as port:
            error_of(_read_something, source_at(HOST, port))
            before = held()
            made = source_at(HOST, port)
            error = error_of(_read_something, made)
            left = [one for one in new_since(before) if not one.startswith("thread conformance")]
            assert not left, f"after a failed connection there are still {left}: close them where it fails ({error})"


def _read_something(source: DataSource[Any]) -> None:
    with opened(lambda: source) as made:
        for _, part in partitions_of(made):
            for _ in part.read({}):
                pass
