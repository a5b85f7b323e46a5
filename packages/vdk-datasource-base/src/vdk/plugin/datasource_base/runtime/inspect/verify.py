# SPDX-License-Identifier: Apache-2.0
"""``verify``: compares the streams of a flow file with their tables, without a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...contract import ConfigurationError
from ...parts.flow.file import StreamSelection
from ..environment import Environment
from ..report.logs import redacted_errors
from ..report.verification import Verification
from ..run.verifier import Compared, verify_stream
from ..scope import RowsToRepair
from .inspector import TIMEOUT, FlowInspector, PlannedFlow

NOT_VERIFIED = 3
"""The exit code if nothing differs, and something is not proven."""


def verify_flow(
    flow: str | Path | Mapping[str, Any],
    environment: Environment,
    *,
    values: bool | None = None,
    seconds: float = TIMEOUT,
) -> list[Verification]:
    """Compare every selected stream of a flow file with its table. The error of a stream does not end the others.

    :param values: compare all columns; None: as the flow's ``verify`` says, else the keys and cursors.
    :param seconds: how long a source or destination may take to answer until the comparison begins.
    :raises ConfigurationError: if the file is wrong, or a destination does not exist yet.
    """
    inspector = FlowInspector(flow, environment, seconds)
    selection = StreamSelection(environment.streams)
    results: list[Verification] = []
    for number in inspector.numbers:
        entry = inspector.loaded.file.flows[number]
        source = inspector.create_source(entry.from_)
        destination = inspector.create_destination(entry.to)
        if not destination.exists():
            raise ConfigurationError(
                f"{destination.identity()} does not exist, so nothing has landed; write: vdk datasource run FLOW"
            )
        compared: Compared = "values" if values or (values is None and entry.verify == "values") else "keys"
        with (
            redacted_errors(inspector.redactor(source)),
            inspector.planned(number, source, destination, selection=selection) as planned,
        ):
            results += _results(planned, compared)
    selection.check()
    return results


def _results(planned: PlannedFlow, compared: Compared) -> Iterator[Verification]:
    runs = {run.report.stream: run for run in planned.runs}
    for report in planned.reports:
        result = Verification(report.source, report.stream, report.destination, report.table, "failed")
        if (run := runs.get(report.stream)) is None:
            yield _failed(result, planned, str(report.error))
            continue
        try:
            yield verify_stream(run, compared)
        except Exception as error:
            yield _failed(result, planned, f"{type(error).__name__}: {error}")


def _failed(result: Verification, planned: PlannedFlow, reason: str) -> Verification:
    return replace(result, reason=planned.flow.redact(reason))


def repairable(results: Sequence[Verification]) -> dict[str, dict[str, RowsToRepair]]:
    """Source → stream → the rows to read again. Raises ``ConfigurationError`` for a stream that cannot be repaired."""
    rows: dict[str, dict[str, RowsToRepair]] = {}
    for result in results:
        name = f"{result.source}.{result.stream}"
        if result.status == "failed":
            raise ConfigurationError(f"{name} cannot be verified: {result.reason}")
        if result.status != "different":
            continue
        if result.replaces:
            raise ConfigurationError(
                f"{name} is read whole in each run, so a run repairs it; write: vdk datasource run FLOW --stream {name}"
            )
        if not result.hashes:
            raise ConfigurationError(
                f"{name} has no missing or different rows to read again ({result.text}); to land everything again, "
                f"write: vdk datasource run FLOW --stream {name} --full-refresh"
            )
        rows.setdefault(result.source, {})[result.stream] = RowsToRepair(frozenset(result.hashes), result.proof_columns)
    return rows


def exit_code(results: Sequence[Verification]) -> int:
    """1: a stream differs or failed; else ``NOT_VERIFIED`` if a stream could not be compared, or there is none."""
    if any(result.status in ("different", "failed") for result in results):
        return 1
    return 0 if results and all(result.status == "verified" for result in results) else NOT_VERIFIED
