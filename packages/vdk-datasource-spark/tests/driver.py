"""A driver of its own process, which starts a query and is killed in the middle of its first batch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cluster import run_stream, spark_session

if __name__ == "__main__":
    plugin_path, folder, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    with spark_session(plugin_path, folder, "local[1]") as spark:
        run_stream(spark, options, folder)
