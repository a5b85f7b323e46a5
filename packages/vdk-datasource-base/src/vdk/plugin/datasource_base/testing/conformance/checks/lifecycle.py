"""From construction to disconnecting."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from ....contract import ConfigurationError, ConnectionFailedError, DataSourceState
from ..base import Conformance
from ..harness.process import held, new_since, reached_for, within
from ..harness.reading import MakeSource, error_of, opened, partitions_of, read, read_tables, tables_in
from .rows import rows_by_table


class LifecycleChecks(Conformance):
    """Making, checking, connecting and disconnecting a source."""

    yours: ClassVar[tuple[str, ...]] = ("bad_source", "other_source", "patience")
    patience: float = 30.0
    """Seconds within which ``check`` has to come to an end, whatever is on the other side."""

    @pytest.fixture
    def bad_source(self) -> MakeSource | None:
        """Optional: makes a source whose data is not there, or refuses it. None: there is no such thing."""
        return None

    @pytest.fixture
    def other_source(self) -> MakeSource | None:
        """Optional: makes a source of the same kind over other data. None: there is no such thing."""
        return None

    def test_construction_does_no_io(self, source: MakeSource) -> None:
        """Flow files are checked as a whole before anything connects, and to check one is to construct its sources."""
        first = source()
        before = held()
        with reached_for() as found:
            made = type(first)(first.config)
        left = new_since(before)
        assert not found, f"__init__ reaches for {found[:3]}: move it to connect() or read()"
        assert not left, f"__init__ opens {left}: move it to connect() or read()"
        del made

    def test_check_accepts_existing_data(self, source: MakeSource) -> None:
        """`vdk datasource check` is what users try first; a false alarm there ends the trial."""
        error = error_of(source().check)
        assert error is None, f"check() must return where the data can be read; it raised {error!r}"

    def test_check_refuses_missing_data(self, bad_source: MakeSource | None) -> None:
        """A check that always says yes moves the failure into the night's run."""
        if bad_source is None:
            pytest.skip("no `bad_source` is given: a function that makes a source whose data is not there")
        error = error_of(bad_source().check)
        assert isinstance(error, (ConfigurationError, ConnectionFailedError)), (
            "check() must raise ConfigurationError, AuthenticationError or ConnectionFailedError where the data is "
            f"not there, so that the runtime knows what to do; it gave {error!r}"
        )

    def test_check_ends_in_time(self, source: MakeSource) -> None:
        """A check that waits for ever is one that is killed, and then says nothing at all."""
        ended, _ = within(self.patience, source().check)
        assert ended, f"check() did not end within {self.patience} s: give every request and connection a timeout"

    def test_check_leaves_nothing_open(self, source: MakeSource) -> None:
        """It is called on its own: nobody calls disconnect() after it."""
        source().check()
        made = source()
        before = held()
        made.check()
        left = new_since(before)
        assert not left, f"check() leaves {left} open: close what it opened before it returns"

    def test_connecting_again_changes_nothing(self, source: MakeSource) -> None:
        """The runtime calls connect() again where the first attempt failed half way."""
        wanted = rows_by_table(read_tables(source))
        with opened(source) as made:
            made.connect(DataSourceState())
            found = rows_by_table(tables_in(made))
        assert found == wanted, "connect() a second time must start over: the source gives other rows after it"

    def test_disconnecting_is_idempotent(self, source: MakeSource) -> None:
        """It is always called: after a connect() that failed, before one, and twice."""
        made = source()
        error = error_of(made.disconnect)
        assert error is None, f"disconnect() before connect() must do nothing; it raised {error!r}"
        made.connect(DataSourceState())
        made.disconnect()
        error = error_of(made.disconnect)
        assert error is None, f"disconnect() a second time must do nothing; it raised {error!r}"

    def test_a_source_reconnects(self, source: MakeSource) -> None:
        """A source that was disconnected is connected again by whoever holds it, such as a notebook."""
        made = source()
        found = []
        for _ in range(2):
            made.connect(DataSourceState())
            found.append(rows_by_table(tables_in(made)))
            made.disconnect()
        assert found[0] == found[1], "after disconnect() and connect() the source must give the same rows again"

    def test_nothing_is_left_open(self, source: MakeSource) -> None:
        """A worker that runs a thousand jobs runs out of descriptors where each of them leaves one."""
        read_tables(source)  # what is loaded once for the process is loaded now
        made = source()
        before = held()
        made.connect(DataSourceState())
        parts = partitions_of(made)
        for _, part in parts:
            read(part)
        made.disconnect()
        left = new_since(before)
        assert not left, f"after disconnect() there are still {left}: close them there, or where read() ends"

    def test_the_identity_is_stable(self, source: MakeSource) -> None:
        """States are kept under it: an identity that changes makes every run refuse the states of the last."""
        first, second = source(), source()
        names = [first.identity()]
        first.connect(DataSourceState())
        names.append(first.identity())
        first.disconnect()
        names += [first.identity(), second.identity()]
        assert len(set(names)) == 1, f"identity() must name the data alike each time; it gave {sorted(set(names))}"
        assert names[0], "identity() must say which set of data this is: a path, a URL"

    def test_the_identity_does_not_depend_on_the_working_directory(
        self, source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A scheduler starts the job in another folder, and the states of the last run are refused there."""
        first = source()
        names = [first.identity()]
        monkeypatch.chdir(tmp_path.parent)
        names += [first.identity(), type(first)(first.config).identity()]
        monkeypatch.chdir("/")
        names += [first.identity(), type(first)(first.config).identity()]
        assert len(set(names)) == 1, (
            f"identity() changes with the working directory, {sorted(set(names))}: use the absolute path, or the URL"
        )

    def test_two_sets_of_data_have_two_identities(self, source: MakeSource, other_source: MakeSource | None) -> None:
        """Where both have one name, the states of the first are followed in the second, and its rows are left out."""
        if other_source is None:
            pytest.skip("no `other_source` is given: a function that makes a source over other data")
        name = source().identity()
        assert name != other_source().identity(), (
            f"identity() is {name!r} for two sets of data: put the path or the URL into it, and the database or tenant"
        )
