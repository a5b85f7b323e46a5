# SPDX-License-Identifier: Apache-2.0
"""The checks that every source must pass."""

from __future__ import annotations

from .checks.configuration import ConfigurationChecks
from .checks.lifecycle import LifecycleChecks
from .checks.reading import ReadingChecks, StreamChecks
from .checks.rows import BadRowChecks, RowChecks
from .checks.secret_leaks import SecretLeakChecks
from .checks.states import StateChecks


class DataSourceConformance(
    ConfigurationChecks,
    LifecycleChecks,
    StreamChecks,
    RowChecks,
    BadRowChecks,
    StateChecks,
    ReadingChecks,
    SecretLeakChecks,
):
    """What every source must do. Subclass it, call the class ``Test…``, and define the fixture ``source``.

    Fixtures: ``source``; optional ``expected`` (rows by stream), ``bad_source`` (a source whose data is missing),
    ``other_source`` (a source of other data), ``with_bad_row`` (a ``BadRow``: a source with a row that cannot land) and
    ``fingerprint`` (a value that changes with the data). ``time_limit`` is how many seconds ``check`` may take.
    """
