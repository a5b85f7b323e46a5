"""Which streams a flow reads, where each lands and how: settled before the first row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...contract import (
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
from ...parts import StoredState, WriteMode
from ...parts.flow_file import select_streams
from ..report.logs import told
from ..report.summary import StreamReport
from ..states import copy_state
from .flow import Flow
from .ownership import SameTableError
from .plan import ReservedNameError, StreamPlan, table_name
from .stream_run import StreamRun
from .writer import Writer

log = logging.getLogger(__name__)

_INSTEAD_OF_UPSERT = (
    ". A row that changes can be appended there as another version; to have it in its place, use a database as the "
    "destination"
)


class Planning:
    """Connects a source and plans its streams.

    :param reports: gets a report for each stream that is chosen.
    :param failed: gets the error of a stream that cannot be planned.
    :param stored: gets stream, partition and state whenever a state is stored.
    """

    def __init__(
        self,
        flow: Flow,
        source: DataSource[Any],
        writer: Writer,
        *,
        reports: list[StreamReport],
        failed: Callable[[BaseException], None],
        stored: Callable[[str, str, State], None] = lambda stream, partition, state: None,
    ) -> None:
        self._flow = flow
        self._source = source
        self._writer = writer
        self._reports = reports
        self._failed = failed
        self._stored = stored

    def runs(self) -> list[StreamRun]:
        """The chosen streams, in the source's order.

        :raises Exception: what keeps the flow as a whole from being read.
        """
        flow, writer = self._flow, self._writer
        stored = flow.retrying(
            lambda: writer.call(lambda destination: destination.load_states(flow.entry.from_)),
            what=f"destination {flow.entry.to!r}",
        )
        identity = self._source.identity()
        state = self._source_state(stored, identity)
        flow.retrying(lambda: self._source.connect(state))
        streams = list(flow.retrying(self._source.streams))
        _check_unique([stream.name for stream in streams], self._flow.where)
        chosen = select_streams(
            [stream.name for stream in streams], self._flow.entry.streams, where=f"{self._flow.where}.streams"
        )
        wanted = [stream for stream in streams if stream.name in set(chosen)]
        states = {stream.name: self._take(stream, identity, stored) for stream in wanted}
        runs = [run for stream in wanted if (run := self._planned(stream, identity, states[stream.name]))]
        runs = [run for run in runs if self._claimed(run)]
        self._warn_of_modes(runs)
        return runs

    def _claimed(self, run: StreamRun) -> bool:
        """Take the stream's table; False where another stream has one of that name, which fails this one alone."""
        destination = self._writer.destination
        try:
            self._flow.claims.fold_as(destination)
            self._flow.claims.table(run.plan, destination.identity(), run.plan.table, run.plan.write_mode)
            self._flow.claims.rejections(run.plan, destination.identity())
        except SameTableError as error:
            self._refused(run.report, error)
            return False
        return True

    def _refused(self, report: StreamReport, error: Exception) -> None:
        """One stream is not read; the others are."""
        self._failed(error)
        report.end("failed", self._flow.redact(told(error)))

    def _source_state(self, stored: Sequence[StoredState], identity: str) -> DataSourceState:
        """What ``connect`` is given: this flow's states, not those of another flow into other tables."""
        states: dict[str, dict[str, State]] = {}
        for one in stored:
            key = one.key
            mine = key.source_identity == identity and key.table == table_name(self._flow.template, key.stream, None)
            if mine and one.state:
                states.setdefault(key.stream, {})[key.partition] = copy_state(one.state, stream=key.stream)
        return DataSourceState(states)

    def _take(
        self, stream: DataSourceStream, identity: str, stored: Sequence[StoredState]
    ) -> tuple[StreamReport, dict[str, StoredState]]:
        """The stream's states, and its report. Nothing of the flow is read where one stream is refused."""
        table = table_name(self._flow.template, stream.name, None)
        destination = self._writer.destination.identity()
        self._flow.claims.stream(self._flow.entry.from_, identity, stream.name, destination, table, self._flow.where)
        mine = _stored_for(stored, self._flow.entry.from_, identity, stream.name, table)
        report = StreamReport(self._flow.entry.from_, self._flow.entry.to, stream.name, table)
        report.state_before = {partition: one.state for partition, one in mine.items() if one.state}
        report.state_after = report.state_before
        self._reports.append(report)
        return report, mine

    def _planned(
        self, stream: DataSourceStream, identity: str, taken: tuple[StreamReport, dict[str, StoredState]]
    ) -> StreamRun | None:
        """The stream, ready to be read; None where it cannot say what it is, which fails it alone."""
        report, mine = taken
        try:
            schema = self._flow.retrying(stream.schema)
            incremental = _is_incremental(stream, schema, mine)
        except Exception as error:
            self._refused(report, error)
            return None
        plan = StreamPlan(
            source_id=self._flow.entry.from_,
            identity=identity,
            stream=stream,
            where=self._flow.where,
            template=self._flow.template,
            table=report.table,
            schema=schema,
            write_mode=self._mode(stream, schema, incremental),
            explicit=self._flow.entry.write_mode is not None,
            shared=self._flow.entry.shared_table,
            soft_deletes=self._flow.entry.deletes == "soft",
            evolve=self._flow.entry.on_schema_change == "evolve",
            transform=self._flow.transform,
            metadata_columns=tuple(self._flow.entry.metadata_columns),
            options=self._flow.options,
            run_id=self._flow.run_id,
            facts={"run_id": self._flow.run_id, "source": self._flow.entry.from_, "stream": stream.name},
        )
        try:
            # refuses a reserved name, and an upsert without a primary key
            self._writer.destination.check_table(plan.spec(None, plan.write_mode))
        except (ReservedNameError, DestinationError) as error:
            if isinstance(error, ReservedNameError) and "{stream}" not in self._flow.template:
                raise  # the flow names the table, not the source
            self._refused(report, error)
            return None
        return StreamRun(plan, report, self._writer, mine, self._flow.claims, self._flow.retrying, self._stored)

    def _mode(self, stream: DataSourceStream, schema: StreamSchema | None, incremental: bool) -> WriteMode:
        """The write mode: the flow's, or what suits the stream and the destination."""
        destination = self._writer.destination
        said = self._flow.entry.write_mode
        if said is not None:
            if said not in destination.write_modes:
                raise ConfigurationError(
                    f"{self._flow.where}: write_mode = {said!r} is not possible on {destination.identity()}, "
                    f"which can {', '.join(sorted(destination.write_modes))}"
                    + (_INSTEAD_OF_UPSERT if said == "upsert" else "")
                )
            if said == "replace" and stream.backfill:
                raise ConfigurationError(
                    f'{self._flow.where}: write_mode = "replace" would leave nothing in the table of stream '
                    f"{stream.name!r} but the range that its configuration asks for (a backfill); "
                    'use write_mode = "upsert" or "append" to add the range, or take the range out to read all of it'
                )
            return said
        if not incremental and "replace" in destination.write_modes:
            return "replace"
        keyed = schema is not None and schema.primary_key
        return "upsert" if keyed and "upsert" in destination.write_modes else "append"

    def _warn_of_modes(self, runs: Sequence[StreamRun]) -> None:
        destination = self._writer.destination
        if not runs or self._flow.entry.write_mode is not None:
            return
        if destination.write_modes == {"append"}:
            log.warning(
                "%s can only append: streams that are read whole land again in each run, and changed rows land "
                'beside their older versions; write_mode = "append" in %s says that this is wanted',
                destination.identity(), self._flow.where,
            )  # fmt: skip
        elif "upsert" not in destination.write_modes and (
            versions := [run.plan.name for run in runs if _keeps_all(run)]
        ):
            log.warning(
                "%s cannot upsert: changed rows of %s land beside their older versions; write_mode = \"append\" in %s "
                "says that this is wanted",
                destination.identity(), ", ".join(versions), self._flow.where,
            )  # fmt: skip


def _is_incremental(stream: DataSourceStream, schema: StreamSchema | None, stored: Mapping[str, StoredState]) -> bool:
    """Whether a stream is read incrementally: by its own word, its cursor, or a stored state of it.

    A state that was reset is no sign: the stream may have lost its cursor since.

    :raises StateError: the stream is read whole, and a state says that it was not.
    :raises DataSourceError: for an ``incremental`` that is no truth value.
    """
    declared, has_state = stream.incremental, any(one.state for one in stored.values())
    if declared not in (None, True, False):
        raise DataSourceError(f"stream {stream.name!r}: incremental = {declared!r}; it is True, False or None")
    if declared is False and has_state:
        raise StateError(
            f"stream {stream.name!r} is read whole (incremental = False), and a state of it is stored, from when it "
            "was incremental. Reset the state to replace the table (`vdk datasource state reset FLOW --stream "
            f"{stream.name}`)"
        )
    if declared is None:
        return stream.backfill or has_state or (schema is not None and schema.cursor is not None)
    return declared


def _keeps_all(run: StreamRun) -> bool:
    """Whether a stream would be upserted, if that were possible."""
    return run.mode == "append" and run.plan.schema is not None and bool(run.plan.schema.primary_key)


def _stored_for(
    stored: Sequence[StoredState], source_id: str, identity: str, stream: str, table: str
) -> dict[str, StoredState]:
    """The states of one stream into one table. Raises ``StateError`` where another set of data left them."""
    mine: dict[str, StoredState] = {}
    for one in stored:
        if one.key.stream != stream or one.key.table != table:
            continue
        if one.key.source_identity != identity:
            raise StateError(
                f"source {source_id!r} reads {identity}, but the state of stream {stream!r} in table {table!r} was "
                f"written for {one.key.source_identity}; give the new data another id under [sources], "
                "or reset the state if it is the same data in another place"
            )
        mine[one.key.partition] = one
    return mine


def _check_unique(names: Sequence[str], where: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise FlowFailedError(f"{where}: the source has more than one stream called {doubled[0]!r}")
