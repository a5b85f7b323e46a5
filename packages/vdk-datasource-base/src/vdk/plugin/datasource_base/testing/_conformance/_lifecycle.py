"""From construction to disconnecting."""

from __future__ import annotations

import pytest

from ...contract import AuthenticationError, ConfigurationError, ConnectionFailedError
from ._reading import error_of
from ._suite import Conformance, MakeSource


class LifecycleChecks(Conformance):
    """Making, checking, connecting and disconnecting a source."""

    yours = ("bad_source", "patience")
    patience: float = 30.0
    """Seconds within which ``check`` has to come to an end, whatever is on the other side."""

    @pytest.fixture
    def bad_source(self) -> MakeSource | None:
        """Optional: makes a source whose data is not there, or refuses it. None: there is no such thing."""
        return None

    def test_check_accepts_data_that_is_there(self, source: MakeSource) -> None:
        """`vdk datasource check` is what users try first; a false alarm there ends the trial."""
        error = error_of(source().check)
        assert error is None, f"check() must return where the data can be read; it raised {error!r}"

    def test_check_refuses_data_that_is_not_there(self, bad_source: MakeSource | None) -> None:
        """A check that always says yes moves the failure into the night's run."""
        if bad_source is None:
            pytest.skip("no `bad_source` is given: a function that makes a source whose data is not there")
        told = (ConfigurationError, AuthenticationError, ConnectionFailedError)
        error = error_of(bad_source().check)
        assert isinstance(error, told), (
            "check() must raise ConfigurationError, AuthenticationError or ConnectionFailedError where the data is "
            f"not there, so that the runtime knows what to do; it gave {error!r}"
        )
