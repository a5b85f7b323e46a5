# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry: a span for the run and one for each of its streams, and counters of what they read and landed.

Nothing of it is imported unless the process has set up OpenTelemetry itself, or a variable names where to send the data
(``OTEL_EXPORTER_OTLP_ENDPOINT``), as in its specification of environment variables.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .observer import RunContext, RunObserver
from .summary import RunSummary, StreamReport

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

log = logging.getLogger(__name__)

NAME = "vdk.datasource"
_ENDPOINTS = tuple(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT" for kind in ("", "TRACES_", "METRICS_"))
SEND_SECONDS = 5.0
"""How long the end of a run waits for a collector."""
_COUNTERS = {
    "rows_read": "{row}",
    "rows_landed": "{row}",
    "rows_dropped": "{row}",
    "rows_deleted": "{row}",
    "rows_rejected": "{row}",
    "bytes": "By",
    "retries": "{retry}",
}


def is_configured() -> bool:
    """Whether the process wants telemetry. Reads variables only."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return "opentelemetry.sdk" in sys.modules or any(os.environ.get(name) for name in _ENDPOINTS)


def telemetry(context: RunContext) -> RunObserver | None:
    """What follows the run, if the process wants telemetry, and the extra ``otel`` is installed."""
    if not is_configured():
        return None
    try:
        return Telemetry(context)
    except ImportError as error:
        log.warning(
            "OpenTelemetry is configured, and not installed (%s): pip install 'vdk-datasource-base[otel]'", error.name
        )
    except Exception as error:  # of a variable that the SDK refuses
        log.warning(
            "OpenTelemetry cannot be set up, and this run is without it: %s; correct its variables (env | grep OTEL_)",
            context.redact(f"{type(error).__name__}: {error}"),
        )
    return None


class Telemetry(RunObserver):
    """Emits spans when the run ends, with the times at which it and its streams began and ended; counts meanwhile.

    It uses the providers of the process, or makes its own, which end with the run.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._own: list[Any] = []
        tracers, meters = self._providers()
        self._tracer: Tracer = tracers.get_tracer(NAME)
        meter: Meter = meters.get_meter(NAME)
        self._counters = {
            name: meter.create_counter(f"{NAME}.{name}", unit=unit, description=name.replace("_", " "))
            for name, unit in _COUNTERS.items()
        }
        self._counted: dict[int, dict[str, int]] = {}

    def _providers(self) -> tuple[TracerProvider, MeterProvider]:
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider

        tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
        if isinstance(tracers, TracerProvider) or isinstance(meters, MeterProvider):
            return tracers, meters  # the process has set it up, perhaps for one of the two only
        if not any(os.environ.get(name) for name in _ENDPOINTS):
            return tracers, meters
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        own = TracerProvider(shutdown_on_exit=False)
        own.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        own_meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], shutdown_on_exit=False)
        self._own = [own, own_meters]
        return own, own_meters

    def round_ended(self, summary: RunSummary) -> None:
        self._count(summary)

    def ended(self, summary: RunSummary) -> None:
        from opentelemetry import trace

        self._count(summary)
        span = self._tracer.start_span(
            f"run {self._context.name}",
            start_time=_nanoseconds(self._context.started_at),
            attributes={
                f"{NAME}.flow": self._context.name,
                f"{NAME}.run_id": summary.run_id,
                f"{NAME}.status": summary.status,
                **{name: sum(getattr(report, field) for report in summary.streams) for field, name in _attributes()},
            },
        )
        if summary.status == "failed":
            failed = [report for report in summary.streams if report.status == "failed"]
            errors = "; ".join([*summary.errors, *(report.error or "" for report in failed)])
            span.set_status(trace.StatusCode.ERROR, self._context.redact(errors))
        inside = trace.set_span_in_context(span)
        for report in summary.streams:
            self._emit(report, inside)
        span.end(end_time=_nanoseconds(dt.datetime.now(dt.UTC)))
        if self._own:
            # in a thread that does not keep the process alive: an exporter retries longer than it was asked to
            sending = threading.Thread(target=self._send, name="telemetry", daemon=True)
            sending.start()
            sending.join(SEND_SECONDS)
            if sending.is_alive():
                log.warning("the telemetry of this run was not sent within %g s", SEND_SECONDS)

    def _send(self) -> None:
        for provider in self._own:
            with suppress(Exception):  # the SDK has logged it
                provider.shutdown()

    def _emit(self, report: StreamReport, inside: Any) -> None:
        from opentelemetry import trace

        span = self._tracer.start_span(
            f"stream {report.source}.{report.stream}",
            context=inside,
            start_time=_nanoseconds(report.started_at),
            attributes={
                **self._labels(report),
                f"{NAME}.status": report.status,
                **{name: getattr(report, field) for field, name in _attributes()},
            },
        )
        if report.error:
            error = self._context.redact(report.error)
            span.set_attribute(f"{NAME}.error", error)
            if report.status == "failed":
                span.set_status(trace.StatusCode.ERROR, error)
        span.end(end_time=_nanoseconds(report.ended_at or dt.datetime.now(dt.UTC)))

    def _count(self, summary: RunSummary) -> None:
        """Add to the counters what is new since the last time."""
        for report in summary.streams:
            counted = self._counted.setdefault(id(report), dict.fromkeys(_COUNTERS, 0))
            for name, counter in self._counters.items():
                if added := getattr(report, name) - counted[name]:
                    counter.add(added, self._labels(report))
                    counted[name] += added

    def _labels(self, report: StreamReport) -> dict[str, str]:
        return {
            f"{NAME}.flow": self._context.name,
            f"{NAME}.source": report.source,
            f"{NAME}.stream": report.stream,
            f"{NAME}.destination": report.destination,
            f"{NAME}.table": report.table,
        }


def _attributes() -> list[tuple[str, str]]:
    return [(name, f"{NAME}.{name}") for name in _COUNTERS]


def _nanoseconds(time: dt.datetime) -> int:
    return int(time.timestamp() * 1e9)
