"""A step in Python that runs once the rows have landed.

TODO: work with the rows in your destination. The one in memory is for a first look and for tests.
"""

from __future__ import annotations

import logging

from vdk.api.job_input import IJobInput

from vdk.plugin.datasource_base.testing import MemoryDestination

log = logging.getLogger(__name__)


def run(job_input: IJobInput) -> None:
    for row in MemoryDestination.tables()["tickets"]:
        log.info("%s is %s: %s", row["id"], row["status"], row["title"])
