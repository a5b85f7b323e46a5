"""The conformance suite: what every source has to do, as tests that a plugin inherits.

Each check is a method ``test_…`` whose name is the rule, whose docstring is the reason, and whose message
says what to do. Each has a broken source in the base's own tests that it, and it alone, finds.
"""

from .checks.deletes import DeletesConformance, DeletingEditor
from .checks.incremental import IncrementalConformance, StreamEditor
from .checks.large import LargeDataConformance
from .checks.log import LogConformance, LogEditor
from .checks.partitions import PartitionConformance
from .checks.remote import RemoteConformance
from .checks.rows import BadRow
from .suite import DataSourceConformance

__all__ = [
    "BadRow",
    "DataSourceConformance",
    "DeletesConformance",
    "DeletingEditor",
    "IncrementalConformance",
    "LargeDataConformance",
    "LogConformance",
    "LogEditor",
    "PartitionConformance",
    "RemoteConformance",
    "StreamEditor",
]
