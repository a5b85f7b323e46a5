# SPDX-License-Identifier: Apache-2.0
"""``state history`` and ``state restore``: the recorded runs, and the states they ended with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...contract import ConfigurationError, State
from ...contract.errors import ArgumentError
from ...contract.remedies import suggest
from ...parts import RunRecord
from ...parts.flow.file import matches_stream
from ...parts.run_records import with_killed
from ..environment import Environment
from ..states import copy_state
from .changes import Change, Confirm, partitions_text, rows_now, store, unasked
from .flows import ConnectedFlow, connected, streams_of
from .listing import DestinationState, FlowSource, load, opened, sources_by_destination

_REDACTED = "***"
MIN_PREFIX = 4
"""Characters of a run's id that name it, if no other run begins with them."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A record of a run, and the name that the flow file gives to the destination that has it."""

    destination: str
    record: RunRecord

    def as_dict(self) -> dict[str, Any]:
        record = self.record
        return {
            "run": record.run_id,
            "started_at": record.started_at.isoformat(timespec="seconds"),
            "status": record.status,
            "source": record.source_id,
            "stream": record.stream,
            "destination": self.destination,
            "table": record.destination_table,
            "rows_landed": record.rows_landed,
            "state_before": parsed_states(record.state_before),
            "state_after": parsed_states(record.state_after),
        }


def run_history(flow: FlowSource, environment: Environment, streams: Sequence[str] = ()) -> list[PastRun]:
    """The runs of a flow file's sources that its destinations have records of, newest first.

    :param streams: names or patterns, as ``orders`` or ``shop.orders``; none: all.
    """
    loaded = load(flow, environment)
    runs: list[PastRun] = []
    for name, source_ids in sources_by_destination(loaded).items():
        with opened(loaded, environment, name) as destination:
            runs += [PastRun(name, record) for record in with_killed(destination.load_records(source_ids))]
    for pattern in streams:
        if not any(_matches(run, [pattern]) for run in runs):
            raise ArgumentError(
                f"--stream {pattern!r}: no run of such a stream is recorded; "
                f"{suggest(pattern, {run.record.stream for run in runs})}"
            )
    chosen = [run for run in runs if not streams or _matches(run, streams)]
    return sorted(chosen, key=lambda run: run.record.started_at, reverse=True)


def _matches(run: PastRun, patterns: Sequence[str]) -> bool:
    return matches_stream(run.record.source_id, run.record.stream, patterns)


def restore_states(
    flow: FlowSource,
    environment: Environment,
    run: str,
    streams: Sequence[str] = (),
    *,
    before: bool = False,
    confirm: Confirm = unasked,
) -> list[DestinationState]:
    """Store the states that the streams of a run had when it ended; returns those that they replace. Rows stay.

    :param run: the run's id, or its beginning. :param before: the states from before the run instead.
    :raises ConfigurationError: the record does not have them, naming the stream. :raises StateError: the source cannot
        read them any more.
    """
    loaded = load(flow, environment)
    changes: list[Change] = []
    costs = []
    with connected(loaded, environment) as flows:
        selected = streams_of(flows, streams)
        records = {id(chosen): chosen.destination.load_records([chosen.entry.from_]) for chosen, _ in selected}
        run = run_named(run, [record for items in records.values() for record in items])
        for chosen, name in selected:
            own = of_stream(records[id(chosen)], chosen, name)
            if (record := next((item for item in own if item.run_id == run), None)) is None:
                continue
            changes += _changes(chosen, name, states_of(record, before=before))
            later = [item for item in own if item.started_at > record.started_at] + ([record] if before else [])
            costs.append(_cost(chosen, name, record, sum(item.rows_landed for item in later), before=before))
    if not costs:
        raise ArgumentError(f"run {run!r} has no record of a chosen stream; write: vdk datasource state history FLOW")
    confirm(costs)
    return store(loaded, environment, changes)


def run_named(run: str, records: Sequence[RunRecord]) -> str:
    """The id of the run that a text names. Raises ``ConfigurationError`` if there are several, or none."""
    ids = list(
        dict.fromkeys(record.run_id for record in sorted(records, key=lambda item: item.started_at, reverse=True))
    )
    named = [id for id in ids if id == run] or [id for id in ids if len(run) >= MIN_PREFIX and id.startswith(run)]
    if len(named) == 1:
        return named[0]
    if named:
        raise ArgumentError(f"{len(named)} runs begin with {run!r}: {', '.join(named[:3])}; write more of the id")
    known = f"the newest are {', '.join(ids[:3])}" if ids else "the destination keeps no records of runs"
    raise ArgumentError(f"no run {run!r} is recorded; {known}")


def of_stream(records: Sequence[RunRecord], flow: ConnectedFlow, stream: str) -> list[RunRecord]:
    """The records of a stream of a flow, into the table where it lands now."""
    table = flow.table(stream)
    return [record for record in records if record.stream == stream and record.destination_table == table]


def states_of(record: RunRecord, *, before: bool) -> Mapping[str, State]:
    """The states of a record. Raises ``ConfigurationError`` if it does not have them."""
    text = record.state_before if before else record.state_after
    place = f"run {record.run_id}, stream {record.stream!r}"
    moment = "before" if before else "after"
    if not before and record.ended_at is None:
        raise ConfigurationError(
            f"{place}: it has not ended, so its states are those before the run after it; restore that run with "
            "--before"
        )
    if (states := parsed_states(text)) is None:
        raise ConfigurationError(
            f"{place}: the record has no states from {moment} it: they were too long, or an older version wrote it; "
            f"leave it out: --stream '!{record.stream}', or write them: vdk datasource state set"
        )
    if _REDACTED in text:
        raise ConfigurationError(f"{place}: its states {moment} it contain a secret, which records leave out")
    return states


def parsed_states(text: str) -> dict[str, State] | None:
    """Partition → state; None: the record does not have them."""
    states = json.loads(text) if text else None
    return states if isinstance(states, dict) else None


def _changes(flow: ConnectedFlow, name: str, states: Mapping[str, State]) -> list[Change]:
    """A stream then has these states and no others."""
    stored = flow.stored(name)
    changes = []
    for partition, given in states.items():
        state = copy_state(given, stream=name)
        flow.streams[name].check_state(partition, state)
        changes.append(Change(flow.entry.to, flow.key(name, partition), stored.pop(partition, None), state))
    # without any state it is read from its beginning, and still known to be incremental
    return changes + [Change(flow.entry.to, item.key, item, {}, reset=not states) for item in stored.values()]


def _cost(flow: ConnectedFlow, name: str, record: RunRecord, rows: int, *, before: bool) -> str:
    moment = "before" if before else "after"
    states = partitions_text(len(states_of(record, before=before)))
    again = f"{rows:,} rows that landed since are read again" if rows else "no row has landed since"
    return (
        f"{flow.entry.from_}.{name} gets the {states} from {moment} run {record.run_id} of "
        f"{record.started_at:%Y-%m-%d %H:%M:%S}: {again}, and land twice if they are appended; in {flow.entry.to}, "
        f"{rows_now(flow.destination, flow.table(name))}"
    )
