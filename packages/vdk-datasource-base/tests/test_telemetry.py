"""OpenTelemetry: a span for the run and for each stream, and counters; nothing is imported unless it is set up."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from support import Lab, Whole, counting, payload
from vdk.plugin.datasource_base import DataSourcePayload, FlowFailedError
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.parts.redact import Redactor
from vdk.plugin.datasource_base.runtime.report import telemetry
from vdk.plugin.datasource_base.runtime.report.observer import RunContext

sdk = pytest.importorskip("opentelemetry.sdk")


def failing(state: State) -> Iterator[DataSourcePayload]:
    yield payload({"n": 1}, state={"next": 1})
    raise ValueError("no more")


def test_a_run_has_a_span_and_so_has_each_stream(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the one of the run, with its counts; the counters have the same."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, reader, tracers = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider([reader])
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    with pytest.raises(FlowFailedError):
        lab.run(Whole("numbers", counting(30)), Whole("failing", failing))
    by_name = {span.name: span for span in spans.get_finished_spans()}
    assert set(by_name) == {"run flow", "stream src.numbers", "stream src.failing"}
    run, numbers, failed = by_name["run flow"], by_name["stream src.numbers"], by_name["stream src.failing"]
    assert numbers.parent is not None
    assert run.context is not None
    assert numbers.parent.span_id == run.context.span_id
    assert numbers.start_time is not None
    assert numbers.end_time is not None
    assert 0 <= numbers.end_time - numbers.start_time < 60e9
    assert numbers.attributes is not None
    assert numbers.attributes["vdk.datasource.rows_landed"] == 30
    assert numbers.attributes["vdk.datasource.table"] == "numbers"
    assert (run.status.is_ok, failed.status.is_ok, numbers.status.is_ok) == (False, False, True)
    assert "no more" in str(failed.status.description)
    data = reader.get_metrics_data()
    assert data is not None
    counted = {
        # type ignored: it has these attributes here
        (metric.name, point.attributes["vdk.datasource.stream"]): point.value  # type: ignore[index, union-attr]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert counted["vdk.datasource.rows_landed", "numbers"] == 30
    assert counted["vdk.datasource.rows_landed", "failing"] == 1
    assert counted["vdk.datasource.bytes", "numbers"] > 0


def test_nothing_is_imported_unless_it_is_set_up() -> None:
    script = (
        "import sys; from vdk.plugin.datasource_base.runtime import Environment, execute\n"
        "from vdk.plugin.datasource_base.runtime.report import telemetry\n"
        "assert not telemetry.is_configured() and not [name for name in sys.modules if 'opentelemetry' in name]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={}, timeout=60)


@pytest.mark.parametrize(
    ("variables", "configured"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({}, False),
    ],
)
def test_variables_set_it_up(variables: dict[str, str], configured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.sdk")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert telemetry.is_configured() is configured


def test_a_missing_extra_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert telemetry.telemetry(RunContext("flow", "run", Redactor())) is None
    assert "pip install 'vdk-datasource-base[otel]'" in caplog.text


def test_a_variable_that_the_sdk_refuses_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows land without telemetry, too."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-1")
    assert telemetry.telemetry(RunContext("flow", "run", Redactor())) is None
    assert "this run is without it: ValueError: schedule_delay_millis" in caplog.text


@pytest.mark.heavy
def test_a_collector_that_does_not_answer_does_not_hold_a_run_up(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The exporter itself would wait and try again for half a minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        monkeypatch.setattr(telemetry, "SEND_SECONDS", 0.2)
        assert lab.run(Whole("numbers", counting(3))).status == "succeeded"
        assert "was not sent within 0.2 s" in caplog.text
        for thread in threading.enumerate():
            if thread.name == "telemetry":
                thread.join(60)  # else it logs in other tests
