# SPDX-License-Identifier: Apache-2.0
"""The streams of a flow or a source for another system that keeps rows and states: what they are, and their readers.

Streams are planned as for a run, so that write modes, tables, column policies and everything that is refused are the
same. Then each is read alone, as ``read`` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...contract import ConfigurationError, DataSource, DataSourceState, State
from ...parts import WriteMode
from ...parts.flow.file import StreamSelection
from ...parts.redact import Redactor
from ..environment import Environment
from ..inspect.inspector import EmptyDestination, FlowInspector
from ..report.logs import redacted_errors
from ..retry import Retry
from ..run.plan.stream_plan import StreamPlan, table_name
from ..states import copy_state
from .open_stream import FlowOrSource, alone, loaded_of, reader_of
from .selected_source import Deletes, Remedies, Selection
from .shared_source import SharedSource
from .stream_reader import StreamReader

PLANNING_SECONDS = 300.0
"""How long a source may take to describe its streams."""

States = Mapping[str, Mapping[str, State]]
"""Stream → partition → state."""


@dataclass(frozen=True, slots=True)
class CatalogStream:
    """A stream, and how its rows are to be kept.

    :param name: in its source. :param table: the name that its rows are kept under.
    :param write_mode: "append": rows are added; "upsert": a row replaces the one with its key; "replace": every read
        yields all rows, which replace those of the last one.
    :param columns: the declared ones, with scalar types; None: they are known from the rows only.
    :param identity: of the source, to which states belong.
    """

    number: int
    source_id: str
    name: str
    table: str
    write_mode: WriteMode
    primary_key: tuple[str, ...]
    cursor: str | None
    columns: pa.Schema | None
    identity: str
    plan: StreamPlan = field(repr=False)

    @property
    def keeps_states(self) -> bool:
        """Whether the next read continues from the states of this one."""
        return self.write_mode != "replace" and not self.plan.stream.backfill

    def routed(self, table: str) -> CatalogStream:
        """The stream as rows for another table of it are kept."""
        if table == self.name:
            return self
        schema = self.plan.schema_of(table)
        key = schema.primary_key if schema is not None else ()
        mode: WriteMode = self.write_mode if self.write_mode == "replace" else "upsert" if key else "append"
        return replace(
            self,
            table=table_name(self.plan.template, self.name, table),
            write_mode=mode,
            primary_key=key,
            cursor=schema.cursor if schema is not None else None,
            columns=self.plan.table_spec(table, "append").schema,
        )


class Catalog:
    """The chosen streams. The source is connected while they are planned, and while one of them is read.

    :param flow_or_source: as of ``read``; a source is created again from its configuration for each connection.
    :param streams: names or patterns, as ``orders`` or ``shop.orders``; ``!pattern`` excludes; empty: all.
    :param keeper: what keeps the rows, for errors. :param selector: what the patterns are called in errors.
    :param states: those that the source knows when it connects; more may be added before the first read.
    :param fold: a form of a table's name that is equal for names which are one table there.
    :raises ConfigurationError: if the flow is wrong, or asks for what only a destination can do.
    """

    def __init__(
        self,
        flow_or_source: FlowOrSource,
        environment: Environment,
        *,
        streams: Sequence[str] = (),
        keeper: str,
        remedies: Remedies,
        selector: str = "streams",
        states: States | None = None,
        fold: Callable[[str], str] = str,
    ) -> None:
        self._environment = environment
        self._remedies = remedies
        self._inspector = FlowInspector(loaded_of(flow_or_source, environment), environment, PLANNING_SECONDS)
        self.known_states: dict[str, Mapping[str, State]] = dict(states or {})
        self._shared: dict[str, SharedSource] = {}
        self.errors: dict[str, str] = {}
        """Stream → why it cannot be read."""
        self.streams: list[CatalogStream] = []
        given = flow_or_source if isinstance(flow_or_source, DataSource) else None
        self._check_flows(keeper)
        for entry in self._inspector.loaded.file.flows:
            if entry.from_ not in self._shared:
                self._shared[entry.from_] = SharedSource(self._maker(entry.from_, given), self.known_states)
        self.redact = Redactor.of(
            self._inspector.loaded.resolved, *(shared.source.config for shared in self._shared.values())
        )
        selection = StreamSelection(streams)
        with redacted_errors(self.redact):
            for number in self._inspector.numbers:
                self._retried(partial(self._plan, number, _Keeper(keeper, fold), selection))
            selection.check(selector)
            self._check_names(selector)

    def _maker(self, source_id: str, given: DataSource[Any] | None) -> Callable[[], DataSource[Any]]:
        if given is not None:
            cls = type(given)
            return lambda: cls(given.config)
        return lambda: self._inspector.create_source(source_id)

    def _check_flows(self, keeper: str) -> None:
        for number, entry in enumerate(self._inspector.loaded.file.flows):
            if entry.verify:
                raise ConfigurationError(
                    f"{self._inspector.loaded.location}: flows[{number}].verify: {keeper} keeps the rows where they "
                    "cannot be compared with the source; remove verify"
                )

    def _retried(self, work: Callable[[], None]) -> None:
        Retry.of(self._environment.options).call(
            work, what="the source", stop=self._environment.stop, redact=self.redact
        )

    def _plan(self, number: int, keeper: _Keeper, selection: StreamSelection) -> None:
        entry = self._inspector.loaded.file.flows[number]
        source = self._shared[entry.from_].lease()
        with self._inspector.planned(number, source, keeper, selection=selection) as planned:
            runs = {run.report.stream: run for run in planned.runs}
            for report in planned.reports:
                if (run := runs.get(report.stream)) is None:
                    self.errors[report.stream] = report.error or "it cannot be planned"
                else:
                    self.streams.append(_described(number, run.plan))

    def _check_names(self, selector: str) -> None:
        first: dict[str, CatalogStream] = {}
        for stream in self.streams:
            if (other := first.setdefault(stream.name, stream)) is not stream:
                raise ConfigurationError(
                    f"the sources {other.source_id!r} and {stream.source_id!r} both have a stream {stream.name!r}; "
                    f"select one of them: {selector} {other.source_id}.{other.name}"
                )

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Keep the sources of all streams connected meanwhile."""
        leases = [self._shared[source_id].lease() for source_id in {stream.source_id for stream in self.streams}]
        try:
            for lease in leases:
                with redacted_errors(self.redact):
                    self._retried(partial(lease.connect, DataSourceState()))
            yield
        finally:
            for lease in leases:
                lease.disconnect()

    def reader(
        self,
        stream: CatalogStream,
        states: Mapping[str, State] | None = None,
        *,
        deletes: Deletes,
        tables: Sequence[str] | None = (),
        rows: int | None = None,
    ) -> StreamReader:
        """The reader of a stream; a stream that keeps no states is read from its beginning.

        :param tables: as of ``Selection``. :param rows: the size of a batch; default: that of the flow.
        """
        loaded = self._inspector.loaded
        loaded = alone(loaded, loaded.file.flows[stream.number], batch_rows=rows)
        if deletes == "rows" and stream.write_mode == "replace":
            deletes = "fail"
        kept = states if states is not None and stream.keeps_states else {}
        return reader_of(
            loaded,
            Selection([stream.name], tables, deletes, self._remedies),
            {partition: copy_state(state, stream=stream.name) for partition, state in kept.items() if state},
            self._shared[stream.source_id].lease(),
            self._environment,
        )


def _described(number: int, plan: StreamPlan) -> CatalogStream:
    schema, spec = plan.schema, plan.table_spec(None, "append")
    return CatalogStream(
        number,
        plan.source_id,
        plan.name,
        plan.table,
        plan.write_mode,
        schema.primary_key if schema is not None else (),
        schema.cursor if schema is not None else None,
        spec.schema,
        plan.identity,
        plan,
    )


class _Keeper(EmptyDestination):
    """Stands for what keeps the rows while streams are planned. It can do what the other system can."""

    write_modes: frozenset[WriteMode] = frozenset({"append", "upsert", "replace"})
    deletes = True

    def __init__(self, name: str, fold: Callable[[str], str]) -> None:
        super().__init__(None, folder=Path())
        self._name = name
        self._fold = fold

    def identity(self) -> str:
        return self._name

    def fold(self, name: str) -> str:
        return self._fold(name)
