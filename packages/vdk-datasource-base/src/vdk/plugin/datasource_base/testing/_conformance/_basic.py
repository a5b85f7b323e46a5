"""The checks that every source has to pass, put together."""

from __future__ import annotations

from ._bad_row import BadRowChecks
from ._configuration import ConfigurationChecks
from ._lifecycle import LifecycleChecks
from ._reading import ReadingChecks
from ._rows import RowChecks
from ._secrecy import SecrecyChecks
from ._states import StateChecks
from ._streams import StreamChecks


class DataSourceConformance(
    ConfigurationChecks,
    LifecycleChecks,
    StreamChecks,
    RowChecks,
    BadRowChecks,
    StateChecks,
    ReadingChecks,
    SecrecyChecks,
):
    """What every source has to do. Subclass it, call the class ``Test…``, and give the fixture ``source``.

    Fixtures: ``source``; optional ``expected`` (rows by stream), ``bad_source`` (a source whose data is not
    there), ``other_source`` (one over other data), ``with_bad_row`` (a ``BadRow``: one whose data has a row that cannot
    land) and ``fingerprint`` (tells whether the data was changed). ``patience`` is how long ``check`` may take.
    """
