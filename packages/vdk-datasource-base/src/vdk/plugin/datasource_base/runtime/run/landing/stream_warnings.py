# SPDX-License-Identifier: Apache-2.0
"""What a stream warns of that lands, and may not be what its user expects."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from ....parts import SchemaChange
from ...report.summary import StreamReport
from ..plan.stream_plan import StreamPlan

log = logging.getLogger(__name__)


def warn_of_dropped_table(plan: StreamPlan) -> None:
    """The state exists and its table does not: somebody may have dropped the table on purpose."""
    log.warning(
        "%s.%s: table %r does not exist, although a state records that rows of it have landed; only new rows will "
        "land. To land all rows again, write: vdk datasource run FLOW --full-refresh --stream %s",
        plan.source_id, plan.name, plan.table, plan.name,
    )  # fmt: skip


def warn_of_emptied_table(plan: StreamPlan, report: StreamReport, rows: int) -> None:
    """A table that had rows was replaced, and has none now: the source may have lost them by mistake."""
    if not rows:
        return
    report.count_named({"rows_before": rows})
    log.warning(
        "%s.%s: the source has no rows now, so table %r is empty, which had %s. To keep the rows of a table next time, "
        "write expect = { rows_min = 1 } under [[flows]]",
        plan.source_id, plan.name, plan.table, f"{rows:,}",
    )  # fmt: skip


def warn_of_changes(plan: StreamPlan, changes: Sequence[SchemaChange]) -> None:
    """Warn of columns that changed their types, or are gone. A replaced table has no value of before."""
    held = "every value that the table has now" if plan.replaces else "every value of both"
    for change in changes:
        reason = f", which holds {held}" if change.after is not None else ": the source does not have it any more"
        log.warning("stream %r: %s%s", plan.name, change.text, reason)


def warn_of_columns(plan: StreamPlan) -> None:
    """Warn of columns of the policy that no row had: their names may be misspelled, and their values have landed."""
    if plan.policy is not None and (unseen := plan.policy.unseen()):
        log.warning(
            "%s.%s: columns names %s, and no row had such a column; if the name is misspelled, the values have landed "
            "as they are",
            plan.source_id, plan.name, ", ".join(map(repr, unseen)),
        )  # fmt: skip


def warn_of_metadata(plan: StreamPlan, filled: Collection[str]) -> None:
    """Warn of metadata columns that no payload has filled: their names are most likely misspelled."""
    unknown = set(plan.metadata_columns) - set(plan.run_metadata) - {"synced_at"} - set(filled)
    if unknown:
        log.warning(
            "%s.%s: metadata_columns has %s, which no payload has in its metadata: the column is NULL in every row",
            plan.source_id, plan.name, ", ".join(sorted(map(repr, unknown))),
        )  # fmt: skip
