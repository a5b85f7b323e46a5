# SPDX-License-Identifier: Apache-2.0
"""The file of runs: a JSON object per run and stream, one per line, the newest last.

It is written when streams end, and not with their rows: the commit log is one file, which would grow with it. So a run
that was killed has no line.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_base.parts import RECORD_FIELDS, RunRecord, kept_records, write_synced


class RunFile:
    """The records of runs in one file. A writer holds the target's lock; a reader needs none."""

    def __init__(self, path: Path, aside: Path) -> None:
        self._path = path
        self._aside = aside

    def load(self) -> list[RunRecord]:
        """Newest first. A line that is damaged is left out: nothing depends on it."""
        try:
            lines = self._path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []
        return kept_records([record for line in lines if (record := _record(line)) is not None])

    def add(self, records: Sequence[RunRecord]) -> None:
        """Add records and drop old ones, by replacing the file."""
        kept = kept_records([*self.load(), *records])
        write_synced(self._aside, b"".join(map(_line, reversed(kept))))
        self._aside.replace(self._path)


def _line(record: RunRecord) -> bytes:
    times = {name: _utc(getattr(record, name)) for name in ("started_at", "ended_at")}
    return json.dumps({**asdict(record), **times}).encode("ascii") + b"\n"


def _utc(time: dt.datetime | None) -> str | None:
    return time.astimezone(dt.UTC).isoformat(timespec="microseconds") if time is not None else None


def _record(line: str) -> RunRecord | None:
    try:
        values: dict[str, Any] = {name: value for name, value in json.loads(line).items() if name in RECORD_FIELDS}
        for name in ("started_at", "ended_at"):
            values[name] = dt.datetime.fromisoformat(values[name]) if values[name] else None
        record = RunRecord(**values)
        # times without a zone cannot be compared with the others
        return record if record.started_at.tzinfo is not None else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
