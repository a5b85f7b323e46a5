"""Making a generation of a replaced table visible, also where the answer gets lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..contract import DestinationError
from ..parts import Destination, Generation
from ._retry import AWAY


class Publication:
    """A generation on its way. A destination that goes away while it publishes may have done it all the same.

    So it is asked before it is done again: publishing a second time what is staged no more would publish nothing.
    The states that are stored tell, or, where there are none, whether the rows are still set aside.

    :param staged: the partitions of which rows are staged.
    """

    def __init__(self, generation: Generation, staged: Collection[str]) -> None:
        self._generation = generation
        self._staged = staged
        self._unsure = False

    def attempt(self, destination: Destination) -> Sequence[int]:
        """The versions of the states. Raises what ``Destination.publish`` raises, and ``DestinationError`` where
        nobody knows what an earlier attempt has done."""
        if self._unsure:
            versions = self._stored(destination)
            if versions is not None:
                return versions
        try:
            return destination.publish(self._generation)
        except AWAY:
            self._unsure = True
            raise

    def _stored(self, destination: Destination) -> list[int] | None:
        """The versions, where the generation is visible already; None: it is not."""
        units = self._generation.units
        stateful = [unit for unit in units if unit.state]
        if stateful:
            stored = {one.key: one for one in destination.load_states(stateful[0].key.source_id)}
            for unit in stateful:
                found = stored.get(unit.key)
                if found is None or (found.run_id, found.state) != (unit.run_id, unit.state):
                    return None  # not this run's: if they are another one's, publishing is refused
            return [stored[unit.key].version if unit.state else 0 for unit in units]
        waiting = [unit for unit in units if unit.key.partition in self._staged]
        if all(destination.has_staged(unit.key, unit.run_id) for unit in waiting):
            return None
        raise DestinationError(
            f"{destination.identity()} went away while {', '.join(one.name for one in self._generation.tables)} was "
            "published, and does not say whether it was done. One whole generation is there; run again to bring the "
            "present one"
        )
