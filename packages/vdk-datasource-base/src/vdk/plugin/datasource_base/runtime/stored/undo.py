# SPDX-License-Identifier: Apache-2.0
"""``undo``: the rows that a run appended are deleted, and its states are those from before it, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ...contract import ConfigurationError
from ...contract.errors import ArgumentError
from ...parts import CommitUnit, Destination, RunRecord
from ...parts.flow.file import StreamSelection
from ..environment import Environment
from ..inspect.inspector import TIMEOUT, FlowInspector
from ..report.logs import redacted_errors
from ..run.landing.stream_run import StreamRun
from .changes import Confirm, rows_now, unasked
from .history import parsed_states, run_named, states_of
from .listing import FlowSource

UNDONE = "undone"
"""The status of a record whose run was undone."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What was undone of one stream."""

    source: str
    stream: str
    destination: str
    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class _Undo:
    """A stream whose last run can be undone."""

    run: StreamRun
    record: RunRecord
    units: Sequence[CommitUnit]


def undo_run(
    flow: FlowSource,
    environment: Environment,
    run: str,
    streams: Sequence[str] = (),
    *,
    confirm: Confirm = unasked,
) -> list[Undone]:
    """Delete the rows that a run appended, and store the states from before it.

    :param run: the run's id, or its beginning. :param streams: names or patterns; none: all streams of the run.
    :raises ConfigurationError: naming the stream, if it was not appended, if its rows have no ``_vdk_run_id``, or if
        another run came after it. :raises DestinationError: the destination cannot undo, or the table has other rows
        of the run than it landed. Each stream is one transaction; those before the error are undone.
    """
    inspector = FlowInspector(flow, environment, TIMEOUT)
    selection = StreamSelection(tuple(streams))
    undone: list[Undone] = []
    for number in inspector.numbers:
        entry = inspector.loaded.file.flows[number]
        source, destination = inspector.create_source(entry.from_), inspector.create_destination(entry.to)
        with (
            redacted_errors(inspector.redactor(source)),
            inspector.planned(number, source, destination, selection=selection) as planned,
        ):
            if not planned.runs:
                continue
            writer = planned.runs[0].writer
            records = writer.call(partial(_records, entry.from_))
            named = run_named(run, records)
            chosen = [undo for item in planned.runs if (undo := _undo(item, named, records)) is not None]
            if not chosen:
                continue
            confirm([writer.call(partial(_cost, undo)) for undo in chosen])
            for undo in chosen:
                writer.call(partial(_apply, undo))
                report = undo.run.report
                undone.append(
                    Undone(report.source, report.stream, report.destination, report.table, undo.record.rows_landed)
                )
    selection.check()
    if not undone:
        raise ArgumentError(f"run {run!r} has no rows of a chosen stream; write: vdk datasource state history FLOW")
    return undone


def _records(source_id: str, destination: Destination) -> Sequence[RunRecord]:
    return destination.load_records([source_id])


def _undo(run: StreamRun, named: str, records: Sequence[RunRecord]) -> _Undo | None:
    """What undoing the run means for a stream; None: it was not a part of the run, or is undone."""
    plan = run.plan
    own = [item for item in records if (item.stream, item.destination_table) == (plan.name, plan.table)]
    own = sorted((item for item in own if item.status != UNDONE), key=lambda item: item.started_at, reverse=True)
    record = next((item for item in own if item.run_id == named), None)
    if record is None:
        return None
    place = f"run {named}, stream {plan.name!r}"
    if plan.write_mode != "append" or plan.replaces:
        done = "replaced the table" if plan.write_mode == "replace" else "replaced earlier versions of rows"
        raise ConfigurationError(
            f"{place}: it {done}, which are gone, so it cannot be undone; go back to its states with: vdk datasource "
            f"state restore FLOW {named} --before"
        )
    if "run_id" not in plan.metadata_columns:
        raise ConfigurationError(
            f"{place}: rows do not have the run that landed them, so they cannot be found; for later runs, write "
            f'metadata_columns = ["run_id"] in {plan.location}'
        )
    if plan.child_tables is not None:
        raise ConfigurationError(
            f"{place}: the lists in its rows have landed in tables of their own, whose rows would stay; delete the "
            f"rows of the run there and in {plan.table!r} by their _vdk_run_id, and go back to its states with: vdk "
            f"datasource state restore FLOW {named} --before"
        )
    if own[0] is not record:
        raise ConfigurationError(
            f"{place}: run {own[0].run_id} came after it, and its rows follow those of this run; undo that one first: "
            f"vdk datasource undo FLOW {own[0].run_id}"
        )
    return _Undo(run, record, _units(run, record, place))


def _units(run: StreamRun, record: RunRecord, place: str) -> list[CommitUnit]:
    """The states from before the run, in place of those that it stored."""
    before, after, plan = states_of(record, before=True), parsed_states(record.state_after) or {}, run.plan
    units = []
    for partition, stored in run.stored.items():
        state = before.get(partition, {})
        if stored.run_id != record.run_id and stored.state not in (state, after.get(partition)):
            raise ConfigurationError(
                f"{place}: the state of partition {partition!r} was changed after it, by {stored.run_id}; what to read "
                "again is not known"
            )
        units.append(CommitUnit(stored.key, (), dict(state), stored.version, plan.run_id, reset=not before))
    lost = [partition for partition in before if partition not in run.stored]
    units += [CommitUnit(plan.state_key(partition), (), dict(before[partition]), 0, plan.run_id) for partition in lost]
    return units


def _cost(undo: _Undo, destination: Destination) -> str:
    report = undo.run.report
    return (
        f"{report.source}.{report.stream}: the {undo.record.rows_landed:,} rows of run {undo.record.run_id} "
        f"are deleted and will be read again; in {report.destination}, {rows_now(destination, report.table)}"
    )


def _apply(undo: _Undo, destination: Destination) -> None:
    record = undo.record
    destination.undo(undo.units, undo.run.plan.table, record.run_id, record.rows_landed)
    if destination.keeps_records:
        destination.record_runs([replace(record, status=UNDONE, state_after=record.state_before)])
