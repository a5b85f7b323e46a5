# SPDX-License-Identifier: Apache-2.0
"""A run right after a run: it finds nothing new, plans nothing, and leaves all states as they are."""

from __future__ import annotations

import json
from typing import ClassVar

from ..base import Conformance
from ..capabilities import Level
from ..harness.landing import Landing
from ..harness.reading import MakeSource


class RerunChecks(Conformance):
    """What the next run does if nothing has changed."""

    level: ClassVar[Level] = "beta"

    def test_the_plan_after_a_run_is_empty(self, source: MakeSource, landing: Landing) -> None:
        """If a plan always announces changes, nobody can tell from it that the table is complete."""
        landing.run(source)
        for stream in landing.plan(source):
            name = stream.planned.stream
            assert stream.planned.error is None, f"{name}: the plan after a run failed: {stream.planned.error}"
            changes = [f"{change.column} {change.after}" for change in stream.columns]
            assert not stream.new_table, f"{name}: a run without any change would make a table: declare a schema"
            assert not changes, (
                f"{name}: a run without any change would change the columns {changes}: declare the same types each time"
            )
            new = [partition for partition in stream.partitions if partition.news == "some"]
            assert stream.planned.reads != "new" or not new, (
                f"{name}: a run without any change would read from {dict(new[0].begin)} to {new[0].end}: let end() "
                "return the state that it is given where nothing is new"
            )

    def test_a_second_run_leaves_the_states_as_they_were(self, source: MakeSource, landing: Landing) -> None:
        """A state that changes in each run hides whether anything was new, and is written for nothing."""
        landing.run(source)
        before = _texts(landing)
        landing.run(source)
        after = _texts(landing)
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        assert not changed, (
            f"a run without any change turned the state of {changed[0]} from {before.get(changed[0])} into "
            f"{after.get(changed[0])}: let a state hold the position only, without times of the run or counters"
        )


def _texts(landing: Landing) -> dict[tuple[str, str], str]:
    """The states by stream and partition, as text."""
    return {key: json.dumps(state, sort_keys=True) for key, state in landing.states.items()}
