# SPDX-License-Identifier: Apache-2.0
"""The summary of a run, stream by stream: a table for people, JSON for programs."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from ...contract import ConfigurationError, State
from ...parts import SchemaChange, rejected_name
from ...parts.guarantee import Guarantee
from ...parts.redact import Redactor
from .details import StreamDetails
from .files import write_atomically
from .read_share import ReadShare
from .verification import Verification

log = logging.getLogger(__name__)

Status = Literal["running", "succeeded", "failed", "stopped"]
RunStatus = Literal["running", "succeeded", "failed", "interrupted", "stopped"]


_JSON_FIELDS = (
    "source", "destination", "stream", "table", "status", "partitions",
    "rows_read", "rows_landed", "rows_dropped", "rows_deleted", "rows_rejected", "bytes", "seconds", "retries", "error",
)  # fmt: skip


@dataclass(slots=True)
class StreamReport:
    """The counts and the outcome of one stream of one flow. Several threads count, under ``lock``."""

    source: str
    destination: str
    stream: str
    table: str
    source_identity: str = ""
    destination_identity: str = ""
    status: Status = "running"
    partitions: int = 0
    rows_read: int = 0
    rows_landed: int = 0
    rows_dropped: int = 0
    """Rows of what landed that a transform dropped, or that a later row of the same key replaced."""
    rows_deleted: int = 0
    rows_rejected: int = 0
    bytes: int = 0
    seconds: float = 0.0
    retries: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    schema_changes: list[SchemaChange] = field(default_factory=list)
    state_before: dict[str, State] = field(default_factory=dict)
    state_after: dict[str, State] = field(default_factory=dict)
    error: str | None = None
    guarantee: Guarantee | None = None
    """None: the stream could not be planned."""
    verification: Verification | None = None
    """What was proven of the stream, if the flow says ``verify``."""
    is_round: bool = False
    """Whether this is one of many rounds, whose counts are added to another report."""
    started: float = field(default_factory=time.monotonic)
    started_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    ended_at: dt.datetime | None = None
    details: StreamDetails = field(default_factory=StreamDetails, repr=False)
    recorded_state: str | None = field(default=None, repr=False)
    """``state_before`` as the destination's record has it, once it was made."""
    next_record: float = field(default=0.0, repr=False)
    """When the next commit stores a record, on the clock of ``time.monotonic``."""
    read_share: ReadShare = field(default_factory=ReadShare, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self) -> None:
        """The stream is read from now on."""
        self.started, self.started_at = time.monotonic(), dt.datetime.now(dt.UTC)

    def count(self, **amounts: int) -> None:
        with self.lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def count_named(self, counters: dict[str, int]) -> None:
        with self.lock:
            for name, amount in counters.items():
                self.counters[name] = self.counters.get(name, 0) + amount

    def end(self, status: Status, error: str | None = None) -> None:
        self.status, self.error = status, error
        self.seconds = round(time.monotonic() - self.started, 3)
        self.ended_at = dt.datetime.now(dt.UTC)

    @property
    def rate(self) -> float:
        seconds = self.seconds or time.monotonic() - self.started
        return self.rows_read / seconds if seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.counters,
            **{name: getattr(self, name) for name in _JSON_FIELDS},
            "rows_per_second": round(self.rate),
            "schema_changes": [change.as_dict() for change in self.schema_changes],
            "guarantee": self.guarantee.as_dict() if self.guarantee is not None else None,
            "state": {"before": self.state_before, "after": self.state_after},
            **({"verification": self.verification.as_dict()} if self.verification is not None else {}),
        }

    @property
    def notes(self) -> str:
        """The counters, and what was verified: ``held back 3, verified 1,000 of 1,000``."""
        notes = [
            f"{_SHOWN_NAMES.get(name, name.removeprefix('rows_').replace('_', ' '))} {count:,}"
            for name, count in self.counters.items()
        ]
        return ", ".join([*notes, *([self.verification.text] if self.verification is not None else [])])


_SHOWN_NAMES = {"rows_unchanged": "re-read", "rows_before": "rows before"}
"""Rows of the overlap of two runs, which had landed: without them, all unchanged rows would seem to be meant."""
MAX_NAMED_STREAMS = 3
"""Streams that a line about several of them names."""
_HEADERS = ["stream", "table", "status", "read", "landed", "deleted", "rejected", "s", "rows/s", "retries", "notes"]


@dataclass(slots=True, repr=False)
class RunSummary:
    """The outcome of a run. ``status`` is "succeeded" if every stream succeeded, "interrupted" after a signal.

    A run that follows is "running" between its rounds, and "stopped" after a signal, which is how it ends.
    """

    status: RunStatus
    seconds: float
    streams: Sequence[StreamReport]
    run_id: str
    errors: list[str] = field(default_factory=list)
    """Errors of flows that could not start."""
    redact: Redactor = field(default_factory=Redactor, repr=False)

    def __repr__(self) -> str:
        """In one line, as ``<RunSummary: succeeded, 2 streams, 1,200 rows landed in 3.4 s>``."""
        count, landed = len(self.streams), sum(stream.rows_landed for stream in self.streams)
        streams = "1 stream" if count == 1 else f"{count} streams"
        return f"<RunSummary: {self.status}, {streams}, {landed:,} rows landed in {self.seconds:.1f} s>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from .notebook import summary_html

        return summary_html(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        values = {
            "status": self.status,
            "seconds": self.seconds,
            "run_id": self.run_id,
            "streams": [stream.as_dict() for stream in self.streams],
            **({"errors": self.errors} if self.errors else {}),
        }
        return {name: self.redact.deep(value) for name, value in values.items()}

    def write(self, path: Path, *, atomically: bool = False) -> None:
        """Write the summary as JSON. Raises ``ConfigurationError`` if the file cannot be written.

        :param atomically: whoever reads the file meanwhile finds a whole one.
        """
        content = msgspec.json.format(msgspec.json.encode(self.as_dict()), indent=2) + b"\n"
        try:
            if atomically:
                write_atomically(path, content)
                return
            path.write_bytes(content)
        except OSError as error:
            raise ConfigurationError(f"summary file {path} cannot be written: {error.strerror}") from error

    def table(self, *, errors: bool = True) -> str:
        """The summary as a text table with one line per stream, followed by type changes and errors."""
        from tabulate import tabulate  # with what measures wide characters, 0.03 s

        if not self.streams:
            return "no streams"
        rows = [
            (
                f"{stream.source}.{stream.stream}",
                f"{stream.destination}.{stream.table}",
                stream.status,
                stream.rows_read,
                stream.rows_landed,
                stream.rows_deleted,
                stream.rows_rejected,
                f"{stream.seconds:.1f}",
                f"{stream.rate:,.0f}",
                stream.retries,
                stream.notes,
            )
            for stream in self.streams
        ]
        optional = [_HEADERS.index(header) for header in ("deleted", "rejected", "retries", "notes")]
        empty = {index for index in optional if not any(row[index] for row in rows)}
        shown = [index for index in range(len(_HEADERS)) if index not in empty]
        text = tabulate(
            [[row[index] for index in shown] for row in rows],
            headers=[_HEADERS[index] for index in shown],
            intfmt=",",
            disable_numparse=[0, 1],
        )
        changes = [
            f"{stream.source}.{stream.stream}: {change.text}"
            for stream in self.streams
            for change in stream.schema_changes
        ]
        rejected = [
            f"{stream.source}.{stream.stream}: the rejected rows are in "
            f"{stream.destination}.{rejected_name(stream.table)}, with the reason of each"
            for stream in self.streams
            if stream.rows_rejected
        ]
        failed = [f"{stream.source}.{stream.stream}: {stream.error}" for stream in self.streams if stream.error]
        return self.redact(
            "\n".join([text, *self.guarantees(), *rejected, *changes, *([*failed, *self.errors] if errors else [])])
        )

    def guarantees(self) -> list[str]:
        """One line for each guarantee, with the streams it holds for unless that is all. One that failed has none."""
        streams: dict[Guarantee, list[str]] = {}
        for stream in self.streams:
            if stream.guarantee is not None and stream.status != "failed":
                streams.setdefault(stream.guarantee, []).append(f"{stream.source}.{stream.stream}")
        shown = {guarantee: beginning_of(names, MAX_NAMED_STREAMS) for guarantee, names in streams.items()}
        for_all = len(shown) == 1 and not any(stream.status == "failed" for stream in self.streams)
        return [str(item) if for_all else f"{names}: {item}" for item, names in shown.items()]


def beginning_of(names: Sequence[str], most: int) -> str:
    """``a, b and 3 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def log_summary(summary: RunSummary) -> None:
    """Log what landed; at WARNING if the run did not succeed."""
    level = logging.INFO if summary.status in ("succeeded", "stopped") else logging.WARNING
    log.log(level, "%s; what landed:\n%s", summary.status, summary.table())
