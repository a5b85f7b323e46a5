"""Layer 3, the runtime: reads partitions in parallel and lands them. Plain Python, no vdk-core."""

from ._environment import Environment
from ._options import Options
from ._run import execute
from ._summary import RunSummary, StreamReport

__all__ = ["Environment", "Options", "RunSummary", "StreamReport", "execute"]
