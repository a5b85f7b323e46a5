# SPDX-License-Identifier: Apache-2.0
"""Replacing a table: the snapshot that is published, and how a lost answer of the destination is handled."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from ....contract import ConcurrentRunError, ConfigurationError, DestinationError
from ....parts import CommitUnit, Destination, TableSnapshot, TableSpec
from ....parts.columns.framework import rejected_name, rejected_spec
from ...retry import RETRYABLE_ERRORS
from ..plan.ownership import TableOwners
from ..plan.stream_plan import StreamPlan

log = logging.getLogger(__name__)


def build_snapshot(
    plan: StreamPlan,
    staged: Mapping[str, TableSpec],
    units: Sequence[CommitUnit],
    owners: TableOwners,
    destination: Destination,
) -> TableSnapshot:
    """The tables that a stream replaces: its own, every other one that has staged rows, and those that had rows of it
    before and get none now.

    :param staged: the tables with staged rows, by name. :param units: the states of the partitions.
    :raises ConfigurationError: if one of the tables has rows of another stream, or another one of the run replaces it.
    """
    own = plan.table_spec(None, "replace")
    specs = {own.name: own, **{name: spec for name, spec in staged.items() if name != own.name}}
    for name in emptied_tables(plan, staged, owners, destination):
        specs.setdefault(name, TableSpec(name, "replace", evolve=plan.evolve))
    for name in specs:
        owners.claim_table(plan, destination.identity(), name, "replace")
        owners.check_landed(plan, destination, name, "replace")
    rejected_names = {rejected_name(name): name for name in specs}
    for rejected, name in rejected_names.items():
        if name not in rejected_names and _has_old_rejections(plan, specs, rejected, owners, destination):
            specs[rejected] = rejected_spec(name)
    tables = [TableSpec(spec.name, "replace", schema=spec.schema, evolve=spec.evolve) for spec in specs.values()]
    return TableSnapshot(tables, tuple(units), key=plan.state_key(""))


def emptied_tables(
    plan: StreamPlan, staged: Collection[str], owners: TableOwners, destination: Destination
) -> list[str]:
    """The tables, beside its own, that a stream has landed rows in and that get none in this run.

    Those of rejected rows are not among them: they are replaced only if the flow rejects rows.
    """
    tables = owners.earlier_tables(plan, destination)
    rejected = {rejected_name(name) for name in (plan.table, *staged, *tables)}
    return [name for name in tables if name not in {plan.table, *staged, *rejected} and destination.has_table(name)]


def _has_old_rejections(
    plan: StreamPlan, specs: Mapping[str, TableSpec], rejected: str, owners: TableOwners, destination: Destination
) -> bool:
    """Whether a table of rejected rows is left from an earlier snapshot, and this one rejects none."""
    return (
        plan.options.on_bad_record == "reject"
        and rejected not in specs
        and destination.has_table(rejected) is True
        and owners.is_own(plan, destination, rejected) is not False
        and not owners.owned_by_other(plan, destination.identity(), rejected)
    )


class Publication:
    """Publishes a snapshot once, even if the destination fails after it has published it.

    After such a failure the destination is asked before it publishes again: a second publication would find nothing
    staged, and publish empty tables. The stored states show what happened; without states, the staged rows do.

    :param staged: the partitions that have staged rows.
    """

    def __init__(self, snapshot: TableSnapshot, staged: Collection[str]) -> None:
        self._snapshot = snapshot
        self._staged = staged
        self._in_doubt = False

    def attempt(self, destination: Destination) -> Sequence[int]:
        """Publish, and return the versions of the states.

        :raises DestinationError: if nobody knows whether an earlier attempt has published the snapshot.
        :raises Exception: what ``Destination.publish`` raises.
        """
        if self._in_doubt:
            versions = self._published_versions(destination)
            if versions is not None:
                return versions
        try:
            return destination.publish(self._snapshot)
        except RETRYABLE_ERRORS:
            self._in_doubt = True
            raise

    def _published_versions(self, destination: Destination) -> list[int] | None:
        """The versions, if the snapshot is published already; None: it is not."""
        units = self._snapshot.units
        stateful = [unit for unit in units if unit.state]
        if stateful:
            stored = {state.key: state for state in destination.load_states(stateful[0].key.source_id)}
            for unit in stateful:
                state = stored.get(unit.key)
                if state is None or (state.run_id, state.state) != (unit.run_id, unit.state):
                    return None  # not this run's state: if it is another run's, publishing is refused
            return [stored[unit.key].version if unit.state else 0 for unit in units]
        expected = [unit for unit in units if unit.key.partition in self._staged]
        if all(destination.has_staged(unit.key, unit.run_id) for unit in expected):
            return None
        tables = ", ".join(table.name for table in self._snapshot.tables)
        raise DestinationError(
            f"the connection to {destination.identity()} broke while {tables} was published, and nobody knows whether "
            "it is. The table has either its old rows or its new ones, all of them; run the flow again to have the new"
        )


def warn_of_replaced_rows(plan: StreamPlan, destination: Destination) -> None:
    """Warn if other streams have states of the replaced table, whose rows are deleted now."""
    keys = [state.key for state in destination.load_states(plan.source_id) if state.state]
    others = {key.stream for key in keys if key.table == plan.table and key.stream != plan.name}
    if others:
        log.warning(
            "%s.%s has replaced table %r, which had rows of %s: their states continue after these rows, so only new "
            "rows will land. To land all rows again, reset the states: vdk datasource state reset FLOW --stream NAME",
            plan.source_id, plan.name, plan.table, ", ".join(sorted(map(repr, others))),
        )  # fmt: skip


def check_states_known(plan: StreamPlan, known: Collection[str], destination: Destination) -> None:
    """Refuse a full refresh if another run has landed a partition meanwhile that this run does not know: its rows would
    be replaced, and its state would stay.

    :param known: partitions. :raises ConcurrentRunError: naming the partition and the run.
    """
    for stored in destination.load_states(plan.source_id) if plan.scope.full_refresh else ():
        partition = stored.key.partition
        if stored.state and stored.key == plan.state_key(partition) and partition not in known:
            raise ConcurrentRunError(
                f"source {plan.source_id!r}, stream {plan.name!r}: run {stored.run_id} landed partition {partition!r} "
                "while this run was at work; run it again, alone"
            )


def check_tables_kept(
    plan: StreamPlan, tables: Collection[str], read: Mapping[str, int], destination: Destination
) -> None:
    """Refuse a full refresh that leaves fewer rows than one of its tables has.

    :param tables: those with staged rows, by name. :param read: table → rows that are staged for it.
    :raises ConfigurationError: naming the table and how many rows would go.
    """
    rejected = {rejected_name(name) for name in tables}
    for name in {plan.table, *tables} - rejected:
        rows = read.get(name, 0)
        check_rows_kept(plan, name, destination.count_rows(name), rows, f"{rows:,} were read")


def check_rows_kept(plan: StreamPlan, table: str, present: int | None, rows: int, reason: str) -> None:
    """Refuse a full refresh that leaves fewer rows than a table has.

    :param present: the rows of the table; None: unknown. :param rows: what it would have at most.
    :param reason: what is known of the source.
    :raises ConfigurationError: naming the table and how many rows would go.
    """
    if present is not None and rows < present:
        raise ConfigurationError(
            f"stream {plan.name!r}: table {table!r} has {present:,} rows now, and {reason}: a full refresh would "
            f"delete {present - rows:,} rows that the source does not have any more. The table is unchanged; to "
            "replace it all the same, add --yes"
        )
