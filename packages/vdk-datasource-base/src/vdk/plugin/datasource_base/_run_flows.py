"""The one function that runs flows, with VDK or without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .runtime import Environment, RunSummary, execute

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput


def run_flows(job_input: IJobInput | None, flow: str | Path | Mapping[str, Any]) -> RunSummary:
    """Run a flow file, or the same as a dict, and wait until every stream ended.

    :param job_input: what a VDK step gets: its job's ingestion methods, properties and secrets are
        used. None: plain Python, with the destinations that are registered as such.
    :param flow: the path of a TOML file, or its content; see ``docs/configuration.md``.
    :returns: what happened, stream by stream.
    :raises ConfigurationError: before anything is connected to.
    :raises FlowFailedError: when one or more streams failed, after the others ended.
    """
    if job_input is None:
        return execute(flow, Environment())
    from .integration.job_environment import run_in_job  # vdk-core is imported inside VDK only

    return run_in_job(job_input, flow)
