# SPDX-License-Identifier: Apache-2.0
"""One sync: the base's runtime reads in a thread of its own, and the request's thread sends the messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from cloudquery.plugin_v3 import plugin_pb2 as pb

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError, FlowFailedError
from vdk.plugin.datasource_base.parts import StoredState
from vdk.plugin.datasource_base.runtime import HandoverEnvironment, Options, Outbox, RunSummary, execute

from ..source.session import Catalog, CatalogStream, Session, landing_schema
from ..tables.names import fold_name
from ..tables.table import Table
from .sink import CloudQuerySink
from .state_backend import StateBackend
from .streams import Selection, Shard, SyncSource

_STOPPED = "the sync was stopped before its end"
MAX_WAITING = 8
"""Messages that wait to be sent: at most 24 MB."""


class Sync:
    """The messages of one sync request."""

    def __init__(self, session: Session, request: Any, options: Options | None = None) -> None:
        self._session = session
        self._request = request
        # the longer rows wait for a state, the more of what fails can be read again
        self._options = options or Options(batch_seconds=300.0)
        self._outbox = Outbox(MAX_WAITING, cancelled="the sync was ended by the command that asked for it")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._summary: RunSummary | None = None
        self._catalog = Catalog()
        self.error: BaseException | None = None

    def messages(self) -> Iterator[Any]:
        """The messages, as they are read. Afterwards ``error`` is what the sync failed with.

        Closing the iterator ends the reading.
        """
        self._thread.start()
        try:
            yield from self._outbox.messages()
            if self._stop.is_set():
                self._thread.join(self._options.stop_seconds)
                # a reader that hangs has no error yet, and what was sent is not all
                self.error = self.error or DataSourceError(_STOPPED)
            if self.error is not None and self._request.withErrorMessages:
                yield from self._error_messages()
        finally:
            self.stop()
            self._thread.join(self._options.stop_seconds)

    def stop(self) -> None:
        """End the reading at the next payload of each reader. Idempotent."""
        self._stop.set()
        self._outbox.cancel()

    def _run(self) -> None:
        try:
            self._sync()
        except BaseException as error:
            self.error = error
        finally:
            self._session.close()
            self._outbox.finish()

    def _sync(self) -> None:
        request, spec = self._request, self._session.spec
        name = spec.name
        backend = self._backend()
        stored: Sequence[StoredState] = ()
        if backend is not None:
            stored = backend.load(name, self._session.source.identity())
        with_checkpoints = backend is not None and request.supports_checkpoints
        sink = CloudQuerySink(
            self._outbox,
            stored=stored,
            describe=self._describe,
            deletes=spec.options.deletes == "record",
            deterministic=request.deterministic_cq_id,
            checkpoint=backend.checkpoint if backend is not None and with_checkpoints else None,
        )

        chosen: list[CatalogStream] = []

        def announce(selected: Sequence[CatalogStream]) -> None:
            chosen.extend(selected)
            for each in selected:
                if each.error is None and each.table.complete:
                    sink.announce(self._flagged(each.table))

        environment = HandoverEnvironment(
            options=self._options,
            stop=self._stop,
            draw=False,
            on_summary=self._keep,
            lookups=spec.options.lookups(),
            one_stream=True,  # a sync may read some tables: the catalog looks for names that no column has
        )
        environment.sink = sink
        environment.source = SyncSource(self._session, self._selection(), announce)
        execute(_flow(name, spec.options.of_flow(), upsert=sink.deletes), environment)
        if self._stop.is_set():
            raise DataSourceError(_STOPPED)
        for each in chosen:
            sink.announce_empty(each.stream.name, self._flagged(each.table))
        if backend is not None and not with_checkpoints and self._outbox.wait_until_sent():
            backend.store([sink.states[key] for key in sorted(sink.changed, key=str)])

    def _keep(self, summary: RunSummary) -> None:
        self._summary = summary

    def _backend(self) -> StateBackend | None:
        backend = self._request.backend
        if not backend.table_name:
            return None
        if not backend.connection:
            raise ConfigurationError(
                'backend_options.connection is missing; write connection: "@@plugins.NAME.connection", with the name '
                "of a destination"
            )
        return StateBackend(backend.connection, backend.table_name)

    def _selection(self) -> Selection:
        request = self._request
        shard = request.shard

        def choose(catalog: Catalog) -> list[CatalogStream]:
            self._catalog = catalog
            return catalog.select(
                list(request.tables), list(request.skip_tables), skip_dependent=request.skip_dependent_tables
            )

        if shard.total > 1 and not 1 <= shard.num <= shard.total:
            raise ConfigurationError(f"--shard {shard.num}/{shard.total}: write a number from 1 to {shard.total}")
        return Selection(
            choose,
            skip_deletes=self._session.spec.options.deletes == "skip",
            shard=Shard(shard.num, shard.total) if shard.total > 1 else None,
        )

    def _describe(self, stream: str, table: str) -> Table:
        """The table that a stream's rows name, which only the stream knows, or its own."""
        served = next(each for each in self._catalog.streams if each.stream.name == stream)
        if table == stream:
            return self._flagged(served.table)
        schema = landing_schema(served.stream, served.stream.schema(table), self._session.spec.policy)
        routed = Table.of(table, schema, incremental=served.table.incremental)
        return self._flagged(routed)

    def _flagged(self, table: Table) -> Table:
        """The table as this sync reads it: without a backend for states every table is read whole."""
        return table.read_whole() if not self._request.backend.table_name else table

    def _error_messages(self) -> Iterator[Any]:
        redact = self._session.spec.redact
        failed = [stream for stream in self._summary.streams if stream.error] if self._summary is not None else []
        for stream in failed:
            message = pb.Sync.MessageError(table_name=fold_name(stream.stream), error=redact(stream.error or ""))
            yield pb.Sync.Response(error=message)


def _flow(source: str, options: dict[str, Any], *, upsert: bool) -> dict[str, Any]:
    """The flow that the runtime reads: every stream, appended unless deletes need keys."""
    entry = {"from": source, "to": "cloudquery", **options}
    if not upsert:
        entry["write_mode"] = "append"
    return {
        "sources": {source: {"name": source}},
        "destinations": {"cloudquery": {"method": "cloudquery"}},
        "flows": [entry],
    }


def failed_alone(error: BaseException) -> BaseException:
    """The error of the only stream that failed, or the error itself."""
    if isinstance(error, FlowFailedError) and len(error.errors) == 1:
        return error.errors[0]
    return error
