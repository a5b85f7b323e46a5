"""Sources whose next run finds something new although nothing is, or forgets where other partitions were."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from broken import caught_by
from reference_shop import OrderPosition, Orders
from reference_split import Part, SplitEvents
from vdk.plugin.datasource_base import BoundedPartition, DataSourcePayload, StreamPartition

_runs = count(1)


@caught_by("test_the_plan_after_a_run_is_empty")
class Restless(Orders, BoundedPartition):
    """Its end is always now."""

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        return OrderPosition(changed=int(time.time()), id=next(_runs)).dump()

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        return super().read(state)


@caught_by("test_a_second_run_leaves_the_states_as_they_were")
class Counting(Orders):
    """Its states count the runs."""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        self.run = int(state.get("run", 0)) + 1
        return super().read({name: value for name, value in state.items() if name != "run"})

    def state(self, after: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        return {**super().state(after, rows), "run": self.run}


class Furthest(Part):
    """Continues where the furthest bucket was."""

    def begin(self, bucket: str, own: Mapping[str, int]) -> int:
        return own.get(bucket, max(self.known.values(), default=0))


@caught_by("test_other_partitions_continue_a_stopped_run")
class FurthestEvents(SplitEvents):
    part = Furthest


@caught_by("test_other_partitions_do_not_start_over")
class Forgetful(SplitEvents):
    """Looks for the states of its own partitions only."""

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return super().partitions({})
