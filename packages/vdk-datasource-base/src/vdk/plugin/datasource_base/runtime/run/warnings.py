"""What lands as it was asked for, and was most likely not meant."""

from __future__ import annotations

import logging
from collections.abc import Collection

from ...parts import Destination
from .plan import StreamPlan

log = logging.getLogger(__name__)


def warn_of_dropped_table(plan: StreamPlan) -> None:
    """The state is there and its table is not: somebody may have dropped it on purpose."""
    log.warning(
        "%s.%s: table %r is not there any more, though a state says that rows of it have landed; only new "
        "ones will. To land all of them again, reset the state (`vdk datasource state reset`)",
        plan.source_id, plan.name, plan.table,
    )  # fmt: skip


def warn_of_replaced_rows(plan: StreamPlan, destination: Destination) -> None:
    """A table that was replaced may have had rows of other streams, whose states go on behind them."""
    keys = [state.key for state in destination.load_states(plan.source_id) if state.state]
    others = {key.stream for key in keys if key.table == plan.table and key.stream != plan.name}
    if others:
        log.warning(
            "%s.%s has replaced table %r, where rows of %s had landed: their states say so, and only new ones will "
            "land. To land all of them again, reset the states (`vdk datasource state reset`)",
            plan.source_id, plan.name, plan.table, ", ".join(sorted(map(repr, others))),
        )  # fmt: skip


def warn_of_metadata(plan: StreamPlan, seen: Collection[str]) -> None:
    """A metadata column that no payload fills is most likely misspelt.

    :param seen: the metadata columns that a payload had.
    """
    idle = set(plan.metadata_columns) - set(plan.facts) - {"synced_at"} - set(seen)
    if idle:
        log.warning(
            "%s.%s: metadata_columns has %s, which the metadata of no payload has: it is NULL in every row",
            plan.source_id, plan.name, ", ".join(sorted(map(repr, idle))),
        )  # fmt: skip
