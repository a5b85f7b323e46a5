# SPDX-License-Identifier: Apache-2.0
"""A state store in a job's VDK properties."""

from __future__ import annotations

import copy
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from ..contract import State, StateError
from ..parts import StateKey, StoredState
from ..parts.states.local_store import Records, check_records

log = logging.getLogger(__name__)

PROPERTY = "vdk_datasource_state"
# Properties are read and written as a whole, so writers in one process take turns. Between processes the last
# writer wins, since properties have no versions (docs/delivery.md).
_PROPERTIES_LOCK = threading.Lock()


class PropertiesStore:
    """Stores all states in one property, as JSON text, and keeps the other properties.

    VDK stores properties as a whole, so storing one state costs as much as storing all of them.

    :param read: returns all properties. :param write: replaces all properties.
    :param destination: the name of the destination that the states belong to, without secrets.
    """

    def __init__(
        self, read: Callable[[], dict[str, Any]], write: Callable[[dict[str, Any]], None], destination: str
    ) -> None:
        self._read_all = read
        self._write_all = write
        self._destination = destination

    def load(self, source_id: str) -> list[StoredState]:
        with _PROPERTIES_LOCK:  # a file that is being written in place would look damaged or empty
            return Records(self._records(self._read_all())).of_source(source_id, self._destination)

    def save(self, key: StateKey, state: State, *, version: int, run_id: str) -> int:
        with _PROPERTIES_LOCK:
            properties = copy.deepcopy(self._read_all())  # VDK returns its live dict
            records = Records(self._records(properties))
            change, new = records.swap(key, self._destination, state, version, run_id)
            properties[PROPERTY] = json.dumps(records.document(change))
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
                f"the job's property {PROPERTY!r} is damaged ({error}); remove it to read from the beginning"
            ) from None
        return check_records(content, f"the job's property {PROPERTY!r}")
