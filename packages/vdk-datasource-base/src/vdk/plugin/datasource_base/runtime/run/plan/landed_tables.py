# SPDX-License-Identifier: Apache-2.0
"""The tables of a destination with the streams whose rows they had before a run: no stream replaces another's rows."""

from __future__ import annotations

import re
from shlex import quote

from ....contract import ConfigurationError
from ....parts import Destination, StateKey, WriteMode
from .stream_plan import StreamPlan

_Stream = tuple[str, str, str]
"""A source's id, its identity, and the name of a stream."""


class LandedTables:
    """Which streams had rows in the tables of one destination when the run began. Used in the writer's thread.

    A destination that does not know is asked once, and nothing is refused.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        owners = destination.load_owners()
        self._is_known = owners is not None
        self._owners: dict[str, dict[StateKey, str]] = {}
        for owner in owners or ():
            self._owners.setdefault(destination.fold(owner.table), {})[owner.key] = owner.table
        self._recorded = {_stream_of(owner.key) for owner in owners or ()}
        self._checked: set[tuple[_Stream, str]] = set()

    def check(self, plan: StreamPlan, table: str, mode: WriteMode) -> None:
        """Refuse to replace rows that are not the stream's, and to land beside them unless the flow shares its tables.

        A stream with states that is not recorded yet is the owner of its tables: it adopted them, or its rows landed
        before owners were recorded. Its rows of other data may stay or go, if that data's states were reset.

        :param mode: "replace" also for a full refresh.
        :raises ConfigurationError: naming the table, whose rows it has, and what to write.
        """
        stream, key = _stream(plan), self._destination.fold(table)
        if not self._is_known or (stream, key) in self._checked:
            return
        if not (plan.has_states and stream not in self._recorded):
            owners = {_stream_of(owner) for owner in self._owners.get(key, ())}
            owners -= {(plan.source_id, identity, plan.name) for identity in plan.former_identities}
            if owners - {stream} and self._destination.has_table(table) is False:
                owners = set()  # somebody has dropped the table
            _check_owners(plan, table, mode, owners)
            if mode == "replace" and not owners and not plan.scope.confirmed:
                self._check_unowned(plan, table)
        self._checked.add((stream, key))

    def _check_unowned(self, plan: StreamPlan, table: str) -> None:
        """Refuse to replace the rows of a table that no run has landed."""
        destination = self._destination
        rows = destination.count_rows(table) if destination.has_table(table) else 0
        if rows != 0:
            raise ConfigurationError(
                f"{plan.location}: table {table!r} has {'' if rows is None else f'{rows:,} '}rows in "
                f"{destination.identity()} that no run has landed there, and stream {plan.name!r} would replace them. "
                f"{_other_table(plan)}, or, to replace them all the same, add --yes"
            )

    def is_own(self, plan: StreamPlan, table: str) -> bool | None:
        """Whether all rows of a table are the stream's; None: unknown."""
        if not self._is_known:
            return None
        return {_stream_of(owner) for owner in self._owners.get(self._destination.fold(table), ())} == {_stream(plan)}

    def tables_of(self, plan: StreamPlan) -> list[str]:
        """The tables that have rows of the stream alone, while it had the same table of its own as it has now."""
        key = plan.state_key("")
        return [owners[key] for owners in self._owners.values() if key in owners and len(owners) == 1]


def _stream(plan: StreamPlan) -> _Stream:
    return plan.source_id, plan.identity, plan.name


def _stream_of(key: StateKey) -> _Stream:
    return key.source_id, key.source_identity, key.stream


def _check_owners(plan: StreamPlan, table: str, mode: WriteMode, owners: set[_Stream]) -> None:
    stream, replaces = _stream(plan), mode == "replace"
    others = sorted(owners - {stream})
    allowed = plan.scope.confirmed if replaces else plan.shared_table or stream in owners
    if not others or allowed:
        return
    source_id, identity, name = others[0]
    effect, remedy = (
        ("would replace them", "or, to replace them all the same, add --yes")
        if replaces
        else ("would land beside them", "or, if the rows belong together, write shared_table = true")
    )
    raise ConfigurationError(
        f"{plan.location}: table {table!r} has rows of stream {name!r} of source {source_id!r} ({identity}), and "
        f"stream {plan.name!r} of source {plan.source_id!r} ({plan.identity}) {effect}. "
        f"{'' if replaces else _moved(plan, others[0])}"
        f"{_other_table(plan, others[0])}, {remedy}"
    )


def _moved(plan: StreamPlan, other: _Stream) -> str:
    """What to write if the other is the same stream, before it had moved; empty: its data is of another kind. A stream
    that is replaced has no state to go on from."""
    source_id, identity, name = other
    if name != plan.name or identity.partition(":")[0] != plan.identity.partition(":")[0]:
        return ""
    former = f" --from-source {quote(source_id)}" if source_id != plan.source_id else ""
    return f"If the same data has moved, go on from there: vdk datasource state adopt FLOW{former}. "


def _other_table(plan: StreamPlan, other: _Stream | None = None) -> str:
    """Its name begins with the source's, and with what the identity of another source of the same name has not."""
    words = [plan.source_id]
    if other is not None and other[0] == plan.source_id:
        present = re.findall(r"\w+", other[1])
        words += [word for word in re.findall(r"\w+", plan.identity) if word not in present]
    prefix = re.sub(r"\W+", "_", "_".join(words))
    return f'To land them in another table, write destination_table = "{prefix}_{plan.template}"'
