# SPDX-License-Identifier: Apache-2.0
"""Why a run is not undone."""

from __future__ import annotations

from vdk.plugin.datasource_base.contract import DestinationError


def other_rows(table: str, run_id: str, present: int, landed: int) -> DestinationError:
    """The table has more or fewer rows of a run than it has landed."""
    return DestinationError(
        f"table {table!r} has {present:,} rows of run {run_id}, which has landed {landed:,}: rows were changed or "
        "deleted since, or landed in other tables. Nothing was changed"
    )
