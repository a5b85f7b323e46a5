# SPDX-License-Identifier: Apache-2.0
"""OpenLineage events of a run, appended to a file as one JSON object per line (``--openlineage events.ndjson``).

A flow file is a job, and each stream is a job of its own within it, whose run has the flow's run as its parent. So the
lineage of a table is exact: one input, one output. https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import LINEAGE
from .observer import RunContext, RunObserver
from .summary import RunSummary, StreamReport

PRODUCER = "https://pypi.org/project/vdk-datasource-base"
_SPEC = "https://openlineage.io/spec"
_METHOD = re.compile(r"\A\w+ (?=[\w+.-]+://)")
_TYPES = {"succeeded": "COMPLETE", "failed": "FAIL", "stopped": "ABORT", "interrupted": "ABORT"}
_NAMESPACE = uuid.UUID("5c2b3f0e-6a0d-4c39-9d0c-7f6f3f4f9a51")
"""Of the ids of runs: OpenLineage wants a UUID, and VDK's ids are text."""


class LineageFile(RunObserver):
    """Appends events. The one of the start is written before the first row is read, so it is there after a kill.

    :raises ConfigurationError: the file cannot be written.
    """

    def __init__(self, path: Path, context: RunContext) -> None:
        LINEAGE.check(path)
        self._path = path
        self._context = context
        self._begun = False
        self._namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or "default"
        self._run = str(uuid.uuid5(_NAMESPACE, f"{context.run_id} {context.name} {context.started_at.isoformat()}"))

    def stream_started(self, report: StreamReport) -> None:
        self._begin()
        self._write(self._stream_event("START", report, report.started_at))

    def ended(self, summary: RunSummary) -> None:
        self._begin()
        for report in summary.streams:
            if report.status != "running":
                end = report.ended_at or dt.datetime.now(dt.UTC)
                self._write(self._stream_event(_TYPES[report.status], report, end))
        errors = [*summary.errors, *(report.error for report in summary.streams if report.status == "failed")]
        event_type = "COMPLETE" if summary.status == "stopped" else _TYPES.get(summary.status, "RUNNING")
        facets = self._error("; ".join(error for error in errors if error)) if event_type == "FAIL" else {}
        self._write(self._event(event_type, dt.datetime.now(dt.UTC), self._run, self._context.name, facets))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._write(self._event("START", self._context.started_at, self._run, self._context.name, {}))

    def _stream_event(self, event_type: str, report: StreamReport, time: dt.datetime) -> dict[str, Any]:
        name = f"{report.source}.{report.stream}"
        run = str(uuid.uuid5(uuid.UUID(self._run), f"{name} {report.table}"))
        job = {"namespace": self._namespace, "name": self._context.name}
        facets: dict[str, Any] = {"parent": _facet("1-0-1", "ParentRunFacet", run={"runId": self._run}, job=job)}
        if event_type == "FAIL":
            facets |= self._error(report.error or "failed")
        event = self._event(event_type, time, run, f"{self._context.name}.{name}", facets)
        details = report.details
        tables: Mapping[str, Mapping[str, str]] = details.columns or {report.table: details.declared}
        event["inputs"] = [_dataset(report.source_identity, report.stream, details.declared)]
        event["outputs"] = [_dataset(report.destination_identity, table, columns) for table, columns in tables.items()]
        if event_type != "START":
            statistics = _facet(
                "1-0-2", "OutputStatisticsOutputDatasetFacet", rowCount=report.rows_landed, size=report.bytes
            )
            for output in event["outputs"]:
                # of several tables of a stream, nobody has counted the rows of each
                output["outputFacets"] = {"outputStatistics": statistics} if len(tables) == 1 else {}
        return event

    def _event(
        self, event_type: str, time: dt.datetime, run: str, job: str, facets: Mapping[str, Any]
    ) -> dict[str, Any]:
        job_type = _facet("2-0-3", "JobTypeJobFacet", processingType="BATCH", integration="VDK", jobType="JOB")
        return {
            "eventType": event_type,
            "eventTime": time.isoformat(timespec="milliseconds"),
            "producer": PRODUCER,
            "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": run, "facets": facets},
            "job": {"namespace": self._namespace, "name": job, "facets": {"jobType": job_type}},
            "inputs": [],
            "outputs": [],
        }

    def _error(self, message: str) -> dict[str, Any]:
        return {"errorMessage": _facet("1-0-1", "ErrorMessageRunFacet", message=message, programmingLanguage="PYTHON")}

    def _write(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(self._context.redact.deep(event)).encode("ascii") + b"\n"
        with self._path.open("ab") as file:  # one write: runs that append at once do not mix their lines
            file.write(line)


def _facet(version: str, name: str, **values: Any) -> dict[str, Any]:
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}",
        **values,
    }


def _dataset(identity: str, name: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """:param identity: of a source or a destination, which may begin with its method."""
    fields = [{"name": column, "type": kind} for column, kind in columns.items()]
    facets = {"schema": _facet("1-1-1", "SchemaDatasetFacet", fields=fields)} if fields else {}
    return {"namespace": _METHOD.sub("", identity), "name": name, "facets": facets}
