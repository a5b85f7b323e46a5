# SPDX-License-Identifier: Apache-2.0
"""The conformance suite: what every source must do, as tests that a plugin inherits.

Each check is a method ``test_…``: its name is the rule, its docstring the reason, and its message says what is wrong,
what was expected and what to do. For each check the tests of the base have a broken source that fails it.
"""

from .capabilities import CAPABILITIES
from .checks.deletes import DeletesConformance, DeletingEditor
from .checks.incremental import IncrementalConformance, StreamEditor
from .checks.large import LargeDataConformance
from .checks.log import LogConformance, LogEditor
from .checks.other_partitions import OtherPartitionsConformance, Split
from .checks.partitions import PartitionConformance
from .checks.remote import RemoteConformance
from .checks.rows import BadRow
from .harness.landing import Landing
from .harness.servers import proxied
from .suite import DataSourceConformance, SourceConformance

__all__ = [
    "CAPABILITIES",
    "BadRow",
    "DataSourceConformance",
    "DeletesConformance",
    "DeletingEditor",
    "IncrementalConformance",
    "Landing",
    "LargeDataConformance",
    "LogConformance",
    "LogEditor",
    "OtherPartitionsConformance",
    "PartitionConformance",
    "RemoteConformance",
    "SourceConformance",
    "Split",
    "StreamEditor",
    "proxied",
]
