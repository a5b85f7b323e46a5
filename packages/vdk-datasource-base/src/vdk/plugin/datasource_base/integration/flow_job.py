# SPDX-License-Identifier: Apache-2.0
"""Flow files as steps of a VDK job, and one flow file as a job of its own (``vdk datasource run``)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vdk.api.job_input import IJobInput
from vdk.internal.builtin_plugins.run.cli_run import CliRunImpl
from vdk.internal.builtin_plugins.run.data_job import DataJob, DataJobFactory
from vdk.internal.builtin_plugins.run.job_context import JobContext
from vdk.internal.builtin_plugins.run.step import Step
from vdk.internal.core.context import CoreContext
from vdk.internal.core.statestore import StoreKey

if TYPE_CHECKING:
    from ..runtime import Environment

SUFFIX = ".ingest.toml"
TYPE_INGEST = "ingest"


@dataclass(frozen=True)
class FlowJob:
    """The flow file of a command, and what to do with it, as the only step of a job."""

    path: Path
    work: Callable[[IJobInput], object]

    def run_step(self, step: Step, job_input: IJobInput) -> bool:
        self.work(job_input)
        return True


FLOW_JOB: StoreKey[FlowJob | None] = StoreKey("vdk.datasource.flow_job")


def add_flow_steps(context: JobContext) -> None:
    """Add a step for every flow file of the job's folder, and sort all steps by name."""
    builder = context.step_builder
    flow_job = context.core_context.state.get(FLOW_JOB)
    if flow_job is not None:
        builder.add_step(Step(flow_job.path.name, TYPE_INGEST, flow_job.run_step, flow_job.path, flow_job.path.parent))
        return
    folder: Path | None = context.job_directory  # None for a job without a folder, despite its annotation
    if folder is None:
        return
    paths = [path for path in folder.iterdir() if path.name.lower().endswith(SUFFIX)]
    for path in paths:
        builder.add_step(Step(path.name, TYPE_INGEST, _run_flow, path, folder))
    if paths:
        builder.get_steps().sort(key=lambda step: step.name)


def _run_flow(step: Step, job_input: IJobInput) -> bool:
    from .job_environment import run_in_job

    run_in_job(job_input, step.file_path)
    return True


T = TypeVar("T")


def run_flow_job(context: CoreContext, path: Path, work: Callable[[IJobInput], object]) -> None:
    """Do ``work`` in VDK's job cycle, so that properties, secrets and ingestion methods are available."""
    context.state.set(FLOW_JOB, FlowJob(path, work))
    CliRunImpl(_FlowJobFactory(_job_name(path))).create_and_run_data_job(context, path.parent, None)


def call_in_job(context: CoreContext, path: Path, work: Callable[[Environment], T]) -> T:
    """Return what ``work`` returns when it gets the environment that a run of the file has.

    Its errors are raised here rather than in the job, which would report them as errors of a run.
    """
    from .job_environment import environment_of

    outcome: Future[T] = Future()

    def step(job_input: IJobInput) -> None:
        try:
            outcome.set_result(work(environment_of(job_input)))
        except Exception as error:
            outcome.set_exception(error)

    run_flow_job(context, path, step)
    return outcome.result(timeout=0)


class _FlowJobFactory(DataJobFactory):
    """Creates a job without a folder: other files beside the flow file are not its steps."""

    def __init__(self, name: str) -> None:
        self._name = name

    def new_datajob(  # type: ignore[override]  # upstream's is a static method, called on an instance
        self, data_job_directory: Path | None, core_context: CoreContext, name: str | None = None
    ) -> DataJob:
        return DataJobFactory.new_datajob(None, core_context, self._name)


def _job_name(path: Path) -> str:
    """The file's ``name``, else its stem. An invalid file is reported when it is run."""
    try:
        name: Any = tomllib.loads(path.read_text("utf-8")).get("name")
    except (OSError, ValueError, RecursionError):
        name = None
    return name if isinstance(name, str) and name else path.name.removesuffix(".toml").removesuffix(SUFFIX[:7])
