# SPDX-License-Identifier: Apache-2.0
"""A column policy that comes to a table which has rows: values that landed before it stay as they are."""

from __future__ import annotations

import logging

from ...contract import ConfigurationError
from ...parts import RESERVED_PREFIX, Destination
from ...parts.columns.policy import StreamPolicy
from .landing.writer import Writer
from .plan.flow import Flow
from .plan.stream_plan import StreamPlan

log = logging.getLogger(__name__)

LOOKED_AT = 1000
"""The first rows of the table, whose values are looked at: those that landed before the policy came."""


def check_landed_values(flow: Flow, plan: StreamPlan, writer: Writer) -> None:
    """Refuse to add rows to a table that has values which the policy takes away; a run that replaces it is the remedy.

    A transform may make a column of the same name itself, so with one it is a warning.
    """
    policy = plan.policy
    if policy is None or plan.replaces:
        return
    columns = flow.with_retries(
        lambda: writer.call(lambda destination: _with_values(destination, plan.table, policy, bool(plan.transform))),
        what=f"destination {flow.entry.to!r}",
    )
    if not columns:
        return
    names = ", ".join(map(repr, columns))
    problem = (
        f"{flow.location}.columns: table {plan.table!r} has values in {names} that landed before columns took them away"
    )
    remedy = f"to replace them, write: vdk datasource run FLOW --full-refresh --stream {plan.name}"
    if plan.transform is not None:
        log.warning("%s, or that the transform writes; %s", problem, remedy)
        return
    raise ConfigurationError(f"{problem}; {remedy}")


def _with_values(destination: Destination, table: str, policy: StreamPolicy, transformed: bool) -> list[str]:
    """The columns of the table with a value that the policy would not leave."""
    result = []
    for name in destination.columns(table) or ():
        # a transform may add columns, and columns that the policy does not name are dropped before it only
        if name.startswith(RESERVED_PREFIX) or (transformed and not policy.is_named(name)):
            continue
        if policy.action(name) != "keep":
            values = destination.first_values(table, name, LOOKED_AT) or ()
            if not all(policy.is_result(name, value) for value in values):
                result.append(name)
    return result
