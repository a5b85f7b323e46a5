# SPDX-License-Identifier: Apache-2.0
"""Columns that are declared and that no record has: a misspelt one would land as a column of NULL."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence

from vdk.plugin.datasource_base.parts import did_you_mean

from .http.types import Row

_MAX_SHOWN = 20


class MissingColumns:
    """Looks for declared columns in the records of each stream. Threads may share it."""

    def __init__(self) -> None:
        self._missing: dict[str, list[str]] = {}
        self._fields: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()

    def add(self, stream: str, columns: Collection[str], rows: Sequence[Row]) -> None:
        """Records of a stream, as they land."""
        if not rows or not columns:
            return
        with self._lock:
            missing = self._missing.setdefault(stream, list(columns))
            if missing:
                self._missing[stream] = [name for name in missing if not any(name in row for row in rows)]
                self._fields.setdefault(stream, {}).update(dict.fromkeys(rows[0]))

    def warnings(self) -> Iterator[str]:
        """A warning for each declared column that no record has; an optional field may be one."""
        with self._lock:
            missing, self._missing = self._missing, {}
            fields, self._fields = self._fields, {}
        for stream, names in missing.items():
            for name in names:
                known = list(fields[stream])
                near = did_you_mean(name, known)
                yield (
                    f"stream {stream!r}: no record has the field {name!r} that columns declares, so its column has "
                    f"NULL only{f'; {near}' if near else '.'} The fields are "
                    f"{', '.join(map(repr, known[:_MAX_SHOWN]))}"
                )
