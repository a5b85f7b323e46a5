"""Who lands what, so that two streams of a run never undo each other's work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ...contract import ConfigurationError
from ...parts import Destination, WriteMode
from ...parts.columns import rejected_name
from .plan import StreamPlan

log = logging.getLogger(__name__)


class SameTableError(ConfigurationError):
    """Two streams whose tables have names that are one to the destination; the first one keeps it."""


Owner = tuple[str, str, str]
"""A flow's place in the file, a source's id and a stream."""


class Claims:
    """What the flows of one run have taken: states, and tables of destinations."""

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str, str, str, str], str] = {}
        self._tables: dict[tuple[str, str], dict[Owner, tuple[WriteMode, bool]]] = {}
        self._spelled: dict[tuple[str, str], str] = {}
        self._rejections: dict[tuple[str, str], Owner] = {}
        self._lock = threading.Lock()
        self._folds: dict[str, Callable[[str], str]] = {}

    def fold_as(self, destination: Destination) -> None:
        """Compare the names of a destination's tables as it does."""
        self._folds[destination.identity()] = destination.fold

    def _key(self, destination: str, table: str) -> tuple[str, str]:
        fold = self._folds.get(destination)
        return destination, fold(table) if fold is not None else table

    def stream(self, source_id: str, identity: str, stream: str, destination: str, table: str, where: str) -> None:
        """Take a stream's state. Raises ``ConfigurationError`` where another flow has it."""
        first = self._streams.setdefault((source_id, identity, stream, destination, table), where)
        if first != where:
            raise ConfigurationError(
                f"{where}: stream {stream!r} goes from {source_id!r} to table {table!r} of this "
                f"destination already, in {first}; give one of the two another destination_table"
            )

    def table(self, plan: StreamPlan, destination: str, table: str, mode: WriteMode) -> None:
        """Take a table; warns where rows of two streams may have the same key.

        :raises SameTableError: where another stream lands in a table whose name is the same to the destination.
        :raises ConfigurationError: where two streams would replace it by turns, or share it and one of their flows
            does not allow that.
        """
        owner = (plan.where, plan.source_id, plan.name)
        with self._lock:
            first = self._spelled.setdefault(self._key(destination, table), table)
            if first != table:
                raise SameTableError(
                    f"{plan.where}: stream {plan.name!r} lands in table {table!r}, which is one with {first!r} to the "
                    "destination, where another stream lands: the names differ in upper and lower case only. Give one "
                    "of the two another destination_table"
                )
            owners = self._tables.setdefault(self._key(destination, table), {})
            for other in owners:
                if other != owner:
                    _check_shared(plan, table, mode, other, *owners[other])
            if mode == "upsert" and owner not in owners and owners:
                log.warning(
                    "%s: streams %r and %r land in one table, %r: a row of one replaces a row of the other that has "
                    "the same key; unless their keys differ, use {stream} in destination_table",
                    plan.where, next(iter(owners))[2], plan.name, table,
                )  # fmt: skip
            owners[owner] = mode, plan.shared

    def rejections(self, plan: StreamPlan, destination: str) -> None:
        """Take the table of the rows that a stream rejects, where its flow rejects rows.

        :raises SameTableError: where another stream lands its rows there, or rejects rows into this one's table.
        """
        aside = rejected_name(plan.table)
        with self._lock:
            owner = (plan.where, plan.source_id, plan.name)
            if plan.options.on_bad_record == "reject":
                self._rejections[self._key(destination, aside)] = owner
                for other in self._tables.get(self._key(destination, aside), {}):
                    raise _collision(plan.where, aside, other, owner)
            other = self._rejections.get(self._key(destination, plan.table), owner)
            if other != owner:
                raise _collision(plan.where, plan.table, owner, other)

    def of_another(self, plan: StreamPlan, destination: str, table: str) -> bool:
        """Whether another stream has taken a table."""
        with self._lock:
            return any(
                one != (plan.where, plan.source_id, plan.name)
                for one in self._tables.get(self._key(destination, table), {})
            )


def _collision(where: str, table: str, lands: Owner, rejects: Owner) -> SameTableError:
    return SameTableError(
        f"{where}: stream {lands[2]!r} lands its rows in table {table!r}, which is the table of the rows that stream "
        f"{rejects[2]!r} rejects. Give stream {lands[2]!r} another table, with a [[flows]] entry of its own:\n"
        f'streams = ["{lands[2]}"]\ndestination_table = "{table}_rows"'
    )


def _check_shared(
    plan: StreamPlan, table: str, mode: WriteMode, other: Owner, other_mode: WriteMode, other_shared: bool
) -> None:
    if "replace" in (mode, other_mode):
        raise ConfigurationError(
            f"{plan.where}: streams {other[2]!r} and {plan.name!r} would replace the same table {table!r} by turns; "
            "use {stream} in destination_table, or a write_mode that adds rows"
        )
    if not (plan.shared and other_shared):
        flows = [where for where, shared in ((other[0], other_shared), (plan.where, plan.shared)) if not shared]
        raise ConfigurationError(
            f"{plan.where}: stream {other[2]!r} of source {other[1]!r} and stream {plan.name!r} of source "
            f"{plan.source_id!r} would land in one table, {table!r}; give each its own, with {{stream}} in "
            "destination_table, or, if their rows belong together, set shared_table = true in "
            f"{' and '.join(dict.fromkeys(flows))}"
        )
