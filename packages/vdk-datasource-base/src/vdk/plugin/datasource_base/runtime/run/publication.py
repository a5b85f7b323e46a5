"""Making a snapshot of a replaced table visible, also where the answer gets lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...contract import DestinationError
from ...parts import CommitUnit, Destination, TableSnapshot, TableSpec
from ...parts.framework_columns import rejected_name, rejected_spec
from ..retry import RETRYABLE_ERRORS
from .ownership import Claims
from .plan import StreamPlan


def snapshot_of(
    plan: StreamPlan,
    staged: Mapping[str, TableSpec],
    units: Sequence[CommitUnit],
    claims: Claims,
    destination: Destination,
) -> TableSnapshot:
    """What a stream that was read whole publishes: its own table, also without rows, and every other that is staged.

    :param staged: the tables that rows were staged for, by name. :param units: the states of the partitions.
    :raises ConfigurationError: where another stream of the run replaces one of the tables.
    """
    own = plan.spec(None, "replace")
    specs = {own.name: own, **{name: spec for name, spec in staged.items() if name != own.name}}
    for name in specs:
        claims.table(plan, destination.identity(), name, "replace")
    rejections = {rejected_name(one) for one in specs}  # which reject no rows themselves
    for aside in [rejected_name(one) for one in specs if one not in rejections]:
        if _has_old_rejections(plan, specs, aside, claims, destination):
            specs[aside] = rejected_spec(aside.removesuffix(rejected_name("")))
    tables = [TableSpec(one.name, "replace", schema=one.schema, evolve=one.evolve) for one in specs.values()]
    return TableSnapshot(tables, tuple(units))


def _has_old_rejections(
    plan: StreamPlan, specs: Mapping[str, TableSpec], aside: str, claims: Claims, destination: Destination
) -> bool:
    """Whether an earlier snapshot of a table has left rejected rows, which are no longer its own."""
    return (
        plan.options.on_bad_record == "reject"
        and aside not in specs
        and destination.has_table(aside) is True
        and not claims.of_another(plan, destination.identity(), aside)
    )


class Publication:
    """A snapshot on its way. A destination that goes away while it publishes may have done it all the same.

    So it is asked before it is done again: publishing a second time what is staged no more would publish nothing.
    The states that are stored tell, or, where there are none, whether the rows are still set aside.

    :param staged: the partitions of which rows are staged.
    """

    def __init__(self, snapshot: TableSnapshot, staged: Collection[str]) -> None:
        self._snapshot = snapshot
        self._staged = staged
        self._unsure = False

    def attempt(self, destination: Destination) -> Sequence[int]:
        """The versions of the states. Raises what ``Destination.publish`` raises, and ``DestinationError`` where
        nobody knows what an earlier attempt has done."""
        if self._unsure:
            versions = self._stored(destination)
            if versions is not None:
                return versions
        try:
            return destination.publish(self._snapshot)
        except RETRYABLE_ERRORS:
            self._unsure = True
            raise

    def _stored(self, destination: Destination) -> list[int] | None:
        """The versions, where the snapshot is visible already; None: it is not."""
        units = self._snapshot.units
        stateful = [unit for unit in units if unit.state]
        if stateful:
            stored = {state.key: state for state in destination.load_states(stateful[0].key.source_id)}
            for unit in stateful:
                found = stored.get(unit.key)
                if found is None or (found.run_id, found.state) != (unit.run_id, unit.state):
                    return None  # not this run's: if they are another one's, publishing is refused
            return [stored[unit.key].version if unit.state else 0 for unit in units]
        waiting = [unit for unit in units if unit.key.partition in self._staged]
        if all(destination.has_staged(unit.key, unit.run_id) for unit in waiting):
            return None
        raise DestinationError(
            f"{destination.identity()} went away while {', '.join(table.name for table in self._snapshot.tables)} was "
            "published, and does not say whether it was done. One whole snapshot is there; run again to bring the "
            "present one"
        )
