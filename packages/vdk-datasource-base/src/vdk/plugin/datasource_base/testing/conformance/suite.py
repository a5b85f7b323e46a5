"""The checks that every source has to pass, put together."""

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
    """What every source has to do. Subclass it, call the class ``Test…``, and give the fixture ``source``.

    Fixtures: ``source``; optional ``expected`` (rows by stream), ``bad_source`` (a source whose data is not
    there), ``other_source`` (one over other data), ``with_bad_row`` (a ``BadRow``: one whose data has a row that cannot
    land) and ``fingerprint`` (tells whether the data was changed). ``patience`` is how long ``check`` may take.
    """
