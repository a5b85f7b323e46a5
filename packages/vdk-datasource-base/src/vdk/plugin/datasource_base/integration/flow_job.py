"""A flow file as a job of one step: ``vdk datasource run`` and its like."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
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
class SingleFlow:
    """The flow file that a command was given, and what to do with it, as the only step of a job."""

    path: Path
    work: Callable[[IJobInput], object]


SINGLE_FLOW: StoreKey[SingleFlow | None] = StoreKey("vdk.datasource.single_flow")


def add_flow_steps(context: JobContext) -> None:
    """Add a step for every flow file of the job's folder, sorted among the others by name."""
    builder = context.step_builder
    single = context.core_context.state.get(SINGLE_FLOW)
    if single is not None:
        builder.add_step(Step(single.path.name, TYPE_INGEST, _run_single, single.path, single.path.parent))
        return
    folder: Path | None = context.job_directory  # None for a job without one, whatever its annotation says
    if folder is None:
        return
    paths = [path for path in folder.iterdir() if path.name.lower().endswith(SUFFIX)]
    for path in paths:
        builder.add_step(Step(path.name, TYPE_INGEST, _run_step, path, folder))
    if paths:
        builder.get_steps().sort(key=lambda step: step.name)


def _run_step(step: Step, job_input: IJobInput) -> bool:
    from .environment import run_in_job

    run_in_job(job_input, step.file_path)
    return True


def _run_single(step: Step, job_input: IJobInput) -> bool:
    from .environment import job_of

    job = job_of(job_input)
    single = job.context.core_context.state.get(SINGLE_FLOW) if job is not None else None
    assert single is not None  # this step was added for it
    single.work(job_input)
    return True


T = TypeVar("T")


def run_single(context: CoreContext, path: Path, work: Callable[[IJobInput], object]) -> None:
    """Do ``work`` in VDK's own job cycle, so that properties, secrets and ingestion methods are there."""
    context.state.set(SINGLE_FLOW, SingleFlow(path, work))
    CliRunImpl(_FlowJobFactory(_job_name(path))).create_and_run_data_job(context, path.parent, None)


def in_job(context: CoreContext, path: Path, work: Callable[[Environment], T]) -> T:
    """What ``work`` returns, done with the surroundings that a run of the file would have.

    Its errors do not pass through the job, which would take them for those of a run.
    """
    from .environment import environment_of

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
