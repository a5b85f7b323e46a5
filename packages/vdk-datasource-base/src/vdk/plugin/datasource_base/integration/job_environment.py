# SPDX-License-Identifier: Apache-2.0
"""The environment of a run inside a VDK job: its ingestion plugins, properties, secrets and configuration."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdk.api.plugin.plugin_input import IIngesterPlugin
from vdk.internal.builtin_plugins.run.job_context import JobContext
from vdk.internal.core import errors
from vdk.internal.core.context import CoreContext
from vdk.internal.core.errors import ResolvableBy
from vdk.internal.core.statestore import CommonStoreKeys
from vdk.internal.util.utils import parse_config_sequence

from ..contract import ConfigurationError, Duration, FlowFailedError
from ..parts import Destination, Registry
from ..parts.flow.file import DestinationEntry
from ..parts.flow.overrides import Overrides
from ..parts.redact import Redactor
from ..parts.references import environment as environment_variable
from ..parts.states.local_store import LocalFileStore, StateStore
from ..runtime import Environment, RunSummary, execute
from ..runtime.report.planned import PlannedStream
from ..runtime.retry import RETRYABLE_ERRORS
from ..runtime.scope import RunScope
from ..runtime.signals import is_interactive
from .commands.output import overrides_of
from .config_keys import ENVIRONMENT, INGEST_ROWS, STATE_FOLDER, options_from
from .hooks import with_plugins
from .ingestion import IngesterProxy, IngestionPluginDestination, PropertiesProxy
from .properties_state_store import PropertiesStore


@dataclass(frozen=True)
class Job:
    """The context of a job, and what its plugins have registered."""

    context: JobContext
    ingester: IngesterProxy
    properties: PropertiesProxy


# A step gets its job_input only, which is the key to its job. Weak, so that a job can be collected.
_JOBS: weakref.WeakKeyDictionary[Any, Job] = weakref.WeakKeyDictionary()


def register_job(job: Job) -> None:
    _JOBS[job.context.job_input] = job


log = logging.getLogger(__name__)


def run_in_job(
    job_input: Any,
    flow: str | Path | Mapping[str, Any],
    *,
    summary: Path | None = None,
    on_summary: Callable[[RunSummary], None] | None = None,
    draw: bool | None = None,
    follow: Duration | None = None,
    streams: Sequence[str] = (),
    report: Path | None = None,
    openlineage: Path | None = None,
    on_planned: Callable[[Sequence[PlannedStream]], None] | None = None,
    scope: RunScope | None = None,
) -> RunSummary:
    """Run a flow file inside a VDK job. VDK learns who can resolve an error: the user or the platform.

    :param on_summary: gets the summary, whether the run succeeds or not; default: it is logged.
    :param draw: whether running streams are drawn; default: if standard error is a terminal.
    :param follow: every flow follows its source, and is read again after this time; default: as the flows specify.
    :param streams: names or patterns of the streams that are read, as ``orders`` or ``shop.orders``; none: all.
    :param report: the file that gets a report as HTML. :param openlineage: the file that events are appended to.
    :param on_planned: gets the streams of each flow before any row is read.
    :param scope: what is read of them; default: what is new.
    """
    environment = environment_of(job_input)
    environment.streams = tuple(streams)
    environment.scope = scope or environment.scope
    environment.draw, environment.follow = draw, follow
    environment.report, environment.openlineage = report, openlineage
    environment.on_summary = on_summary or environment.on_summary
    environment.on_planned = on_planned or environment.on_planned
    try:
        return execute(flow, environment, summary=summary)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # click makes a KeyboardInterrupt an "Aborted!" with exit code 1
    except Exception as error:
        errors.report(_resolvable_by(error), error)
        raise


def environment_of(job_input: Any) -> JobEnvironment:
    """The environment of a run in a job. Raises ``ConfigurationError`` for a ``job_input`` that VDK did not create."""
    try:
        job = _JOBS.get(job_input)
    except TypeError:  # an object without weak references was never registered
        job = None
    if job is None:
        raise ConfigurationError(
            "this job_input is not one of a running VDK job; pass the one that VDK passes to the step, as "
            "run_flows(job_input, …), or run_flows(None, …) outside VDK"
        )
    context = job.context
    environment = JobEnvironment(
        registry=with_plugins(Registry(), context.core_context.plugin_registry),
        lookups={
            "env": environment_variable,
            "secret": context.job_input.get_secret,
            "property": context.job_input.get_property,
        },
        options=options_from(context.core_context.configuration),
        job=job,
    )
    run_id = context.core_context.state.get(CommonStoreKeys.ATTEMPT_ID)
    environment.run_id = run_id or environment.run_id
    environment.ends_with_run = not is_interactive()
    environment.overrides = _overrides_of(context.core_context)
    return environment


def _overrides_of(context: CoreContext) -> Overrides:
    """What the command line changes of the flow file; the environment may come from VDK's configuration."""
    changes = overrides_of(context)
    name = changes.get("environment") or context.configuration.get_value(ENVIRONMENT) or None
    return Overrides(name, tuple(changes.get("values", ())))


@dataclass(slots=True)
class JobEnvironment(Environment):
    """Adds the job's ingestion plugins to the destinations."""

    job: Job | None = None

    def _destination(self, entry: DestinationEntry, folder: Path, location: str) -> Destination:
        assert self.job is not None  # environment_of sets it
        configuration = self.job.context.core_context.configuration
        method = entry.method or configuration.get_value("INGEST_METHOD_DEFAULT")
        target = entry.target or configuration.get_value("INGEST_TARGET_DEFAULT")
        if method is None:
            raise ConfigurationError(
                f"{location}: the option 'method' is missing, and INGEST_METHOD_DEFAULT is not set; write "
                f"{self._method_lines(self.job.ingester.factories)}"
            )
        cls = self.registry.destination(method)
        if cls is not None:
            return self._create(cls, target, folder, location)
        return self._ingestion_plugin(method, target, folder, location)

    def _ingestion_plugin(self, method: str, target: str | None, folder: Path, location: str) -> Destination:
        assert self.job is not None
        configuration = self.job.context.core_context.configuration
        plugin = self._create_plugin(method, location)
        method = method.lower()
        name = Redactor()(f"{method} {target or ''}".strip())
        preprocessors, postprocessors = (
            [self._create_plugin(item, location) for item in parse_config_sequence(configuration, key=key, sep=",")]
            for key in ("INGEST_PAYLOAD_PREPROCESS_SEQUENCE", "INGEST_PAYLOAD_POSTPROCESS_SEQUENCE")
        )
        operation: Any = self.job.context.core_context.state.get(CommonStoreKeys.OP_ID)
        return IngestionPluginDestination(
            target,
            folder=folder,
            name=name,
            method=method,
            plugin=plugin,
            preprocessors=preprocessors,
            postprocessors=postprocessors,
            store=self._store(name, folder),
            collection_id=f"{self.job.context.name}|{operation}",
            rows=int(configuration.get_value(INGEST_ROWS) or 1000),
        )

    def _create_plugin(self, method: str, location: str) -> IIngesterPlugin:
        assert self.job is not None
        factory = self.job.ingester.factories.get(method.lower())
        if factory is None:
            raise self._unknown_method(method, location, self.job.ingester.factories)
        plugin: IIngesterPlugin = factory()
        return plugin

    def _store(self, destination: str, folder: Path) -> StateStore:
        """A store in the job's properties if they outlive the run, else in a file."""
        assert self.job is not None
        context = self.job.context
        configuration = context.core_context.configuration
        if self.job.properties.persistent(configuration.get_value("PROPERTIES_DEFAULT_TYPE")):
            return PropertiesStore(
                context.job_input.get_all_properties, context.job_input.set_all_properties, destination
            )
        state_folder = configuration.get_value(STATE_FOLDER)
        path = (Path(state_folder) if state_folder else folder / ".vdk-datasource-state") / f"{context.name}.json"
        log.info("the states of %r are stored in %s, since this job lacks persistent properties", destination, path)
        return LocalFileStore(path, destination)


def _resolvable_by(error: BaseException) -> ResolvableBy:
    """Who can resolve an error: the platform if a system is unreachable, the user otherwise."""
    causes = list(_causes(error))
    if causes and all(isinstance(cause, RETRYABLE_ERRORS) for cause in causes):
        return ResolvableBy.PLATFORM_ERROR
    return ResolvableBy.USER_ERROR


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors that made a run fail, unwrapped: an error that shows a secret is wrapped in one that does not."""
    if isinstance(error, FlowFailedError):
        for cause in error.errors:
            yield from _causes(cause)
    else:
        yield error
