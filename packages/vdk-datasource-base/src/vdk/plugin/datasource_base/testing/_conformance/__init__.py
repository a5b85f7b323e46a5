"""The conformance suite: what every source has to do, as tests that a plugin inherits.

Each check is a method ``test_…`` whose name is the rule, whose docstring is the reason, and whose message
says what to do. Each has a broken source in the base's own tests that it, and it alone, finds.
"""

from ._bad_row import BadRow
from ._basic import DataSourceConformance
from ._deletes import DeletesConformance, DeletingEditor
from ._editor import StreamEditor
from ._incremental import IncrementalConformance
from ._large import LargeDataConformance
from ._log import LogConformance, LogEditor
from ._partitions import PartitionConformance
from ._remote import RemoteConformance

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
