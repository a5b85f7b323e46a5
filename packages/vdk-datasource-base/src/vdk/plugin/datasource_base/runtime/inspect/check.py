# SPDX-License-Identifier: Apache-2.0
"""``check``: tries everything in a flow file that can be tried without reading."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ...contract import ConfigurationError, DataSource
from ...parts import Destination
from ...parts.guarantee import Guarantee
from ..environment import Environment
from ..report.logs import redacted_logs
from ..report.summary import MAX_NAMED_STREAMS, beginning_of
from ..run.follow import check_streams, with_follow
from ..run.landing.stream_run import StreamRun
from ..timeouts import TimedOut, WorkerThread, run_with_timeout
from .inspector import TIMEOUT, FlowInspector

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    :param status: ``"skipped"``: it could not be checked, because something it needs failed.
    :param message: the error, or what was checked. :param warnings: warnings that were logged during the check.
    :param guarantees: each stream, and how often its rows land.
    """

    kind: Literal["file", "source", "destination", "flow"]
    name: str
    status: Literal["ok", "failed", "skipped"]
    message: str
    warnings: tuple[str, ...] = ()
    guarantees: tuple[tuple[str, Guarantee], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "status": self.status,
            "message": self.message,
            "warnings": list(self.warnings),
            **({"guarantees": self._guarantees()} if self.kind == "flow" else {}),
        }

    def _guarantees(self) -> list[dict[str, Any]]:
        return [{"stream": stream, **guarantee.as_dict()} for stream, guarantee in self.guarantees]


def check_flow(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, seconds: float = TIMEOUT
) -> list[CheckResult]:
    """Try everything in a flow file that can be tried without reading, even after something failed.

    Each source checks itself (``DataSource.check``), each destination is opened and closed, and each flow is planned
    as in a run: states are loaded, streams listed, patterns matched, write modes chosen, the streams of a flow that
    follows must be incremental, and each stream checks its keys and its cursor (``DataSourceStream.check``).

    :param seconds: a source or destination that does not answer within so many seconds has failed.
    """
    try:
        inspector = FlowInspector(flow, environment, seconds)
        with_follow(inspector.loaded, environment.follow)
    except ConfigurationError as error:
        return [CheckResult("file", "flow" if isinstance(flow, Mapping) else Path(flow).name, "failed", str(error))]
    return _Checks(inspector).results()


class _Checks:
    def __init__(self, inspector: FlowInspector) -> None:
        self._inspector = inspector
        self._failed: set[tuple[str, str]] = set()

    def results(self) -> list[CheckResult]:
        file = self._inspector.loaded.file
        checks: list[Callable[[], CheckResult]] = [
            *(partial(self._source, name) for name in file.sources),
            *(partial(self._destination, name) for name in file.destinations),
            *(partial(self._flow, number) for number in self._inspector.numbers),
        ]
        results = [CheckResult("file", self._inspector.loaded.location, "ok", "")]
        for check in checks:
            with _logged_warnings() as warnings:
                result = check()
            results.append(replace(result, warnings=tuple(warnings)))
        redact = self._inspector.redactor()
        return [
            replace(
                result,
                name=redact(result.name),
                message=redact(result.message),
                warnings=tuple(map(redact, result.warnings)),
            )
            for result in results
        ]

    def _source(self, name: str) -> CheckResult:
        source: DataSource[Any] | None = None
        worker = WorkerThread(self._inspector.seconds)
        try:
            source = self._inspector.create_source(name)
            redact = self._inspector.redactor(source)
            with redacted_logs(redact):
                worker.call(source.check, what=f"source {name!r}")
            unread = "" if _has_check(source) else f"; nothing was read: {type(source).__name__} has no check()"
            return CheckResult("source", name, "ok", redact(source.identity()) + unread)
        except Exception as error:
            return self._failure("source", name, error, source)
        finally:
            worker.finish(*([source.disconnect] if source is not None else []), what=f"source {name!r}")

    def _destination(self, name: str) -> CheckResult:
        destination: Destination | None = None
        worker = WorkerThread(self._inspector.seconds)
        try:
            destination = self._inspector.create_destination(name)
            with redacted_logs(self._inspector.redactor()):
                worker.call(destination.open, what=f"destination {name!r}")
                worker.call(destination.check, what=f"destination {name!r}")
            return CheckResult("destination", name, "ok", destination.identity())
        except Exception as error:
            return self._failure("destination", name, error)
        finally:
            worker.finish(*([destination.close] if destination is not None else []), what=f"destination {name!r}")

    def _flow(self, number: int) -> CheckResult:
        entry = self._inspector.loaded.file.flows[number]
        name = f"flows[{number}]"
        for kind, needed in (("source", entry.from_), ("destination", entry.to)):
            if (kind, needed) in self._failed:
                return CheckResult("flow", name, "skipped", f"{kind} {needed!r} failed")
        source = self._inspector.create_source(entry.from_)
        destination = self._inspector.create_destination(entry.to)
        try:
            with self._inspector.planned(number, source, destination) as planned:
                errors = [f"stream {report.stream!r}: {report.error}" for report in planned.reports if report.error]
                if errors:
                    return CheckResult("flow", name, "failed", "; ".join(errors))
                check_streams(planned.flow, planned.runs)
                if errors := list(self._stream_errors(planned.runs, source)):
                    return CheckResult("flow", name, "failed", "; ".join(errors))
                streams = "1 stream" if len(planned.runs) == 1 else f"{len(planned.runs)} streams"
                guarantees = tuple(
                    (report.stream, report.guarantee) for report in planned.reports if report.guarantee is not None
                )
                message = f"{streams} from {entry.from_} to {entry.to}"
                for guarantee in dict.fromkeys(guarantee for _, guarantee in guarantees):
                    names = [stream for stream, other in guarantees if other == guarantee]
                    of = f"{beginning_of(names, MAX_NAMED_STREAMS)} " if len(names) < len(guarantees) else ""
                    message += f"; {of}{guarantee}"
                return CheckResult("flow", name, "ok", message, guarantees=guarantees)
        except Exception as error:
            return self._failure("flow", name, error, source)

    def _stream_errors(self, runs: Sequence[StreamRun], source: DataSource[Any]) -> Iterator[str]:
        """What reads would fail with before their first row. One that takes too long is left: a run may take it."""
        for run in runs:
            try:
                run_with_timeout(run.plan.stream.check, self._inspector.seconds, what=f"stream {run.plan.name!r}")
            except TimedOut as error:
                log.warning("%s, so its cursor and its keys were not checked; to wait longer, add --timeout 10m", error)
                return
            except Exception as error:
                text = self._inspector.error_line(error, source)
                yield text if repr(run.plan.name) in text else f"stream {run.plan.name!r}: {text}"

    def _failure(
        self,
        kind: Literal["source", "destination", "flow"],
        name: str,
        error: Exception,
        source: DataSource[Any] | None = None,
    ) -> CheckResult:
        self._failed.add((kind, name))
        return CheckResult(kind, name, "failed", self._inspector.error_line(error, source))


def _has_check(source: DataSource[Any]) -> bool:
    return getattr(type(source), "check", None) is not DataSource.check


class _WarningCollector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _logged_warnings() -> Iterator[list[str]]:
    """The warnings that any thread logs meanwhile."""
    handler = _WarningCollector()
    logging.getLogger().addHandler(handler)
    try:
        yield handler.messages
    finally:
        logging.getLogger().removeHandler(handler)
