# SPDX-License-Identifier: Apache-2.0
"""The VDK ingestion method ``arrow`` for ordinary jobs: lists of dicts, appended."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vdk.api.plugin.plugin_input import IIngesterPlugin
from vdk.internal.core import errors

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import CommitUnit, Destination, StateKey, TableBatch, TableSpec, infer_table

from .targets import arrow_destination


class ArrowIngester(IIngesterPlugin):
    """Appends rows that a job sends. Their columns are those of all rows together, with the types of the values.

    VDK calls it from several threads; it lands one payload at a time. A database stays open until ``close``: opening it
    for every payload would take longer than landing the rows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._destinations: dict[str | None, Destination] = {}

    def ingest_payload(
        self,
        payload: Sequence[Mapping[str, Any]],
        destination_table: str | None,
        target: str | None = None,
        collection_id: str | None = None,
        metadata: IIngesterPlugin.IngestionMetadata | None = None,
    ) -> IIngesterPlugin.IngestionMetadata | None:
        """Append the rows in one transaction. When it returns they are in the database.

        :raises ConfigurationError: without a table or a usable target.
        :raises DestinationError: the database refuses the rows.
        :raises ConnectionFailedError: another process has locked the database.
        """
        try:
            if not destination_table:
                raise ConfigurationError(
                    "rows sent with method 'arrow' need a table: pass destination_table='things' when sending them"
                )
            with self._lock:
                self._append(self._opened(target), destination_table, payload, collection_id or "")
        except ConfigurationError as error:
            errors.report(errors.ResolvableBy.CONFIG_ERROR, error)
            raise
        return metadata

    def close(self) -> None:
        """Write everything into the files, and close them. Idempotent."""
        with self._lock:
            destinations, self._destinations = self._destinations, {}
            for destination in destinations.values():
                destination.close()

    def _opened(self, target: str | None) -> Destination:
        if target not in self._destinations:
            if not target:
                raise ConfigurationError(
                    "rows sent with method 'arrow' need a target: pass target='duckdb:///lake.duckdb' when sending "
                    "them, or set VDK_INGEST_TARGET_DEFAULT"
                )
            destination = arrow_destination(target, folder=Path.cwd())
            destination.open()
            self._destinations[target] = destination
        return self._destinations[target]

    @staticmethod
    def _append(destination: Destination, table: str, payload: Sequence[Mapping[str, Any]], collection_id: str) -> None:
        if not payload:
            return
        rows = TableBatch(TableSpec(table, "append"), "rows", infer_table(payload))
        # A key that no source has: these rows have no state.
        destination.commit(CommitUnit(StateKey("", "", "", "", table), [rows], None, 0, collection_id))
