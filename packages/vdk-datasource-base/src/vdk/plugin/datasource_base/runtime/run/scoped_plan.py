# SPDX-License-Identifier: Apache-2.0
"""What a full refresh or a backfill requires of a flow and its streams, checked before the first row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote

from ...contract import ConfigurationError, DataSourceError, DataSourceStream, VerifiableStream
from ...contract.errors import ArgumentError
from ...parts import Destination, StoredState, WriteMode
from ..scope import RowsToRepair
from .landing.publication import check_rows_kept
from .landing.writer import Writer
from .plan.flow import Flow
from .plan.stream_plan import StreamPlan


def check_flow(flow: Flow, destination: Destination, streams: Sequence[DataSourceStream]) -> None:
    """Raises ``ArgumentError`` if the flow's streams cannot be replaced, or read by a range.

    :param streams: the streams of the flow that the run reads.
    """
    scope, location = flow.scope, flow.location
    if not streams or not (scope.full_refresh or scope.is_range):
        return
    option = "--full-refresh" if scope.full_refresh else scope.range
    if flow.entry.follow is not None:
        raise ArgumentError(
            f"{option}: {location} follows its source, and this run would never end; leave out --follow, or remove "
            f"follow from {location}"
        )
    if not scope.full_refresh:
        return
    if "replace" not in destination.write_modes:
        raise ArgumentError(
            f"--full-refresh: {destination.identity()} can only append, so no table can be replaced; empty the tables "
            "yourself and write: vdk datasource state reset FLOW"
        )
    if flow.entry.shared_table:
        raise ArgumentError(
            f"--full-refresh: {location} has shared_table = true, and replacing a table would delete the rows of its "
            f"other streams; to land all rows again beside them, write: vdk datasource state reset FLOW --stream "
            f"{streams[0].name}"
        )


class RangeRefusals:
    """The streams of a flow that a backfill cannot read, so that one error names all of them.

    :param flow: the flow; its scope is a range.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._replaced: list[str] = []
        self._unreadable: dict[str, str] = {}
        self._readable: list[str] = []

    def limited(self, stream: DataSourceStream, mode: WriteMode) -> DataSourceStream | str:
        """The stream limited to the range of the run, or why it cannot be read by it."""
        scope, name = self._flow.scope, stream.name
        if scope.repair is not None:
            return _rows_to_repair(stream, scope.repair)
        if mode == "replace":
            self._replaced.append(name)
            return f"{scope.range}: the table is replaced, and all rows outside the range would go"
        try:
            limited = self._flow.with_retries(lambda: stream.between(scope.since, scope.until))
        except ConfigurationError as error:
            self._unreadable[name] = str(error)
            return f"{scope.range}: it cannot be read by this range: {error}"
        if limited.name != name:
            raise DataSourceError(
                f"stream {name!r}: between() returned the stream {limited.name!r}; return one with the same name"
            )
        self._readable.append(name)
        return limited

    def check(self) -> None:
        """Raises ``ArgumentError`` that names every stream which cannot be read."""
        flow = self._flow
        problems = [
            f"stream {name!r} cannot be read by this range: {reason}" for name, reason in self._unreadable.items()
        ]
        if self._replaced:
            tables = "the table of stream" if len(self._replaced) == 1 else "the tables of streams"
            names = " and ".join(filter(None, [", ".join(map(repr, self._replaced[:-1])), repr(self._replaced[-1])]))
            problems.insert(0, f"{flow.location} replaces {tables} {names}, and all rows outside the range would go")
        if problems:
            raise ArgumentError(f"{flow.scope.range}: {'; '.join(problems)}; {self._remedy()}")

    def _remedy(self) -> str:
        """The options that leave these streams out: as few as possible."""
        if self._replaced and self._flow.entry.write_mode is not None:
            return 'write write_mode = "upsert" or "append"'
        refused = [*self._replaced, *self._unreadable]
        if not self._readable:
            return f"remove {self._flow.scope.range} to read what a run without it reads"
        if len(self._readable) < len(refused):
            options, remedy = [f"--stream {quote(name)}" for name in self._readable], "to read the others, add "
        else:
            options = [f"--stream {quote(f'!{name}')}" for name in refused]
            remedy = f"to leave {'it' if len(refused) == 1 else 'them'} out, add "
        return remedy + " ".join(options)


def _rows_to_repair(stream: DataSourceStream, repair: Mapping[str, RowsToRepair]) -> DataSourceStream:
    rows = repair[stream.name]
    if not isinstance(stream, VerifiableStream):
        raise ConfigurationError(f"repair: stream {stream.name!r} cannot read single rows")
    try:
        return stream.with_hashes(rows.hashes, rows.columns)
    except ConfigurationError as error:
        raise ConfigurationError(f"repair: {error}") from None


def check_rows(flow: Flow, plan: StreamPlan, writer: Writer) -> None:
    """Refuse what would delete rows, or land them twice, unless the run is confirmed.

    Asks the source and the destination how many rows there are, where they can tell quickly.
    """
    scope = flow.scope
    appends_range = scope.is_range and plan.write_mode == "append"
    if scope.confirmed or not (plan.loses_rows or appends_range):
        return
    present = flow.with_retries(
        lambda: writer.call(lambda destination: _rows_of(destination, plan.table)),
        what=f"destination {flow.entry.to!r}",
    )
    if scope.full_refresh:
        rows = flow.with_retries(plan.stream.count_rows) if present else None
        if rows is not None:
            check_rows_kept(plan, plan.table, present, rows, f"the source has {rows:,} at most")
    elif present != 0:
        rows_now = "rows" if present is None else f"{present:,} rows now"
        raise ConfigurationError(
            f"{scope.range}: table {plan.table!r} has {rows_now}, and {flow.location} appends: rows of stream "
            f"{plan.name!r} in the range that have landed will be there twice. To land them all the same, add --yes; "
            'to replace them, write write_mode = "upsert"'
        )


def _rows_of(destination: Destination, table: str) -> int | None:
    return 0 if destination.has_table(table) is False else destination.count_rows(table)


def states_for_plan(flow: Flow, stored: Mapping[str, StoredState]) -> Mapping[str, StoredState]:
    """The states that decide whether a stream is incremental: none if it is read from its beginning."""
    return {} if flow.scope.full_refresh else stored
