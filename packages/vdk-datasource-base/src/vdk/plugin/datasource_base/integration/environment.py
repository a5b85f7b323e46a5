"""A VDK job as the surroundings of a run: its ingestion methods, properties, secrets and keys."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdk.api.plugin.plugin_input import IIngesterPlugin
from vdk.internal.builtin_plugins.run.job_context import JobContext
from vdk.internal.core import errors
from vdk.internal.core.errors import ResolvableBy
from vdk.internal.core.statestore import CommonStoreKeys
from vdk.internal.util.utils import parse_config_sequence

from ..contract import ConfigurationError, Duration, FlowFailedError
from ..parts import Destination, Registry
from ..parts.flow_file import DestinationEntry
from ..parts.local_state import LocalFileStore, StateStore
from ..parts.redact import Redactor
from ..parts.references import environment
from ..runtime import Environment, RunSummary, execute
from ..runtime.retry import RETRYABLE_ERRORS
from ..runtime.signals import is_interactive
from .config_keys import INGEST_ROWS, STATE_FOLDER, options_from
from .hooks import with_plugins
from .ingestion import IngestionPluginDestination, RecordingIngester, RecordingProperties
from .properties_state import PropertiesStore


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


log = logging.getLogger(__name__)


def run_in_job(
    job_input: Any,
    flow: str | Path | Mapping[str, Any],
    *,
    summary: Path | None = None,
    on_summary: Callable[[RunSummary], None] | None = None,
    draw: bool | None = None,
    follow: Duration | None = None,
) -> RunSummary:
    """Run flows inside a VDK job; errors are classified the way VDK reports them.

    :param on_summary: gets the summary however the run ends; default: it is logged.
    :param draw: whether running streams are drawn; default: where standard error is a terminal.
    :param follow: every flow follows its source; default: as the flows say.
    """
    surroundings = environment_of(job_input)
    surroundings.draw, surroundings.follow = draw, follow
    surroundings.on_summary = on_summary or surroundings.on_summary
    try:
        return execute(flow, surroundings, summary=summary)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # click makes a KeyboardInterrupt an "Aborted!" with exit code 1
    except Exception as error:
        errors.report(_resolvable_by(error), error)
        raise


def environment_of(job_input: Any) -> JobEnvironment:
    """What surrounds a run in a job. Raises ``ConfigurationError`` for a ``job_input`` that VDK did not make."""
    job = job_of(job_input)
    if job is None:
        raise ConfigurationError(
            "this job_input belongs to no job that vdk-datasource-base knows: pass the one VDK gave to the "
            "step, or None outside VDK"
        )
    context = job.context
    made = JobEnvironment(
        registry=registry_of(context.core_context.plugin_registry),
        lookups={
            "env": environment,
            "secret": context.job_input.get_secret,
            "property": context.job_input.get_property,
        },
        options=options_from(context.core_context.configuration),
        job=job,
    )
    run_id = context.core_context.state.get(CommonStoreKeys.ATTEMPT_ID)
    made.run_id = run_id or made.run_id
    made.ends_with_run = not is_interactive()
    return made


def registry_of(plugin_registry: Any) -> Registry:
    """The installed sources and destinations, and those that VDK's plugins add."""
    return with_plugins(Registry(), plugin_registry)


@dataclass(slots=True)
class JobEnvironment(Environment):
    """Adds the job's ingestion plugins to the destinations."""

    job: Job | None = None

    def destination(self, entry: DestinationEntry, *, folder: Path, where: str) -> Destination:
        assert self.job is not None  # environment_of sets it
        configuration = self.job.context.core_context.configuration
        method = entry.method or configuration.get_value("INGEST_METHOD_DEFAULT")
        target = entry.target or configuration.get_value("INGEST_TARGET_DEFAULT")
        if method is None:
            names = {*(destination.name for destination in self.registry.destinations()), *self.job.ingester.factories}
            lines = " or ".join(f'method = "{name}"' for name in sorted(names))
            raise ConfigurationError(
                f"{where}: the option 'method' is missing, and INGEST_METHOD_DEFAULT is not set; write {lines}"
            )
        native = self.registry.destination(method)
        if native is not None:
            return self._native(native, target, folder, where)
        if method.lower() not in self.job.ingester.factories:
            raise self.unknown_method(method, where, sorted(self.job.ingester.factories))
        return self._ingestion_plugin(method.lower(), target, folder, where)

    def _ingestion_plugin(self, method: str, target: str | None, folder: Path, where: str) -> Destination:
        assert self.job is not None
        configuration = self.job.context.core_context.configuration
        name = Redactor()(f"{method} {target or ''}".strip())
        sequences = [
            [self._made(one.lower(), where) for one in parse_config_sequence(configuration, key=key, sep=",")]
            for key in ("INGEST_PAYLOAD_PREPROCESS_SEQUENCE", "INGEST_PAYLOAD_POSTPROCESS_SEQUENCE")
        ]
        operation: Any = self.job.context.core_context.state.get(CommonStoreKeys.OP_ID)
        return IngestionPluginDestination(
            target,
            folder=folder,
            name=name,
            method=method,
            plugin=self._made(method, where),
            before=sequences[0],
            after=sequences[1],
            store=self._store(name, folder),
            collection_id=f"{self.job.context.name}|{operation}",
            rows=int(configuration.get_value(INGEST_ROWS) or 1000),
        )

    def _made(self, method: str, where: str) -> IIngesterPlugin:
        assert self.job is not None
        factory = self.job.ingester.factories.get(method)
        if factory is None:
            raise self.unknown_method(method, where, sorted(self.job.ingester.factories))
        made: IIngesterPlugin = factory()
        return made

    def _store(self, destination: str, folder: Path) -> StateStore:
        """The job's properties where they outlive the run, else a file."""
        assert self.job is not None
        context = self.job.context
        configuration = context.core_context.configuration
        if self.job.properties.persistent(configuration.get_value("PROPERTIES_DEFAULT_TYPE")):
            return PropertiesStore(
                context.job_input.get_all_properties, context.job_input.set_all_properties, destination
            )
        said = configuration.get_value(STATE_FOLDER)
        path = (Path(said) if said else folder / ".vdk-datasource-state") / f"{context.name}.json"
        log.info("The states of %r are kept in %s: this job has no persistent properties", destination, path)
        return LocalFileStore(path, destination)


def _resolvable_by(error: BaseException) -> ResolvableBy:
    """Who can mend an error: the user what is configured or in the data, the platform what is away."""
    causes = list(_causes(error))
    if causes and all(isinstance(cause, RETRYABLE_ERRORS) for cause in causes):
        return ResolvableBy.PLATFORM_ERROR
    return ResolvableBy.USER_ERROR


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What made a run fail, however deep: an error that showed a secret is wrapped in one that does not."""
    if isinstance(error, FlowFailedError):
        for one in error.errors:
            yield from _causes(one)
    else:
        yield error
