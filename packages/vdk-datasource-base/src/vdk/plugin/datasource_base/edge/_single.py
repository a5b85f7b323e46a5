"""A flow file as a job of one step: ``vdk datasource run`` and its like."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vdk.api.job_input import IJobInput
from vdk.internal.builtin_plugins.run.cli_run import CliRunImpl
from vdk.internal.builtin_plugins.run.data_job import DataJob, DataJobFactory
from vdk.internal.core.context import CoreContext

from ._steps import SINGLE_FLOW, SUFFIX, SingleFlow

if TYPE_CHECKING:
    from ..runtime import Environment

T = TypeVar("T")


def run_single(context: CoreContext, path: Path, work: Callable[[IJobInput], object]) -> None:
    """Do ``work`` in VDK's own job cycle, so that properties, secrets and ingestion methods are there."""
    context.state.set(SINGLE_FLOW, SingleFlow(path, work))
    CliRunImpl(_FlowJobFactory(_job_name(path))).create_and_run_data_job(context, path.parent, None)


def in_job(context: CoreContext, path: Path, work: Callable[[Environment], T]) -> T:
    """What ``work`` returns, done with the surroundings that a run of the file would have.

    Its errors do not pass through the job, which would take them for those of a run.
    """
    from ._environment import environment_of

    done: list[T] = []
    failed: list[Exception] = []

    def step(job_input: IJobInput) -> None:
        try:
            done.append(work(environment_of(job_input)))
        except Exception as error:
            failed.append(error)

    run_single(context, path, step)
    for error in failed:
        raise error
    return done[0]


class _FlowJobFactory(DataJobFactory):
    """Makes a job without a folder: the other files beside the flow file are no steps of it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def new_datajob(  # type: ignore[override]  # upstream's is a static method, called on an instance
        self, data_job_directory: Path | None, core_context: CoreContext, name: str | None = None
    ) -> DataJob:
        return DataJobFactory.new_datajob(None, core_context, self._name)


def _job_name(path: Path) -> str:
    """The file's ``name``, else its stem; what is wrong in the file is told when it is run."""
    try:
        said: Any = tomllib.loads(path.read_text("utf-8")).get("name")
    except (OSError, ValueError, RecursionError):
        said = None
    return said if isinstance(said, str) and said else path.name.removesuffix(".toml").removesuffix(SUFFIX[:7])
