# SPDX-License-Identifier: Apache-2.0
"""The life of a source, from construction to disconnecting."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from ....contract import ConfigurationError, ConnectionFailedError, DataSourcePayload, DataSourceState
from ..base import Conformance
from ..capabilities import needs
from ..harness.landing import Landing
from ..harness.process import open_resources, opened_since, recorded_io, within
from ..harness.reading import MakeSource, error_of, opened, partitions_of, read, read_tables, tables_in, watched
from .rows import rows_by_table


class LifecycleChecks(Conformance):
    """Making, checking, connecting and disconnecting a source."""

    overridable: ClassVar[tuple[str, ...]] = ("bad_source", "other_source", "time_limit")
    time_limit: float = 30.0
    """Seconds within which ``check`` must end, whatever the server does."""

    @pytest.fixture
    def bad_source(self) -> MakeSource | None:
        """Optional: makes a source whose data is missing or refuses access. None: not possible."""
        return None

    @pytest.fixture
    def other_source(self) -> MakeSource | None:
        """Optional: makes a source of the same kind over other data. None: not possible."""
        return None

    def test_construction_does_no_io(self, source: MakeSource) -> None:
        """The whole flow file is validated before any connection is opened, which constructs its sources."""
        first = source()
        before = open_resources()
        with recorded_io() as events:
            made = type(first)(first.config)
        left = opened_since(before)
        assert not events, f"__init__ does I/O, {events[:3]}: move it to connect() or read()"
        assert not left, f"__init__ opens {left}: move it to connect() or read()"
        del made

    def test_check_accepts_existing_data(self, source: MakeSource) -> None:
        """`vdk datasource check` is the first command that users try; a false alarm ends the trial."""
        error = error_of(source().check)
        assert error is None, f"check() raised {error!r} for data that can be read, expected none: return from check()"

    @needs("missing_data")
    def test_check_refuses_missing_data(self, bad_source: MakeSource | None) -> None:
        """A check that always succeeds moves the failure into the run at night."""
        if bad_source is None:
            pytest.skip("define the fixture `bad_source`: a function that makes a source whose data is missing")
        error = error_of(bad_source().check)
        assert isinstance(error, (ConfigurationError, ConnectionFailedError)), (
            f"check() gave {error!r} for missing data, expected ConfigurationError, AuthenticationError or "
            "ConnectionFailedError: reach for the data in check()"
        )

    def test_check_ends_in_time(self, source: MakeSource) -> None:
        """A check that waits forever is killed, and then reports nothing."""
        ended, _ = within(self.time_limit, source().check)
        assert ended, f"check() did not end within {self.time_limit} s: give every request and connection a timeout"

    def test_check_leaves_nothing_open(self, source: MakeSource) -> None:
        """Nobody calls disconnect() after check()."""
        source().check()
        made = source()
        before = open_resources()
        made.check()
        left = opened_since(before)
        assert not left, f"check() leaves {left} open: close what it opened before it returns"

    def test_connecting_again_changes_nothing(self, source: MakeSource) -> None:
        """The runtime calls connect() again if the first attempt failed midway."""
        expected = rows_by_table(read_tables(source))
        with opened(source) as made:
            made.connect(DataSourceState())
            rows = rows_by_table(tables_in(made))
        assert rows == expected, "the source yields other rows after a second connect(): start over in connect()"

    def test_disconnecting_is_idempotent(self, source: MakeSource) -> None:
        """It is always called: after a failed connect(), before one, and twice."""
        made = source()
        error = error_of(made.disconnect)
        assert error is None, f"disconnect() before connect() raised {error!r}, expected none: free only what exists"
        made.connect(DataSourceState())
        made.disconnect()
        error = error_of(made.disconnect)
        assert error is None, f"a second disconnect() raised {error!r}, expected none: free only what exists"

    def test_a_source_reconnects(self, source: MakeSource) -> None:
        """A notebook connects a source again after it has disconnected it."""
        made = source()
        rows = []
        for _ in range(2):
            made.connect(DataSourceState())
            rows.append(rows_by_table(tables_in(made)))
            made.disconnect()
        assert rows[0] == rows[1], (
            "the source yields other rows after disconnect() and connect(): set up in connect() what disconnect() frees"
        )

    def test_nothing_is_left_open(self, source: MakeSource) -> None:
        """A worker that runs a thousand jobs runs out of descriptors if each job leaves one open."""
        read_tables(source)  # load what a process loads once
        made = source()
        before = open_resources()
        made.connect(DataSourceState())
        parts = partitions_of(made)
        for _, part in parts:
            read(part)
        made.disconnect()
        left = opened_since(before)
        assert not left, f"disconnect() leaves {left} open: close them in disconnect(), or at the end of read()"

    def test_a_run_that_fails_leaves_nothing_open(self, source: MakeSource) -> None:
        """A job that fails each night, and is started again, runs out of descriptors and threads."""
        names = list(read_tables(source))
        for name in names:
            _failed_run(source, name)  # load what a process loads once
            before = open_resources()
            error = _failed_run(source, name)
            left = opened_since(before)
            assert not left, (
                f"a run whose stream {name!r} fails ({error}) leaves {left} open: end them in disconnect(), and in "
                "read() with `finally`"
            )

    def test_the_identity_is_stable(self, source: MakeSource) -> None:
        """States are stored under it: if it changes, every run refuses the states of the last one."""
        first, second = source(), source()
        names = [first.identity()]
        first.connect(DataSourceState())
        names.append(first.identity())
        first.disconnect()
        names += [first.identity(), second.identity()]
        assert len(set(names)) == 1, (
            f"identity() changes, {sorted(set(names))}, expected one value: return a path or a URL, without times or "
            "counters"
        )
        assert names[0], "identity() is empty, expected the name of the set of data: return a path or a URL"

    def test_the_identity_does_not_depend_on_the_working_directory(
        self, source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If a scheduler starts the job in another folder, the states of the last run are refused."""
        first = source()
        names = [first.identity()]
        monkeypatch.chdir(tmp_path.parent)
        names += [first.identity(), type(first)(first.config).identity()]
        monkeypatch.chdir("/")
        names += [first.identity(), type(first)(first.config).identity()]
        assert len(set(names)) == 1, (
            f"identity() changes with the working directory, {sorted(set(names))}: return the absolute path, or the URL"
        )

    @needs("other_data")
    def test_two_sets_of_data_have_two_identities(self, source: MakeSource, other_source: MakeSource | None) -> None:
        """If both have one identity, the states of the first are used for the second, and its rows are skipped."""
        if other_source is None:
            pytest.skip("define the fixture `other_source`: a function that makes a source over other data")
        name = source().identity()
        assert name != other_source().identity(), (
            f"identity() is {name!r} for two sets of data: include the path or the URL, and the database or tenant"
        )


def _failed_run(source: MakeSource, name: str) -> Exception | None:
    """A run in which one stream fails at its second payload, if it has one."""
    seen: list[str] = []

    def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == name and seen:
            raise RuntimeError("the check makes this stream fail")
        seen.extend([stream] if stream == name else [])

    with Landing.fresh() as landing:
        return landing.attempt(watched(source, on_payload))
