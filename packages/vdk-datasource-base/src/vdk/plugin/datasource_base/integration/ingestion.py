# SPDX-License-Identifier: Apache-2.0
"""Any VDK ingestion plugin as a destination, called directly, since only its return acknowledges delivery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..parts import CommitUnit, Destination, StateKey, StoredState, TableBatch, WriteMode
from ..parts.columns.rows import rows_of
from ..parts.states.local_store import StateStore


class IngestionPluginDestination(Destination):
    """Lands rows with ``ingest_payload``, and stores the state once it has returned.

    At least once: after a failure between the two, or inside a call, the rows since the last stored state land again.
    VDK's pre- and post-processors run as in VDK's own ingestion.

    :param method: under which the plugin is registered, in lower case. :param plugin: VDK's ``IIngesterPlugin``.
    :param preprocessors: in order. :param postprocessors: in order. :param rows: rows per call.
    """

    write_modes: frozenset[WriteMode] = frozenset({"append"})

    def __init__(
        self,
        target: str | None,
        *,
        folder: Path,
        name: str,
        method: str,
        plugin: Any,
        preprocessors: Sequence[Any],
        postprocessors: Sequence[Any],
        store: StateStore,
        collection_id: str,
        rows: int,
    ) -> None:
        super().__init__(target, folder=folder)
        self._name = name
        self._method = method
        self._plugin = plugin
        self._preprocessors = preprocessors
        self._postprocessors = postprocessors
        self._store = store
        self._collection_id = collection_id
        self._rows = rows

    def identity(self) -> str:
        return self._name

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return self._store.load(source_id)

    def commit(self, unit: CommitUnit) -> int:
        self._deliver(unit.batches)
        if unit.state is None:
            return unit.version
        return self._store.save(unit.key, unit.state, version=unit.version, run_id=unit.run_id)

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        """Delivers at once: an ingestion plugin cannot stage rows. A retry delivers them again."""
        self._deliver(batches)

    def discard(self, key: StateKey) -> None:
        """Does nothing: delivered rows cannot be taken back."""

    def _deliver(self, batches: Sequence[TableBatch]) -> None:
        for batch in batches:
            for start in range(0, batch.data.num_rows, self._rows):
                # new dicts for each call: some plugins change their payload
                self._send(rows_of(batch.data.slice(start, self._rows), text=True), batch.table.name)

    def _send(self, payload: list[dict[str, Any]], table: str) -> None:
        """Call the plugin and the processors around it, as VDK's poster thread does."""
        target, collection_id = self.target, self._collection_id
        metadata: Any = None
        for preprocessor in self._preprocessors:
            payload, metadata = preprocessor.pre_ingest_process(
                payload=payload,
                destination_table=table,
                target=target,
                collection_id=collection_id,
                metadata=metadata,
                method=self._method,
            )
        if metadata:
            changed = metadata.pop(self._plugin.UPDATED_DYNAMIC_PARAMS, None) or {}
            table = changed.get(self._plugin.DESTINATION_TABLE_KEY) or table
            target = changed.get(self._plugin.TARGET_KEY) or target
            collection_id = changed.get(self._plugin.COLLECTION_ID_KEY) or collection_id
        error: Exception | None = None
        try:
            metadata = self._plugin.ingest_payload(
                payload=payload,
                destination_table=table,
                target=target,
                collection_id=collection_id,
                metadata=metadata,
            )
        except Exception as failure:
            error = failure
        for postprocessor in self._postprocessors:
            metadata = postprocessor.post_ingest_process(
                payload=payload,
                destination_table=table,
                target=target,
                collection_id=collection_id,
                metadata=metadata,
                exception=error,
                method=self._method,
            )
        if error is not None:
            raise error


class IngesterProxy:
    """VDK's ingester; records the factories of ingestion plugins by method."""

    def __init__(self, ingester: Any) -> None:
        self._ingester = ingester
        self.factories: dict[str, Callable[[], Any]] = {}

    def add_ingester_factory_method(self, method: str, ingester_plugin: Callable[[], Any]) -> None:
        self.factories[method.lower()] = ingester_plugin
        self._ingester.add_ingester_factory_method(method=method, ingester_plugin=ingester_plugin)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ingester, name)


class PropertiesProxy:
    """VDK's properties; records the types of the registered backends."""

    def __init__(self, properties: Any) -> None:
        self._properties = properties
        self.types: list[str] = []

    def set_properties_factory_method(self, properties_type: str, properties_factory: Any) -> None:
        self.types.append(properties_type)
        self._properties.set_properties_factory_method(properties_type, properties_factory)

    def persistent(self, default_type: str | None) -> bool:
        """Whether properties outlive the run, unlike those of VDK's own "memory" backend."""
        if default_type:
            return default_type != "memory" and default_type in self.types
        return any(type_ != "memory" for type_ in self.types)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._properties, name)
