"""Layer 3, the runtime: reads partitions in parallel and lands them. Plain Python, no vdk-core."""

from .environment import Environment
from .options import Options
from .report.summary import RunSummary, StreamReport
from .run.file_run import execute

__all__ = ["Environment", "Options", "RunSummary", "StreamReport", "execute"]
