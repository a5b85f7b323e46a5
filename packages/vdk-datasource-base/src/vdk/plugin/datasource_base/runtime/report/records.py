# SPDX-License-Identifier: Apache-2.0
"""The record of a stream for its destination, made of the stream's report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...parts.redact import Redactor
from ...parts.run_records import MAX_TEXT, RunRecord
from .summary import StreamReport

_COUNTS = ("rows_landed", "rows_dropped", "rows_rejected", "rows_deleted", "bytes")


def running_record(report: StreamReport, run_id: str, added: Mapping[str, int], redact: Redactor) -> RunRecord:
    """The record of a stream that is read, in the transaction of rows.

    :param added: what the transaction adds to the counts of the report.
    """
    if report.recorded_state is None:  # as JSON once: a commit costs the same whatever the states are
        report.recorded_state = _states(report.state_before, redact)
    return RunRecord(
        run_id,
        report.source,
        report.stream,
        report.table,
        report.started_at,
        rows_read=report.rows_read,
        retries=report.retries,
        state_before=report.recorded_state,
        **{name: getattr(report, name) + added.get(name, 0) for name in _COUNTS},
    )


def ended_record(report: StreamReport, run_id: str, redact: Redactor) -> RunRecord:
    """The record of a stream that has ended."""
    return replace(
        running_record(report, run_id, {}, redact),
        ended_at=report.ended_at,
        status=report.status,
        error=redact(report.error or "")[:MAX_TEXT],
        state_before=_states(report.state_before, redact),  # secrets that were issued since are known now
        state_after=_states(report.state_after, redact),
        schema_changes=_json([change.as_dict() for change in report.schema_changes], redact),
        verification=_json(report.verification.as_dict(), redact) if report.verification is not None else "",
    )


def _states(states: Mapping[str, Any], redact: Redactor) -> str:
    """``{}`` if there are none, which is another thing than a record without them."""
    return _json(states, redact) if states else "{}"


def _json(value: Any, redact: Redactor) -> str:
    """As JSON without secrets; empty if there is nothing, or too much of it."""
    text = json.dumps(redact.deep(value), default=str) if value else ""
    return text if len(text) <= MAX_TEXT else ""
