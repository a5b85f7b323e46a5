# SPDX-License-Identifier: Apache-2.0
"""The plugin's hooks. VDK imports this on every command, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vdk.api.plugin.hook_markers import hookimpl
from vdk.internal.builtin_plugins.run.job_context import JobContext
from vdk.internal.core.statestore import StoreKey

if TYPE_CHECKING:
    from .ingester import ArrowIngester

METHOD = "arrow"


@hookimpl
def initialize_job(context: JobContext) -> None:
    """Register the ingestion method ``arrow``."""
    ingesters: list[ArrowIngester] = []

    def factory() -> ArrowIngester:
        from .ingester import ArrowIngester

        ingesters.append(ArrowIngester())
        return ingesters[-1]

    context.ingester.add_ingester_factory_method(METHOD, factory)
    context.core_context.state.set(_ingesters_key(context), ingesters)


@hookimpl(hookwrapper=True, tryfirst=True)
def finalize_job(context: JobContext) -> Iterator[None]:
    """Close the databases after VDK has drained its ingestion queues, also where that failed."""
    yield
    for ingester in context.core_context.state.get(_ingesters_key(context)) or ():
        ingester.close()


def _ingesters_key(context: JobContext) -> StoreKey[list[ArrowIngester]]:
    # VDK may make several ingesters for a job, and run a job within a job (a template) on one state store.
    return StoreKey(f"vdk-ingest-arrow.{id(context)}")
