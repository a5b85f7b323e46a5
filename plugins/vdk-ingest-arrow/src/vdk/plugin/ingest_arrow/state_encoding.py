# SPDX-License-Identifier: Apache-2.0
"""What every target does alike with states: how they are encoded, and the errors of two runs at once."""

from __future__ import annotations

import json

from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError
from vdk.plugin.datasource_base.parts import CommitUnit, StateKey


def encode_state(unit: CommitUnit) -> str:
    """The unit's state as JSON.

    :raises DestinationError: it has a value that JSON lacks.
    """
    try:
        return json.dumps(unit.state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DestinationError(
            f"stream {unit.key.stream!r}, partition {unit.key.partition!r}: the state is not valid JSON: {error}. "
            "Yield a state of JSON values only"
        ) from error


def version_conflict(unit: CommitUnit, version: int, run_id: str | None) -> ConcurrentRunError:
    """The error of a stored version that is not the one that the unit expects.

    :param run_id: the run that wrote the stored version; None where no state is stored.
    """
    stored = f"version {version}, by the run {run_id!r}" if run_id is not None else "none"
    return ConcurrentRunError(
        f"{unit.key.place}: the run {unit.run_id!r} continues from version {unit.version} of the state, but the stored "
        f"one is {stored}. Another run has used the same source and destination, and nothing of this commit was kept. "
        "Run one job at a time, and start again: it continues from the stored state"
    )


def staged_rows_dropped(key: StateKey, location: object) -> ConcurrentRunError:
    """The error of staged rows that another run has dropped, as each run does when it begins."""
    return ConcurrentRunError(
        f"{key.place}: the rows that this run had staged in {location} were dropped by another run of the same source. "
        "Nothing of this commit was kept. Run one job at a time with this source and destination"
    )
