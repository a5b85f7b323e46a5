# SPDX-License-Identifier: Apache-2.0
"""The checks that every source must pass."""

from __future__ import annotations

from typing import ClassVar

from .checks.configuration import ConfigurationChecks
from .checks.deletes import DeletesConformance
from .checks.incremental import IncrementalConformance
from .checks.large import LargeDataConformance
from .checks.lifecycle import LifecycleChecks
from .checks.log import LogConformance
from .checks.other_partitions import OtherPartitionsConformance
from .checks.partitions import PartitionConformance
from .checks.reading import ReadingChecks, StreamChecks
from .checks.remote import RemoteConformance
from .checks.reruns import RerunChecks
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
    RerunChecks,
    ReadingChecks,
    SecretLeakChecks,
):
    """What every source must do. Subclass it, call the class ``Test…``, and define the fixture ``source``.

    Fixtures: ``source``; optional ``expected`` (rows by stream), ``bad_source`` (a source whose data is missing),
    ``other_source`` (a source of other data), ``with_bad_row`` (a ``BadRow``: a source with a row that cannot land) and
    ``fingerprint`` (a value that changes with the data). ``time_limit`` is how many seconds ``check`` may take.
    """


class SourceConformance(
    DataSourceConformance,
    IncrementalConformance,
    LogConformance,
    DeletesConformance,
    PartitionConformance,
    OtherPartitionsConformance,
    LargeDataConformance,
    RemoteConformance,
):
    """Every check of the suite, of which ``capabilities`` selects those that apply to the source::

        class TestAcme(SourceConformance):
            capabilities = {"incremental", "missing_data", "large_data"}

    ``CAPABILITIES`` has their meanings, and the fixtures that each needs.
    """

    declares_capabilities: ClassVar[bool] = True
