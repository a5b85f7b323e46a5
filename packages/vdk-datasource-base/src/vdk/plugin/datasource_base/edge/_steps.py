"""Flow files as steps of a job: ``20_orders.ingest.toml``, without any Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vdk.api.job_input import IJobInput
from vdk.internal.builtin_plugins.run.job_context import JobContext
from vdk.internal.builtin_plugins.run.step import Step
from vdk.internal.core.statestore import StoreKey

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
    from ._environment import run_in_job

    run_in_job(job_input, step.file_path)
    return True


def _run_single(step: Step, job_input: IJobInput) -> bool:
    from ._job import job_of

    job = job_of(job_input)
    single = job.context.core_context.state.get(SINGLE_FLOW) if job is not None else None
    assert single is not None  # this step was added for it
    single.work(job_input)
    return True
