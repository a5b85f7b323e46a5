# SPDX-License-Identifier: Apache-2.0
"""``run_flows``, which runs flows inside or outside VDK, and ``source_main``, the commands of one source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .runtime import Environment, RunSummary, execute

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput


def source_main(name: str) -> None:
    """Run the commands of an installed source: ``python -m vdk.plugin.source_<name> check --set …``.

    A plugin's ``__main__.py`` is this call alone. ``docs/commands.md`` describes the commands.

    :param name: what flow files call the source.
    """
    from .integration.source_commands import source_main as main  # imports vdk-core, which plain Python may lack

    main(name)


def run_flows(job_input: IJobInput | None, flow: str | Path | Mapping[str, Any]) -> RunSummary:
    """Run a flow file, or the same as a dict, and wait until every stream has ended.

    :param job_input: the argument of a VDK step, whose job provides ingestion methods, properties and secrets. None:
        plain Python, with the registered destinations only.
    :param flow: the path of a TOML file, or its content; see ``docs/configuration.md``.
    :returns: the summary, stream by stream.
    :raises ConfigurationError: if the file is wrong; no row has been read.
    :raises FlowFailedError: if a stream failed, after the others have ended.
    """
    if job_input is None:
        return execute(flow, Environment())
    from .integration.job_environment import run_in_job  # imports vdk-core, which plain Python may lack

    return run_in_job(job_input, flow)
