"""The checks that every source has to pass."""

from __future__ import annotations

from ._lifecycle import LifecycleChecks


class DataSourceConformance(LifecycleChecks):
    """What every source has to do. Subclass it, call the class ``Test…``, and give the fixture ``source``.

    Fixtures: ``source``; optional ``expected`` (rows by stream) and ``bad_source`` (a source whose data is not
    there, or refuses it).
    """
