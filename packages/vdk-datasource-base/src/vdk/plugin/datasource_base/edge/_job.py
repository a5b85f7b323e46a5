"""Which VDK job a ``job_input`` belongs to."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from vdk.internal.builtin_plugins.run.job_context import JobContext

from ._recording import RecordingIngester, RecordingProperties


@dataclass(frozen=True)
class Job:
    """What a run needs of a job: its context, and what its plugins registered."""

    context: JobContext
    ingester: RecordingIngester
    properties: RecordingProperties


# A step is given its job_input and nothing else, so the job is found by it; weakly, so that it ends.
_JOBS: weakref.WeakKeyDictionary[Any, Job] = weakref.WeakKeyDictionary()


def remember(job: Job) -> None:
    _JOBS[job.context.job_input] = job


def job_of(job_input: Any) -> Job | None:
    try:
        return _JOBS.get(job_input)
    except TypeError:  # what cannot be referred to weakly was never remembered
        return None
