# SPDX-License-Identifier: Apache-2.0
"""Remote sources: what happens when the server is unreachable, silent, wrong or refuses the secret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import pytest

from ....contract import AuthenticationError, ConnectionFailedError, DataSource, DataSourceError
from ....runtime.retry import RETRYABLE_ERRORS
from ..base import Conformance
from ..capabilities import Level, needs
from ..harness.process import open_resources, opened_since, within
from ..harness.reading import MakeSource, Table, error_of, read_everything, read_tables
from ..harness.servers import HOST, closed_port, meaningless, proxied, resetting, served, silent

SourceAt: TypeAlias = Callable[[str, int], DataSource[Any]]
"""Makes a source whose server is at a host and a port."""
RefusedSource: TypeAlias = tuple[MakeSource, Callable[[], int]]
"""Makes a source whose secret the server refuses, and counts the attempts at the server."""
CUTS = 20
"""The number of places at which the connection is cut, spread over a full read."""


@needs("network")
class RemoteConformance(Conformance):
    """A source that reads over a network.

    Fixtures: ``source_at``; optional ``refused_source`` (a function that makes a source whose secret the server
    refuses, and one that counts the attempts at the server) and ``good_server`` (the port of a server with good data).
    """

    overridable: ClassVar[tuple[str, ...]] = ("source_at", "refused_source", "good_server", "time_limit")
    level: ClassVar[Level] = "stable"
    time_limit: float = 30.0
    """Seconds within which a reader must give up on a silent server."""

    @pytest.fixture
    def source_at(self) -> SourceAt:
        """Makes a source whose server is at a host and a port, with timeouts of at most a second."""
        pytest.fail(f"{type(self).__name__} must define the fixture `source_at`: (host, port) -> a configured source")

    @pytest.fixture
    def refused_source(self) -> RefusedSource | None:
        """Optional: makes a source whose secret is refused, and counts the attempts at the server."""
        return None

    @pytest.fixture
    def good_server(self) -> int | None:
        """Optional: the port of a server on the loopback with several pages of good data for ``source_at``."""
        return None

    def test_an_unreachable_server_is_a_failed_connection(self, source_at: SourceAt) -> None:
        """The runtime retries after ConnectionFailedError, and gives up at once after any other error."""
        error = error_of(source_at(HOST, closed_port()).check)
        assert isinstance(error, ConnectionFailedError), (
            f"check() gave {error!r} at a port without a server, expected ConnectionFailedError: raise it from the "
            "error of your client"
        )

    def test_reading_from_an_unreachable_server_is_retryable(self, source_at: SourceAt) -> None:
        """A restart of the server takes a minute; a run that fails because of it takes somebody's night."""
        port = closed_port()
        error = error_of(read_everything, lambda: source_at(HOST, port))
        assert isinstance(error, RETRYABLE_ERRORS), (
            f"reading gave {error!r} at a port without a server, expected ConnectionFailedError: raise it from the "
            "error of your client"
        )

    def test_a_reset_connection_is_retryable(self, source_at: SourceAt) -> None:
        """Load balancers reset connections, and the next connection works."""
        with served(resetting) as port:
            error = error_of(read_everything, lambda: source_at(HOST, port))
        assert isinstance(error, RETRYABLE_ERRORS), (
            f"reading gave {error!r} when the connection was reset, expected ConnectionFailedError: raise it from the "
            "error of your client"
        )

    def test_a_silent_server_times_out(self, source_at: SourceAt) -> None:
        """A request without a timeout waits forever, and so does the job."""
        with served(silent) as port:
            ended, error = within(self.time_limit, lambda: read_everything(lambda: source_at(HOST, port)))
        assert ended, f"reading did not give up within {self.time_limit} s: give every request a timeout"
        assert isinstance(error, RETRYABLE_ERRORS), (
            f"reading gave {error!r} after a timeout, expected ConnectionFailedError: raise it from the client's error"
        )

    def test_an_answer_that_is_not_data_is_an_error(self, source_at: SourceAt) -> None:
        """A proxy's login page instead of data must be an error, and never an empty table."""
        with served(meaningless) as port:
            ended, error = within(self.time_limit, lambda: read_everything(lambda: source_at(HOST, port)))
        assert ended, f"reading did not end within {self.time_limit} s: give every request a timeout"
        assert isinstance(error, (DataSourceError, *RETRYABLE_ERRORS)), (
            f"reading gave {error!r} for an answer without meaning, expected a DataSourceError: raise one that shows "
            "the answer"
        )

    def test_failed_connections_leave_nothing_open(self, source_at: SourceAt) -> None:
        """A source that retries all night and leaves a socket open each time runs out of descriptors."""
        with served(resetting) as port:
            error_of(read_everything, lambda: source_at(HOST, port))
            before = open_resources()
            made = source_at(HOST, port)
            error = error_of(read_everything, lambda: made)
            left = [name for name in opened_since(before) if not name.startswith("thread conformance")]
            assert not left, f"a failed connection ({error}) leaves {left} open: close them when it fails"

    @needs("login")
    def test_a_refused_secret_is_an_authentication_error(self, refused_source: RefusedSource | None) -> None:
        """This error makes people look at the login, and not at the network or the data."""
        make, _ = _required(refused_source)
        for action, work in (("check()", lambda: make().check()), ("reading", lambda: read_everything(make))):
            error = error_of(work)
            assert isinstance(error, AuthenticationError), (
                f"{action} gave {error!r} when the secret was refused, expected AuthenticationError: raise it for the "
                "answers that refuse a secret, such as 401"
            )

    @needs("login")
    def test_a_refused_secret_is_not_retried(self, refused_source: RefusedSource | None) -> None:
        """A few attempts with a wrong password lock the account, for everybody who uses it."""
        make, attempts = _required(refused_source)
        for action, work in (("check()", lambda: make().check()), ("reading", lambda: read_everything(make))):
            before = attempts()
            error_of(work)
            count = attempts() - before
            assert count == 1, (
                f"{action} sent a refused secret {count} times, expected once: do not retry, and turn off the retries "
                "of your client"
            )

    def test_a_cut_connection_is_not_the_end_of_the_data(self, source_at: SourceAt, good_server: int | None) -> None:
        """An answer that ends early looks like a small table, and the run succeeds with half of the rows."""
        if good_server is None:
            pytest.skip("define the fixture `good_server`: the port of a server with good data")
        expected, size = self._read_through(source_at, good_server, None)
        assert expected, "the source at `good_server` gave no rows, expected some: add data to the server"
        for after in sorted({size * step // CUTS for step in range(CUTS)}):
            rows, _ = self._read_through(source_at, good_server, after)
            assert rows is None or rows == expected, (
                f"reading ended without an error when the connection was cut after {after} of {size} bytes, missing "
                f"{_first_of(expected - rows)}, added {_first_of(rows - expected)}: compare the length with the "
                "announced one, or wait for the end mark, and raise ConnectionFailedError"
            )

    def _read_through(self, source_at: SourceAt, server: int, cut_after: int | None) -> tuple[Counter[str] | None, int]:
        """The rows (None if reading raised), and the number of bytes that the proxy passed."""
        tables: list[dict[str, Table]] = []
        with proxied(server, cut_after) as (port, proxy):

            def read() -> None:
                tables.append(read_tables(lambda: source_at(HOST, port)))

            ended, error = within(self.time_limit, read)
        assert ended, f"reading did not end within {self.time_limit} s, cut after {cut_after} bytes: set a timeout"
        assert error is None or cut_after is not None, f"the source at `good_server` cannot be read: {error!r}"
        return (_counted(tables[0]) if tables else None), proxy.passed


def _required(refused_source: RefusedSource | None) -> RefusedSource:
    if refused_source is None:
        pytest.skip(
            "define the fixture `refused_source`: a function that makes a source whose secret is refused, and one that "
            "counts the attempts at the server"
        )
    return refused_source


def _counted(tables: dict[str, Table]) -> Counter[str]:
    """Each row of each table, as text. A row with a key is counted once, since it lands once."""
    counts: Counter[str] = Counter()
    for name, table in tables.items():
        rows = [f"{name}: {sorted(row.items())}" for row in table.rows]
        counts.update(set(rows) if table.keys else rows)
    return counts


def _first_of(rows: Counter[str]) -> str:
    return ", ".join(list(rows)[:3]) or "nothing"
