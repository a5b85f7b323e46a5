"""``run_flows``, the function that runs flows, with VDK or without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .runtime import Environment, RunSummary, execute

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput


def run_flows(job_input: IJobInput | None, flow: str | Path | Mapping[str, Any]) -> RunSummary:
    """Run a flow file, or the same as a dict, until every stream has ended.

    :param job_input: the argument of a VDK step: the ingestion methods, properties and secrets of its job are
        used. None: plain Python, with the registered destinations only.
    :param flow: the path of a TOML file, or its content; see ``docs/configuration.md``.
    :returns: the result of each stream.
    :raises ConfigurationError: before any connection is opened.
    :raises FlowFailedError: if one or more streams failed, after the others have ended.
    """
    if job_input is None:
        return execute(flow, Environment())
    from .integration.environment import run_in_job  # vdk-core is imported inside VDK only

    return run_in_job(job_input, flow)
