"""Making a generation of a replaced table visible, also where the answer gets lost."""

from __future__ import annotations

from collections.abc import Sequence

from ..contract import ConcurrentRunError, DestinationError
from ..parts import Destination, Generation
from ._retry import AWAY


class Publication:
    """A generation on its way. A destination that goes away while it publishes may have done it all the same.

    Publishing again tells: the states or the staged rows are not those of before. If the states that are stored
    are this run's own, the generation is visible. Without states nothing says whether it was this run, or another
    one that dropped what this one staged; one whole generation is there in any case, and the next run brings anew.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._unsure = False

    def attempt(self, destination: Destination) -> Sequence[int]:
        """The versions of the states. Raises what ``Destination.publish`` raises."""
        try:
            return destination.publish(self.generation)
        except AWAY:
            self._unsure = True
            raise
        except ConcurrentRunError as error:
            versions = self._stored(destination) if self._unsure else None
            if versions is not None:
                return versions
            if self._unsure:
                raise DestinationError(
                    f"{destination.identity()} went away while {', '.join(one.name for one in self.generation.tables)} "
                    "was published, and does not say whether it was done. One whole generation is there; run again "
                    "to bring the present one"
                ) from error
            raise

    def _stored(self, destination: Destination) -> list[int] | None:
        """The versions, where every state of the generation is stored as this run's own; None: they are not."""
        units = [unit for unit in self.generation.units if unit.state]
        if not units:
            return None
        stored = {one.key: one for one in destination.load_states(units[0].key.source_id)}
        for unit in units:
            found = stored.get(unit.key)
            if found is None or (found.run_id, found.state) != (unit.run_id, unit.state):
                return None
        return [stored[unit.key].version if unit.state else 0 for unit in self.generation.units]
