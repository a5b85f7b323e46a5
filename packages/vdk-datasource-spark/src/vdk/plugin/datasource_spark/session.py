# SPDX-License-Identifier: Apache-2.0
"""A stream of a connected source. Spark plans in processes that end: each connects, looks and disconnects."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from vdk.plugin.datasource_base.contract import (
    ConfigurationError,
    DataSource,
    DataSourceState,
    DataSourceStream,
    State,
    StreamSchema,
)
from vdk.plugin.datasource_base.parts import did_you_mean
from vdk.plugin.datasource_base.runtime import ConfiguredSource, Options, Retry, redacted_errors

from .options import ReadOptions, named_policy

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """A connected source, and the stream that is read."""

    options: ReadOptions
    configured: ConfiguredSource
    stream: DataSourceStream

    @property
    def source(self) -> DataSource[Any]:
        return self.configured.source

    def retried(self, work: Callable[[], T]) -> T:
        """What the work returns; it is called again while a system is unreachable, as in a flow."""
        return _retried(work, self.configured, self.options)

    def schemas(self) -> dict[str | None, StreamSchema | None]:
        """The schemas that a task needs: that of the stream's own table (None), and that of the chosen one."""
        stream, table = self.stream, self.options.table
        schemas: dict[str | None, StreamSchema | None] = {None: self.retried(stream.schema)}
        if table is not None and table != stream.name:
            schemas[table] = self.retried(lambda: stream.schema(table))
        for schema in schemas.values():
            self.landing(schema)
        return schemas

    def landing(self, schema: StreamSchema | None) -> StreamSchema | None:
        """What the policy leaves of a schema. Raises ``ConfigurationError`` for a cursor or a key that is not left."""
        policy = self.options.column_policy()
        if policy is None:
            return schema
        with named_policy():
            return policy.of_stream(self.stream.name).schema(schema, state_columns=self.stream.state_columns)


@contextmanager
def connected(options: ReadOptions, folder: str, states: Mapping[str, State] | None = None) -> Iterator[Session]:
    """The source, connected, and disconnected in the end. Errors and log lines have no secrets.

    :param folder: the base of relative paths. :param states: those of the stream's partitions.
    """
    configured = options.configured(folder)
    with redacted_errors(configured.redact):
        source = configured.source
        try:
            state = DataSourceState({options.stream: dict(states)} if states else None)
            _retried(lambda: source.connect(state), configured, options)
            yield Session(options, configured, _stream_of(source, options))
        finally:
            try:
                source.disconnect()
            except Exception as error:  # what came before says more
                log.warning("the source could not be disconnected: %s", error)


def _retried(work: Callable[[], T], configured: ConfiguredSource, options: ReadOptions) -> T:
    retry = Retry.of(Options())
    if options.retry_for is not None:
        retry.seconds = options.retry_for.total_seconds()
    return retry.call(work, what=f"stream {options.stream!r}", stop=threading.Event(), redact=configured.redact)


def _stream_of(source: DataSource[Any], options: ReadOptions) -> DataSourceStream:
    streams = {stream.name: stream for stream in source.streams()}
    stream = streams.get(options.stream)
    if stream is None:
        names = ", ".join(map(repr, sorted(streams))) or "none"
        hint = did_you_mean(options.stream, streams) or f"its streams are {names}"
        raise ConfigurationError(f"option stream: source {options.source!r} has no stream {options.stream!r}; {hint}")
    if options.since is not None or options.until is not None:
        return stream.between(options.since, options.until)
    return stream
