# SPDX-License-Identifier: Apache-2.0
"""Which stream owns a state and a table, so that two streams of a run never undo each other's work."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Collection
from urllib.parse import unquote

from ....contract import ConfigurationError, DataSourceStream
from ....parts import Destination, WriteMode
from ....parts.columns.framework import rejected_name
from .landed_tables import LandedTables
from .stream_plan import StreamPlan


class SameTableError(ConfigurationError):
    """Two streams land in tables whose names are equal to the destination. The first stream keeps the table."""


Owner = tuple[str, str, str]
"""A flow's location in the file, a source's id and a stream's name."""


_FILE = re.compile(r"(?:\w+ )?[\w+.-]+:///(?P<path>[^?]*)\Z")
"""The identity of a file, after the method of a destination; with options it is a part of one, such as a schema."""


def check_not_source(
    identity: str, destination: Destination, names: Collection[str], table: str, location: str
) -> None:
    """Refuse to land in a table that the source is read from: it would be replaced by what the destination makes of it,
    without its constraints and indexes.

    :param identity: of the source. Only files are compared, for servers see ``check_not_relation``.
    :param names: of all streams of the source.
    :raises ConfigurationError: naming the table.
    """
    source, target = (_FILE.fullmatch(name) for name in (identity, destination.identity()))
    if source is None or target is None:
        return
    paths = [os.path.realpath(unquote(match["path"])) for match in (source, target)]
    if paths[0] == paths[1] and destination.fold(table) in map(destination.fold, names):
        raise ConfigurationError(
            f"{location}: {paths[0]} is both the source and the destination, and table {table!r} would be replaced by "
            'its own copy; name another file, or write destination_table = "copy_of_{stream}"'
        )


def check_not_relation(
    destination: Destination, streams: Collection[DataSourceStream], tables: Collection[str], location: str
) -> None:
    """Refuse to land in a table of a server that the source is read from. Called in the writer's thread.

    :param streams: all streams of the source. :param tables: those that the flow lands in.
    :raises ConfigurationError: naming the table.
    """
    readers = {relation: stream.name for stream in streams for relation in stream.relations}
    for table in tables if readers else ():
        for relation in destination.relations(table):
            if relation in readers:
                raise ConfigurationError(
                    f"{location}: stream {readers[relation]!r} is read from the very table that the flow would land "
                    f"rows in, {table!r} in {destination.identity()}; name another database or schema, or write "
                    'destination_table = "copy_of_{stream}"'
                )


class TableOwners:
    """The states, and the tables of destinations, that the flows of one run have claimed."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str, str, str, str], str] = {}
        self._tables: dict[tuple[str, str], dict[Owner, tuple[WriteMode, bool]]] = {}
        self._spellings: dict[tuple[str, str], str] = {}
        self._rejections: dict[tuple[str, str], Owner] = {}
        self._folds: dict[str, Callable[[str], str]] = {}
        self._landed: dict[str, LandedTables] = {}
        self._lock = threading.Lock()

    def add_destination(self, destination: Destination) -> None:
        """Compare the names of this destination's tables as it does (``Destination.fold``)."""
        self._folds[destination.identity()] = destination.fold

    def claim_state(
        self, source_id: str, identity: str, stream: str, destination: str, table: str, location: str
    ) -> None:
        """Claim a stream's state. Raises ``ConfigurationError`` if another flow has claimed it."""
        first = self._states.setdefault((source_id, identity, stream, destination, table), location)
        if first != location:
            raise ConfigurationError(
                f"{location}: stream {stream!r} of source {source_id!r} lands in table {table!r} of this destination "
                f'already, in {first}; write another table in one of them, such as destination_table = "{{stream}}_2"'
            )

    def claim_table(self, plan: StreamPlan, destination: str, table: str, mode: WriteMode) -> None:
        """Claim a table.

        :raises SameTableError: if another stream lands in a table whose name is equal to the destination.
        :raises ConfigurationError: if two streams would replace the table in turn, or share it although one of their
            flows does not allow that.
        """
        owner = (plan.location, plan.source_id, plan.name)
        key = self._key(destination, table)
        with self._lock:
            first = self._spellings.setdefault(key, table)
            if first != table:
                raise SameTableError(
                    f"{plan.location}: stream {plan.name!r} lands in table {table!r}, and another stream in {first!r}: "
                    "the names differ in upper and lower case only, which is one table to the destination; write "
                    'another table in one of the flows, such as destination_table = "{stream}_2"'
                )
            owners = self._tables.setdefault(key, {})
            for other, (other_mode, other_shared) in owners.items():
                if other != owner:
                    _check_shared(plan, table, mode, other, other_mode, other_shared)
                    _check_needs(plan, table, other)
            owners[owner] = mode, plan.shared_table

    def claim_rejected(self, plan: StreamPlan, destination: str) -> None:
        """Claim the table of the rows that a stream rejects, if its flow rejects rows.

        :raises SameTableError: if another stream lands its rows there, or rejects rows into this one's table.
        """
        rejected = rejected_name(plan.table)
        owner = (plan.location, plan.source_id, plan.name)
        with self._lock:
            if plan.options.on_bad_record == "reject":
                self._rejections[self._key(destination, rejected)] = owner
                for other in self._tables.get(self._key(destination, rejected), {}):
                    raise _collision(plan.location, rejected, other, owner)
            other = self._rejections.get(self._key(destination, plan.table), owner)
            if other != owner:
                raise _collision(plan.location, plan.table, owner, other)

    def check_landed(self, plan: StreamPlan, destination: Destination, table: str, mode: WriteMode) -> None:
        """Refuse a table with rows that landed before this run and are not the stream's; see ``LandedTables.check``.

        Called in the writer's thread, as the two methods below.
        """
        self._landed_in(destination).check(plan, table, mode)

    def is_own(self, plan: StreamPlan, destination: Destination, table: str) -> bool | None:
        """Whether all rows that a table had before this run are the stream's; None: unknown."""
        return self._landed_in(destination).is_own(plan, table)

    def earlier_tables(self, plan: StreamPlan, destination: Destination) -> list[str]:
        """The tables that had rows of the stream alone before this run, and that no other stream has claimed."""
        tables = self._landed_in(destination).tables_of(plan)
        return [table for table in tables if not self.owned_by_other(plan, destination.identity(), table)]

    def _landed_in(self, destination: Destination) -> LandedTables:
        identity = destination.identity()
        if identity not in self._landed:
            self._landed[identity] = LandedTables(destination)
        return self._landed[identity]

    def owned_by_other(self, plan: StreamPlan, destination: str, table: str) -> bool:
        """Whether another stream has claimed a table."""
        with self._lock:
            owners = self._tables.get(self._key(destination, table), {})
            return any(owner != (plan.location, plan.source_id, plan.name) for owner in owners)

    def _key(self, destination: str, table: str) -> tuple[str, str]:
        fold = self._folds.get(destination)
        return destination, fold(table) if fold is not None else table


def _check_needs(plan: StreamPlan, table: str, other: Owner) -> None:
    """Refuse to share a table with rows that could not be distinguished there from those of another stream."""
    if plan.stream.sharing_needs is not None:
        raise ConfigurationError(
            f"{plan.location}: streams {_names(other, plan)} share table {table!r}, and rows of the one can "
            f"replace rows of the other; {plan.stream.sharing_needs}"
        )


def _collision(location: str, table: str, lands: Owner, rejects: Owner) -> SameTableError:
    return SameTableError(
        f"{location}: stream {lands[2]!r} lands its rows in table {table!r}, the table of the rows that stream "
        f"{rejects[2]!r} rejects. Give stream {lands[2]!r} another table, with a [[flows]] entry of its own:\n"
        f'streams = ["{lands[2]}"]\ndestination_table = "{table}_rows"'
    )


def _check_shared(
    plan: StreamPlan, table: str, mode: WriteMode, other: Owner, other_mode: WriteMode, other_shared: bool
) -> None:
    if "replace" in (mode, other_mode):
        raise ConfigurationError(
            f"{plan.location}: streams {_names(other, plan)} would replace the same table {table!r} in turn; "
            f'write destination_table = "{_own_table(other, plan)}", or write_mode = "append" or "upsert"'
        )
    if not (plan.shared_table and other_shared):
        flows = {
            location: None
            for location, shared in ((other[0], other_shared), (plan.location, plan.shared_table))
            if not shared
        }
        own = f'destination_table = "{_own_table(other, plan)}"'
        differ = " and no row of one has the key of a row of the other, which it would replace" * (mode == "upsert")
        raise ConfigurationError(
            f"{plan.location}: stream {other[2]!r} of source {other[1]!r} and stream {plan.name!r} of source "
            f"{plan.source_id!r} would land in one table, {table!r}; write {own}, "
            f"or, if their rows belong together{differ}, shared_table = true in {' and '.join(flows)}"
        )


def _names(other: Owner, plan: StreamPlan) -> str:
    """Two streams, with their sources if those differ."""
    if other[1] == plan.source_id:
        return f"{other[2]!r} and {plan.name!r}"
    return f"'{other[1]}.{other[2]}' and '{plan.source_id}.{plan.name}'"


def _own_table(other: Owner, plan: StreamPlan) -> str:
    """A template of tables that gives the second of two streams one of its own."""
    return "{stream}" if other[2] != plan.name else f"{plan.source_id}_{{stream}}"
