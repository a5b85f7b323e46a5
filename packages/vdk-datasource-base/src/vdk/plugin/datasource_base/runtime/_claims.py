"""Who lands what, so that two streams of a run never undo each other's work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..contract import ConfigurationError
from ..parts import Destination, WriteMode
from ._plan import StreamPlan

log = logging.getLogger(__name__)


class SameTableError(ConfigurationError):
    """Two streams whose tables have names that are one to the destination; the first one keeps it."""


class Claims:
    """What the flows of one run have taken: states, and tables of destinations."""

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str, str, str, str], str] = {}
        self._tables: dict[tuple[str, str], dict[tuple[str, str, str], WriteMode]] = {}
        self._spelled: dict[tuple[str, str], str] = {}
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
        :raises ConfigurationError: where two streams would replace it by turns.
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
            other = next((one for one in owners if one != owner and "replace" in (mode, owners[one])), None)
            if other is not None:
                raise ConfigurationError(
                    f"{plan.where}: streams {other[2]!r} and {plan.name!r} would replace the same table "
                    f"{table!r} by turns; use {{stream}} in destination_table, or a write_mode that adds rows"
                )
            if mode == "upsert" and owner not in owners and owners:
                log.warning(
                    "%s: streams %r and %r land in one table, %r: a row of one replaces a row of the other that has "
                    "the same key; unless their keys differ, use {stream} in destination_table",
                    plan.where, next(iter(owners))[2], plan.name, table,
                )  # fmt: skip
            owners[owner] = mode

    def of_another(self, plan: StreamPlan, destination: str, table: str) -> bool:
        """Whether another stream has taken a table."""
        with self._lock:
            return any(
                one != (plan.where, plan.source_id, plan.name)
                for one in self._tables.get(self._key(destination, table), {})
            )
