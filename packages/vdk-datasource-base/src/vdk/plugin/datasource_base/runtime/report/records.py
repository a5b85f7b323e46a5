# SPDX-License-Identifier: Apache-2.0
"""The record of a stream for its destination, made of the stream's report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ...parts.run_records import MAX_TEXT, RunRecord
from .summary import StreamReport

Redact = Callable[[str], str]


def running_record(report: StreamReport, run_id: str, added: Mapping[str, int], redact: Redact) -> RunRecord:
    """The record of a stream that is read, in the transaction of rows.

    :param added: what the transaction adds to the counts of the report.
    """
    counts = {name: getattr(report, name) + added.get(name, 0) for name in _COUNTS}
    if report.recorded_state is None:  # as JSON once: a commit costs the same whatever the states are
        report.recorded_state = _json(report.state_before, redact)
    return RunRecord(
        run_id,
        report.source,
        report.stream,
        report.table,
        report.started_at,
        rows_read=report.rows_read,
        retries=report.retries,
        state_before=report.recorded_state,
        **counts,
    )


_COUNTS = ("rows_landed", "rows_dropped", "rows_rejected", "rows_deleted", "bytes")


def ended_record(report: StreamReport, run_id: str, redact: Redact) -> RunRecord:
    """The record of a stream that has ended."""
    return RunRecord(
        run_id,
        report.source,
        report.stream,
        report.table,
        report.started_at,
        report.ended_at,
        report.status,
        rows_read=report.rows_read,
        retries=report.retries,
        error=redact(report.error or "")[:MAX_TEXT],
        state_before=_json(report.state_before, redact),
        state_after=_json(report.state_after, redact),
        schema_changes=_json([change.as_dict() for change in report.schema_changes], redact),
        **{name: getattr(report, name) for name in _COUNTS},
    )


def _json(value: Any, redact: Redact) -> str:
    """As JSON without secrets; empty if there is nothing, or too much of it."""
    text = json.dumps(_redacted(value, redact), default=str) if value else ""
    return text if len(text) <= MAX_TEXT else ""


def _redacted(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _redacted(item, redact) for name, item in value.items()}
    return [_redacted(item, redact) for item in value] if isinstance(value, (list, tuple)) else value
