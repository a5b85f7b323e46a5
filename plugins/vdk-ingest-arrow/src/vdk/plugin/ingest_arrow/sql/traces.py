"""The tables that a run has landed in: each commit finds those that the one before it left."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping

from vdk.plugin.datasource_base.contract import DestinationError

from .database import Database
from .names import STAGING_TABLE, STATE_TABLE

_OURS = (STATE_TABLE, STAGING_TABLE)


class Traces:
    """What tells each of these tables from another of its name, for as long as a target is open.

    ``check`` and ``after`` are called within a transaction, ``keep`` when it is committed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left: dict[str, Hashable] = {}

    def forget(self) -> None:
        """Begin again: another run may find other tables."""
        self._left.clear()

    def check(self, names: Collection[str]) -> None:
        """Before rows land in these tables.

        :raises DestinationError: one of them is gone or is another one, or one of the framework's own is gone.
        """
        known = {*names, *_OURS} & self._left.keys()
        if not known:
            return
        found = self._database.traces(known)
        for name in known:
            # Another table of states or of what is staged shows by what it lacks.
            same = name in found and (name in _OURS or self._database.continues(self._left[name], found[name]))
            if not same:
                raise self._gone(name, again=name in found)

    def after(self, names: Collection[str], *, replaced: bool = False) -> Mapping[str, Hashable]:
        """What rows have landed in, to be kept.

        :param replaced: other tables may have taken the place of those there were.
        :raises DestinationError: rows have landed in another table than those before them.
        """
        if not self._database.traces_change and not replaced:
            names = [name for name in names if name not in self._left]
        found = self._database.traces(names) if names else {}
        for name in [] if replaced else found.keys() & self._left.keys():
            if not self._database.continues(self._left[name], found[name], landed=True):
                raise self._gone(name, again=True)
        return found

    def keep(self, traces: Mapping[str, Hashable]) -> None:
        """The transaction is committed."""
        self._left.update(traces)

    def _gone(self, name: str, *, again: bool) -> DestinationError:
        dropped = "dropped, and made again," if again else "dropped"
        remedy = (
            "the states of all streams are gone with it, so the next run loads everything again, beside what is there"
            if name == STATE_TABLE
            else "this run's rows are gone with it, and nothing of this commit was kept. To load them again, reset "
            "the stream's state (vdk datasource state reset FLOW --stream NAME), and run again"
        )
        return DestinationError(
            f"{self._database.where}: table {name!r} was {dropped} by another connection while the run was at work; "
            + remedy
        )
