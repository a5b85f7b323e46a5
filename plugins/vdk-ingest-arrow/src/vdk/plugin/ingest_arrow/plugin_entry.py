"""What VDK loads on every command: light, so that ``vdk --help`` stays quick."""

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
    """Offer the ingestion method ``arrow``."""
    made: list[ArrowIngester] = []

    def factory() -> ArrowIngester:
        from .ingester import ArrowIngester

        made.append(ArrowIngester())
        return made[-1]

    context.ingester.add_ingester_factory_method(METHOD, factory)
    context.core_context.state.set(_made_for(context), made)


@hookimpl(hookwrapper=True, tryfirst=True)
def finalize_job(context: JobContext) -> Iterator[None]:
    """Close the databases after VDK has drained its ingestion queues, also where that failed."""
    yield
    for ingester in context.core_context.state.get(_made_for(context)) or ():
        ingester.close()


def _made_for(context: JobContext) -> StoreKey[list[ArrowIngester]]:
    # VDK may make several ingesters for a job, and run a job within a job (a template) on one state store.
    return StoreKey(f"vdk-ingest-arrow.{id(context)}")
