"""States in a job's VDK properties."""

from __future__ import annotations

import copy
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from ..contract import State, StateError
from ..parts import StateKey, StoredState
from ..parts.local_state import FORMAT, VERSION, Records, check_records, stored_states

log = logging.getLogger(__name__)

PROPERTY = "vdk_datasource_state"
# Properties are read and written whole, so writers in one process take turns. Between processes the
# properties service has no versions: the last writer wins there, which docs/delivery.md says.
_ONE_AT_A_TIME = threading.Lock()


class PropertiesStore:
    """One property with all states, as JSON text; the other properties are left as they are.

    VDK stores properties whole, so here each state that is stored costs as much as all states together.

    :param read: gives all properties. :param write: replaces them all.
    :param destination: which destination the states are for, without secrets.
    """

    def __init__(
        self, read: Callable[[], dict[str, Any]], write: Callable[[dict[str, Any]], None], destination: str
    ) -> None:
        self._read_all = read
        self._write_all = write
        self._destination = destination

    def load(self, source_id: str) -> list[StoredState]:
        with _ONE_AT_A_TIME:  # a file that is written in place is read whole, or it looks damaged or empty
            return stored_states(self._records(self._read_all()), source_id, self._destination)

    def save(self, key: StateKey, state: State, *, version: int, run_id: str) -> int:
        with _ONE_AT_A_TIME:
            properties = copy.deepcopy(self._read_all())  # what VDK gives is its live dict
            records = Records(self._records(properties))
            change, new = records.swap(key, self._destination, state, version, run_id)
            states = records.with_change(change)
            properties[PROPERTY] = json.dumps({"format": FORMAT, "v": VERSION, "states": states})
            self._write_all(properties)
        return new

    def _records(self, properties: dict[str, Any]) -> list[dict[str, Any]]:
        text = properties.get(PROPERTY)
        if text is None:
            return []
        try:
            content = json.loads(text)
        except (TypeError, ValueError) as error:
            raise StateError(
                f"the job's property {PROPERTY!r} is damaged ({error}): remove it to start from the beginning"
            ) from None
        return check_records(content, f"the job's property {PROPERTY!r}")
