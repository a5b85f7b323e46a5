"""Whether a flow file would work, as far as that can be told without reading."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ...contract import ConfigurationError, DataSource
from ...parts import Destination
from ..environment import Environment
from ..report.logs import redacted_logs
from ..timeouts import Patient
from .inspector import Look

SECONDS = 60.0
"""How long a source or destination may take to answer; longer than a DuckDB file's ``lock_timeout``."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was checked.

    :param status: ``"skipped"``: it could not be checked, because something else failed.
    :param told: the error, or what was found. :param warnings: what was logged meanwhile, and is not an error.
    """

    kind: Literal["file", "source", "destination", "flow"]
    name: str
    status: Literal["ok", "failed", "skipped"]
    told: str
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        plain = {"kind": self.kind, "name": self.name, "status": self.status, "told": self.told}
        return plain | {"warnings": list(self.warnings)}


def check_flow(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, seconds: float = SECONDS
) -> list[Checked]:
    """Try everything in a flow file that can be tried without reading; all of it, whatever fails.

    Sources are asked to ``check`` themselves, destinations are opened and closed, and of each flow everything is
    done that a run does before it reads: states are loaded, streams found, patterns matched, write modes settled.

    :param seconds: a source or destination that does not answer within so many seconds has failed.
    """
    try:
        look = Look(flow, environment, seconds)
    except ConfigurationError as error:
        return [Checked("file", "flow" if isinstance(flow, Mapping) else Path(flow).name, "failed", str(error))]
    return _Check(look).all()


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """The warnings that are logged meanwhile, by any thread."""
    texts: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield texts
    finally:
        logging.getLogger().removeHandler(handler)


class _Check:
    def __init__(self, look: Look) -> None:
        self._look = look
        self._failed: set[tuple[str, str]] = set()

    def all(self) -> list[Checked]:
        file = self._look.loaded.file
        found = [Checked("file", self._look.loaded.location, "ok", "")]
        checks: list[Callable[[], Checked]] = [
            *(partial(self._source, name) for name in file.sources),
            *(partial(self._destination, name) for name in file.destinations),
            *(partial(self._flow, number) for number in self._look.numbers),
        ]
        for check in checks:
            with _warnings() as warnings:
                checked = check()
            found.append(replace(checked, warnings=tuple(warnings)))
        redact = self._look.redactor()
        return [
            replace(
                one, name=redact(one.name), told=redact(one.told), warnings=tuple(redact(text) for text in one.warnings)
            )
            for one in found
        ]

    def _source(self, name: str) -> Checked:
        source: DataSource[Any] | None = None
        patient = Patient(self._look.seconds)
        try:
            source = self._look.environment.source(self._look.loaded, name)
            with redacted_logs(self._look.redactor(source)):
                patient.call(source.check, what=f"source {name!r}")
            return Checked("source", name, "ok", self._look.redactor(source)(source.identity()))
        except Exception as error:
            self._failed.add(("source", name))
            return Checked("source", name, "failed", self._look.told(error, source))
        finally:
            patient.end(*([source.disconnect] if source is not None else []), what=f"source {name!r}")

    def _destination(self, name: str) -> Checked:
        made: Destination | None = None
        patient = Patient(self._look.seconds)
        try:
            made = self._look.environment.destination_of(self._look.loaded, name)
            with redacted_logs(self._look.redactor()):
                patient.call(made.open, what=f"destination {name!r}")
                patient.call(made.check, what=f"destination {name!r}")
            return Checked("destination", name, "ok", made.identity())
        except Exception as error:
            self._failed.add(("destination", name))
            return Checked("destination", name, "failed", self._look.told(error))
        finally:
            patient.end(*([made.close] if made is not None else []), what=f"destination {name!r}")

    def _flow(self, number: int) -> Checked:
        entry = self._look.loaded.file.flows[number]
        name = f"flows[{number}]"
        for needed in (("source", entry.from_), ("destination", entry.to)):
            if needed in self._failed:
                return Checked("flow", name, "skipped", f"{needed[0]} {needed[1]!r} failed")
        source = self._look.environment.source(self._look.loaded, entry.from_)
        destination = self._look.environment.destination_of(self._look.loaded, entry.to)
        try:
            with self._look.planned(self._look.flow(number, source), source, destination) as looked:
                errors = [f"stream {report.stream!r}: {report.error}" for report in looked.reports if report.error]
                if errors:
                    return Checked("flow", name, "failed", "; ".join(errors))
                streams = "1 stream" if len(looked.runs) == 1 else f"{len(looked.runs)} streams"
                return Checked("flow", name, "ok", f"{streams} from {entry.from_} to {entry.to}")
        except Exception as error:
            return Checked("flow", name, "failed", self._look.told(error, source))
