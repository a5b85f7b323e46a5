"""The checks for sources that reach their data over a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import pytest

from ....contract import AuthenticationError, ConnectionFailedError, DataSource, DataSourceError
from ..base import Conformance
from ..harness.process import held, new_since, within
from ..harness.reading import MakeSource, Table, error_of, opened, partitions_of, read_tables
from ..harness.servers import HOST, babbling, breaking, closed_port, proxied, served, silent

SourceAt: TypeAlias = Callable[[str, int], DataSource[Any]]
RefusedSource: TypeAlias = tuple[MakeSource, Callable[[], int]]
CUTS = 20
"""At how many places of one whole reading the connection is cut."""
RETRYABLE_ERRORS = (ConnectionFailedError, ConnectionError, TimeoutError)
"""What the runtime tries again after."""


class RemoteConformance(Conformance):
    """What a source does when the other side is away, silent or broken.

    Fixtures: ``source_at``; optional ``refused_source`` (what makes a source whose secret the server refuses, and
    a function that counts the attempts at the server) and ``good_server`` (the port of a server with good data).
    """

    yours: ClassVar[tuple[str, ...]] = ("source_at", "refused_source", "good_server", "patience")
    patience: float = 30.0
    """Seconds within which a reader has to give up on a server that says nothing."""

    @pytest.fixture
    def source_at(self) -> SourceAt:
        """Makes a source whose server is at a host and port, with timeouts of at most a second."""
        pytest.fail(f"{type(self).__name__} must define the fixture `source_at`: (host, port) -> a configured source")

    @pytest.fixture
    def refused_source(self) -> RefusedSource | None:
        """Optional: what makes a source whose secret is refused, and what counts the attempts at the server."""
        return None

    @pytest.fixture
    def good_server(self) -> int | None:
        """Optional: the port on the loopback of a server with good data for ``source_at``, of several pages."""
        return None

    def test_an_unreachable_server_is_a_failed_connection(self, source_at: SourceAt) -> None:
        """The runtime tries again after ConnectionFailedError, and gives up at once after any other error."""
        error = error_of(source_at(HOST, closed_port()).check)
        assert isinstance(error, ConnectionFailedError), (
            f"check() must raise ConnectionFailedError where nobody listens; it gave {error!r}"
        )

    def test_reading_from_an_unreachable_server_is_retryable(self, source_at: SourceAt) -> None:
        """A restart of the server takes a minute; a run that dies of it takes somebody's night."""
        port = closed_port()
        error = error_of(_read_something, source_at(HOST, port))
        assert isinstance(error, RETRYABLE_ERRORS), (
            f"reading must raise ConnectionFailedError where nobody listens, not {error!r}"
        )

    def test_a_reset_connection_is_retryable(self, source_at: SourceAt) -> None:
        """Load balancers reset connections; the next one works."""
        with served(breaking) as port:
            error = error_of(_read_something, source_at(HOST, port))
        assert isinstance(error, RETRYABLE_ERRORS), (
            f"a connection that is reset must be ConnectionFailedError, not {error!r}"
        )

    def test_a_silent_server_times_out(self, source_at: SourceAt) -> None:
        """A request without a timeout waits for ever, and the job with it."""
        with served(silent) as port:
            ended, error = within(self.patience, lambda: _read_something(source_at(HOST, port)))
        assert ended, f"reading did not give up within {self.patience} s: give every request a timeout"
        assert isinstance(error, RETRYABLE_ERRORS), f"a timeout must be ConnectionFailedError, not {error!r}"

    def test_an_answer_that_is_not_data_is_an_error(self, source_at: SourceAt) -> None:
        """A proxy's login page instead of data must be an error with a name, and never an empty table."""
        with served(babbling) as port:
            ended, error = within(self.patience, lambda: _read_something(source_at(HOST, port)))
        assert ended, f"reading did not end within {self.patience} s: give every request a timeout"
        assert isinstance(error, (DataSourceError, *RETRYABLE_ERRORS)), (
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

    def test_a_refused_secret_is_an_authentication_error(self, refused_source: RefusedSource | None) -> None:
        """Whoever gets this error looks at the login, and not at the network or the data."""
        make, _ = _given(refused_source)
        for what, work in (("check()", lambda: make().check()), ("reading", lambda: _read_something(make()))):
            error = error_of(work)
            assert isinstance(error, AuthenticationError), (
                f"{what} must raise AuthenticationError where the secret is refused; it gave {error!r}"
            )

    def test_a_refused_secret_is_not_retried(self, refused_source: RefusedSource | None) -> None:
        """A few attempts with a wrong password lock the account, for everybody who uses it."""
        make, attempts = _given(refused_source)
        for what, work in (("check()", lambda: make().check()), ("reading", lambda: _read_something(make()))):
            before = attempts()
            error_of(work)
            tried = attempts() - before
            assert tried == 1, f"{what} must try a secret that is refused once; it did so {tried} times"

    def test_a_cut_connection_is_not_the_end_of_the_data(self, source_at: SourceAt, good_server: int | None) -> None:
        """An answer that ends early looks like a small table, and the run succeeds with half of the rows."""
        if good_server is None:
            pytest.skip("no `good_server` is given: the port of a server with good data")
        whole, size = self._read_through(source_at, good_server, None)
        assert whole, "the source at `good_server` must give rows: without them nothing shows that some are missing"
        for after in sorted({size * step // CUTS for step in range(CUTS)}):
            found, _ = self._read_through(source_at, good_server, after)
            assert found is None or found == whole, (
                f"a read whose connection was cut after {after} of {size} bytes must raise or give all rows; it ended "
                f"without an error, missing {_few(whole - found)}, too many {_few(found - whole)}"
            )

    def _read_through(self, source_at: SourceAt, server: int, cut_after: int | None) -> tuple[Counter[str] | None, int]:
        """The rows (None where the read raised) and how many bytes the proxy passed."""
        tables: list[dict[str, Table]] = []
        with proxied(server, cut_after) as (port, proxy):
            work = lambda: tables.append(read_tables(lambda: source_at(HOST, port)))  # noqa: E731
            ended, error = within(self.patience, work)
        assert ended, f"reading did not end within {self.patience} s, cut after {cut_after} bytes: set a timeout"
        assert error is None or cut_after is not None, f"the source at `good_server` must be readable: {error!r}"
        return (_counted(tables[0]) if tables else None), proxy.passed


def _given(refused_source: RefusedSource | None) -> RefusedSource:
    if refused_source is None:
        pytest.skip(
            "no `refused_source` is given: a function that makes a source whose secret is refused, and one that "
            "counts the attempts at the server"
        )
    return refused_source


def _counted(tables: dict[str, Table]) -> Counter[str]:
    """Each row of each table, as text; a row that has a key may come twice, for it lands once."""
    found: Counter[str] = Counter()
    for name, table in tables.items():
        rows = [f"{name}: {sorted(row.items())}" for row in table.rows]
        found.update(set(rows) if table.keys else rows)
    return found


def _few(rows: Counter[str]) -> str:
    return ", ".join(list(rows)[:3]) or "nothing"


def _read_something(source: DataSource[Any]) -> None:
    with opened(lambda: source) as made:
        for _, part in partitions_of(made):
            for _ in part.read({}):
                pass
