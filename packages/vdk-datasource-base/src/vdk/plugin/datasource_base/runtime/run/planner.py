# SPDX-License-Identifier: Apache-2.0
"""Plans the streams of a flow: which are read, into which tables, in which write mode. No row is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...contract import (
    BadRecordError,
    ConfigurationError,
    DataSource,
    DataSourceError,
    DataSourceState,
    DataSourceStream,
    DestinationError,
    FlowFailedError,
    State,
    StateError,
    StreamSchema,
)
from ...parts import RESERVED_PREFIX, Destination, StoredState, WriteMode
from ...parts.flow.file import select_streams
from ...parts.guarantee import RULES, Guarantee
from ..report.details import column_types
from ..report.logs import format_error
from ..report.summary import StreamReport
from ..states import copy_state
from .landed_values import check_landed_values
from .landing.stream_run import StreamRun
from .landing.writer import Writer
from .plan.child_tables import child_tables
from .plan.expected import check_expected_streams, expectations_of
from .plan.flow import Flow
from .plan.ownership import SameTableError, TableOwners, check_not_relation, check_not_source
from .plan.stream_plan import ReservedNameError, StreamPlan, table_name
from .scoped_plan import RangeRefusals, check_flow, check_rows, states_for_plan

log = logging.getLogger(__name__)

_INSTEAD_OF_UPSERT = (
    '. "append" adds a changed row as another version; to replace the row, use a database as the destination'
)


class Planning:
    """Connects a source and plans its streams.

    :param reports: gets a report for each chosen stream.
    :param on_error: gets the error of a stream that cannot be planned.
    :param on_stored: gets stream, partition and state when a state is stored.
    """

    def __init__(
        self,
        flow: Flow,
        source: DataSource[Any],
        writer: Writer,
        *,
        reports: list[StreamReport],
        on_error: Callable[[BaseException], None],
        on_stored: Callable[[str, str, State], None] = lambda stream, partition, state: None,
    ) -> None:
        self._flow = flow
        self._entry = flow.entry
        self._source = source
        self._writer = writer
        self._destination = writer.destination
        self._reports = reports
        self._on_error = on_error
        self._on_stored = on_stored
        self._refusals = RangeRefusals(flow)
        self._alone = False
        self._schemas: dict[str, StreamSchema | None] = {}

    def runs(self) -> list[StreamRun]:
        """The chosen streams, in the source's order.

        :raises Exception: what prevents the whole flow from being read.
        """
        flow, writer = self._flow, self._writer
        stored = flow.with_retries(
            lambda: writer.call(lambda destination: destination.load_states(self._entry.from_)),
            what=f"destination {self._entry.to!r}",
        )
        identity = flow.with_retries(self._source.identity)
        scoped = flow.scope.full_refresh or flow.scope.is_range
        state = DataSourceState({}) if scoped else self._source_state(stored, identity)
        flow.with_retries(lambda: self._source.connect(state))
        listed = list(flow.with_retries(self._source.streams))
        names = [stream.name for stream in listed]
        _check_unique(names, flow.location)
        chosen = select_streams(names, self._entry.streams, location=f"{flow.location}.streams")
        selected = len(chosen) if flow.reads_all_streams else -1
        if self._entry.expect is not None and flow.reads_all_streams:
            check_expected_streams(self._entry.expect, chosen, flow.location)
        chosen = flow.selection.of(self._entry.from_, chosen)
        streams = [stream for stream in listed if stream.name in chosen]
        check_flow(flow, self._destination, streams)
        for name in chosen:
            check_not_source(identity, self._destination, names, table_name(flow.template, name, None), flow.location)
        tables = [table_name(flow.template, name, None) for name in chosen]
        flow.with_retries(
            lambda: writer.call(lambda destination: check_not_relation(destination, listed, tables, flow.location)),
            what=f"destination {self._entry.to!r}",
        )
        claimed = []
        for stream in streams:
            states = self._states_of(stream, identity, stored)
            claimed.append((stream, states, self._report(stream, identity, states)))
        self._alone = selected == len(streams) == 1
        former = _former_identities(stored, self._entry.from_, identity)
        runs = [
            self._plan(stream, identity, states, report, former.get((stream.name, report.table), frozenset()))
            for stream, states, report in claimed
        ]
        self._refusals.check()
        if flow.policy is not None:
            failed = any(run is None for run in runs)
            flow.policy.check_known(self._schemas, all_streams=not failed and len(runs) == selected)
        planned = [run for run in runs if run is not None and self._claim_table(run)]
        self._warn_of_modes(planned)
        return planned

    def _source_state(self, stored: Sequence[StoredState], identity: str) -> DataSourceState:
        """The states that ``connect`` gets: this flow's, not those of another flow into other tables."""
        states: dict[str, dict[str, State]] = {}
        for item in stored:
            key = item.key
            own = key.source_identity == identity and key.table == table_name(self._flow.template, key.stream, None)
            if own and item.state:
                states.setdefault(key.stream, {})[key.partition] = copy_state(item.state, stream=key.stream)
        return DataSourceState(states)

    def _states_of(
        self, stream: DataSourceStream, identity: str, stored: Sequence[StoredState]
    ) -> dict[str, StoredState]:
        """Claim the stream's states and return them by partition.

        :raises ConfigurationError: if another flow has claimed them. :raises StateError: if they are of other data.
        """
        source_id, table = self._entry.from_, table_name(self._flow.template, stream.name, None)
        self._flow.owners.claim_state(
            source_id, identity, stream.name, self._destination.identity(), table, self._flow.location
        )
        return _stored_for(stored, source_id, identity, stream.name, table)

    def _report(self, stream: DataSourceStream, identity: str, states: Mapping[str, StoredState]) -> StreamReport:
        table = table_name(self._flow.template, stream.name, None)
        report = StreamReport(self._entry.from_, self._entry.to, stream.name, table)
        report.source_identity, report.destination_identity = identity, self._destination.identity()
        report.state_before = {partition: stored.state for partition, stored in states.items() if stored.state}
        report.state_after = report.state_before
        self._reports.append(report)
        return report

    def _plan(
        self,
        stream: DataSourceStream,
        identity: str,
        states: Mapping[str, StoredState],
        report: StreamReport,
        former_identities: frozenset[str],
    ) -> StreamRun | None:
        """The stream, ready to be read; None if its schema or its table is refused, which fails it alone."""
        flow, entry = self._flow, self._entry
        policy = flow.policy.of_stream(stream.name, alone=self._alone) if flow.policy is not None else None
        try:
            schema = flow.with_retries(stream.schema)
            incremental = is_incremental(stream, schema, states_for_plan(flow, states))
        except Exception as error:
            if policy is not None and isinstance(error, BadRecordError):
                error = policy.error(error)
            self._fail(report, error)
            return None
        self._schemas[stream.name] = schema
        if policy is not None:
            schema = policy.schema(schema, state_columns=stream.state_columns)
        if schema is not None:
            report.details.declared = column_types(schema.fields)
        write_mode = self._mode(stream, schema, incremental)
        if flow.scope.is_range:
            limited = self._refusals.limited(stream, write_mode)
            if isinstance(limited, str):
                report.end("stopped", flow.redact(limited))
                return None
            stream = limited
        plan = StreamPlan(
            source_id=entry.from_,
            identity=identity,
            stream=stream,
            location=flow.location,
            template=flow.template,
            table=report.table,
            schema=schema,
            write_mode=write_mode,
            explicit_mode=entry.write_mode is not None,
            shared_table=entry.shared_table,
            soft_deletes=entry.deletes == "soft",
            evolve=entry.on_schema_change == "evolve",
            transform=flow.transform,
            policy=policy,
            metadata_columns=tuple(entry.metadata_columns),
            options=flow.options,
            run_id=flow.run_id,
            run_metadata={"run_id": flow.run_id, "source": entry.from_, "stream": stream.name},
            scope=flow.scope,
            expect=expectations_of(
                entry.expect,
                stream.name,
                report.table,
                schema,
                self._destination,
                location=flow.location,
                transformed=flow.transform is not None,
            ),
            has_states=bool(states),
            former_identities=former_identities,
            child_tables=child_tables(schema, stream.name, report.table, write_mode, self._destination, flow.location),
        )
        try:
            # refuses a reserved name, and an upsert without a primary key
            self._destination.check_table(plan.table_spec(None, plan.write_mode))
        except (ReservedNameError, DestinationError) as error:
            if isinstance(error, ReservedNameError) and flow.template.lower().startswith(RESERVED_PREFIX):
                raise  # the flow names the table, not the source
            self._fail(report, error)
            return None
        try:
            report.guarantee = self._guarantee(plan, incremental)
            check_rows(flow, plan, self._writer)
            check_landed_values(flow, plan, self._writer)
        except ConfigurationError as error:
            report.end("stopped", flow.redact(str(error)))
            raise
        return StreamRun(flow, plan, report, self._writer, states, self._on_stored)

    def _guarantee(self, plan: StreamPlan, incremental: bool) -> Guarantee:
        """How often rows of the stream land. Raises ``ConfigurationError`` if the flow requires more."""
        destination = self._destination
        guarantee = Guarantee.of(
            destination=destination.identity(),
            transactional=destination.transactional,
            replaces=plan.replaces,
            mode=plan.write_mode,
            is_range=plan.scope.is_range,
            incremental=incremental,
        )
        if self._entry.require is not None and guarantee.level != self._entry.require:
            raise ConfigurationError(
                f"{self._flow.location}.require: rows of stream {plan.name!r} land {guarantee}; "
                f"{RULES[guarantee.rule].remedy}, or remove require"
            )
        return guarantee

    def _claim_table(self, run: StreamRun) -> bool:
        """Claim the stream's table; False if another stream has it under this name, which fails this stream alone.

        :raises ConfigurationError: if the table has rows that no flow allows this stream to replace, or to join.
        """
        owners, plan = self._flow.owners, run.plan
        try:
            owners.add_destination(self._destination)
            mode: WriteMode = "replace" if plan.replaces else plan.write_mode
            owners.claim_table(plan, self._destination.identity(), plan.table, mode)
            owners.claim_rejected(plan, self._destination.identity())
        except SameTableError as error:
            self._fail(run.report, error)
            return False
        try:
            self._flow.with_retries(
                lambda: self._writer.call(lambda destination: _check_landed(plan, owners, destination, mode)),
                what=f"destination {self._entry.to!r}",
            )
        except ConfigurationError as error:
            run.report.end("stopped", self._flow.redact(str(error)))
            raise
        return True

    def _fail(self, report: StreamReport, error: Exception) -> None:
        """Fail one stream; the others are read."""
        self._on_error(error)
        report.end("failed", self._flow.redact(format_error(error)))

    def _mode(self, stream: DataSourceStream, schema: StreamSchema | None, incremental: bool) -> WriteMode:
        """The write mode: the flow's, or the one that fits the stream and the destination."""
        possible, mode = self._destination.write_modes, self._entry.write_mode
        if mode is not None:
            if mode not in possible:
                lines = " or ".join(f'write_mode = "{name}"' for name in sorted(possible))
                raise ConfigurationError(
                    f"{self._flow.location}: {self._destination.identity()} does not support write_mode = {mode!r}; "
                    f"write {lines}" + (_INSTEAD_OF_UPSERT if mode == "upsert" else "")
                )
            if mode == "replace" and stream.backfill:
                raise ConfigurationError(
                    f'{self._flow.location}: write_mode = "replace" would delete all rows of stream {stream.name!r} '
                    "outside the range that its configuration limits it to (a backfill); write "
                    'write_mode = "upsert" or "append" to add the range, or remove the range to read all rows'
                )
            return mode
        if not incremental and "replace" in possible:
            return "replace"
        keyed = schema is not None and schema.primary_key
        return "upsert" if keyed and "upsert" in possible else "append"

    def _warn_of_modes(self, runs: Sequence[StreamRun]) -> None:
        """Warn if the destination lacks the write mode that fits a stream."""
        destination = self._destination
        if not runs or self._entry.write_mode is not None:
            return
        if destination.write_modes == {"append"}:
            log.warning(
                "%s can only append: streams that are not incremental land again in each run, and changed rows land "
                'beside their older versions. If this is intended, write write_mode = "append" in %s',
                destination.identity(), self._flow.location,
            )  # fmt: skip
        elif "upsert" not in destination.write_modes and (
            versioned := [run.plan.name for run in runs if _keeps_versions(run) and not run.stored_states]
        ):
            log.warning(
                "%s cannot upsert: changed rows of %s land beside their older versions. If this is intended, write "
                'write_mode = "append" in %s',
                destination.identity(), ", ".join(versioned), self._flow.location,
            )  # fmt: skip


def _check_landed(plan: StreamPlan, owners: TableOwners, destination: Destination, mode: WriteMode) -> None:
    """Refuse to replace rows of others in the stream's table, and find the tables of its lists. In the writer's thread.

    :raises ConfigurationError: naming the table.
    """
    owners.check_landed(plan, destination, plan.table, mode)
    if plan.child_tables is not None:
        if mode == "upsert" and owners.is_own(plan, destination, plan.table) is None:
            raise ConfigurationError(
                f"{plan.location}: the lists in rows of stream {plan.name!r} would land in tables of their own, and "
                f"{destination.identity()} does not know in which tables items have landed that a row has no longer; "
                f'write write_mode = "append" in {plan.location}'
            )
        earlier = owners.earlier_tables(plan, destination)
        plan.child_tables.add_earlier([name for name in earlier if destination.has_table(name) is not False])


def is_incremental(stream: DataSourceStream, schema: StreamSchema | None, stored: Mapping[str, StoredState]) -> bool:
    """Whether a stream is incremental: it declares so, has a cursor, or has a stored state.

    A state that was reset does not count: the stream may have lost its cursor since.

    :raises StateError: if the stream declares that it is not incremental, and has a stored state.
    :raises DataSourceError: if ``incremental`` is not True, False or None.
    """
    declared, has_state = stream.incremental, any(item.state for item in stored.values())
    if declared not in (None, True, False):
        raise DataSourceError(
            f"stream {stream.name!r}: incremental = {declared!r} is not a boolean; set it to True, False or None"
        )
    if declared is False and has_state:
        raise StateError(
            f"stream {stream.name!r} is not incremental (incremental = False), but has a stored state from when it "
            "was. Reset the state to replace the table (`vdk datasource state reset FLOW --stream "
            f"{stream.name}`)"
        )
    if declared is None:
        return stream.backfill or has_state or (schema is not None and schema.cursor is not None)
    return declared


def _keeps_versions(run: StreamRun) -> bool:
    """Whether a stream would be upserted if the destination could."""
    return run.mode == "append" and run.plan.schema is not None and bool(run.plan.schema.primary_key)


def _stored_for(
    stored: Sequence[StoredState], source_id: str, identity: str, stream: str, table: str
) -> dict[str, StoredState]:
    """The states of one stream into one table, by partition. Raises ``StateError`` if they are of other data."""
    states: dict[str, StoredState] = {}
    for item in stored:
        if item.key.stream != stream or item.key.table != table:
            continue
        if item.key.source_identity != identity:
            if not item.state:
                continue  # it was reset
            raise StateError(
                f"source {source_id!r} reads {identity}, but the state of stream {stream!r} in table {table!r} was "
                f"stored for {item.key.source_identity}. If this is other data, give it another id, such as "
                f"[sources.{source_id}_2]; if the same data moved, go on from the state (`vdk datasource state adopt "
                f"FLOW --stream {stream}`), or reset it (`vdk datasource state reset FLOW --stream {stream}`)"
            )
        states[item.key.partition] = item
    return states


def _former_identities(
    stored: Sequence[StoredState], source_id: str, identity: str
) -> Mapping[tuple[str, str], frozenset[str]]:
    """Stream and table → the identities of other data that the source had, and whose states were reset."""
    former: dict[tuple[str, str], frozenset[str]] = {}
    for key in (item.key for item in stored if not item.state):
        if key.source_id == source_id and key.source_identity != identity:
            name = key.stream, key.table
            former[name] = former.get(name, frozenset()) | {key.source_identity}
    return former


def _check_unique(names: Sequence[str], location: str) -> None:
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise FlowFailedError(f"{location}: the source has two streams with the name {duplicates[0]!r}; rename one")
