# SPDX-License-Identifier: Apache-2.0
"""``dlt_source``: one resource of dlt for each stream, whose states dlt keeps and commits with its load."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import dlt
import pyarrow as pa
from dlt.extract import DltResource, DltSource

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSource, DataSourceError, State, StateError
from vdk.plugin.datasource_base.parts import DELETED_AT, pc
from vdk.plugin.datasource_base.runtime import Catalog, CatalogStream, Environment, Remedies, state_document, states_of

from .columns import SEQUENCE, TableColumns, column_hints, declared_types, empty_tables

Deletes = Literal["delete", "skip", "fail"]
STATE = "vdk"
"""The key of a stream's document in the state of its resource."""
_FRESH = 'read from the beginning: pipeline.run(…, refresh="drop_resources")'
_REMEDIES = Remedies(
    tables='leave the stream out, as in dlt_source(…, streams=["!{stream}"]), or load it with `vdk datasource run`',
    deletes='write dlt_source(…, deletes="delete") to delete them, or deletes="skip" to keep them',
    keys='write dlt_source(…, deletes="skip") to keep the rows that the source has deleted',
    uncovered="nothing of this load is kept: run the pipeline again",
)
_DISPOSITIONS: Mapping[str, Literal["append", "merge", "replace"]] = {
    "append": "append",
    "upsert": "merge",
    "replace": "replace",
}


def dlt_source(
    source: str | Path | Mapping[str, Any] | DataSource[Any],
    streams: Sequence[str] = ("*",),
    *,
    name: str | None = None,
    deletes: Deletes = "delete",
    parallelized: bool = True,
) -> DltSource:
    """The streams of a flow file, a URL or a source as a source of dlt, with one resource for each.

    The streams are described now; rows are read when a pipeline runs. An incremental stream with a primary key is
    merged, one without a key is appended, and every other stream replaces its table.

    :param source: the path of a flow file, its content, a URL as of ``vdk datasource copy``, or a source that is not
        connected, such as ``SqliteSource(config)``.
    :param streams: names or patterns, as ``orders`` or ``shop.orders``; ``!pattern`` excludes.
    :param name: of dlt's source and schema, under which it keeps the states; default: that of the flow file or source.
    :param deletes: what becomes of rows that the source deleted: they are deleted, kept, or an error.
    :param parallelized: whether dlt reads several streams at a time; the partitions of one stream always are.
    :raises ConfigurationError: if the flow is wrong, or a stream cannot be read.
    """
    if deletes not in ("delete", "skip", "fail"):
        raise ConfigurationError(f'deletes: {deletes!r} is not one of "delete", "skip" and "fail"')
    catalog = Catalog(
        source,
        Environment(),
        streams=[each for each in streams if each != "*"],
        keeper="dlt",
        remedies=_REMEDIES,
        fold=str.casefold,
    )
    if catalog.errors:
        stream, error = next(iter(catalog.errors.items()))
        raise DataSourceError(f'stream {stream!r}: {error}; to load the others, write streams=["!{stream}"]')

    @dlt.source(name=name or _name_of(source, catalog), max_table_nesting=0)
    def streams_of_catalog() -> list[DltResource]:
        return [_resource(catalog, stream, deletes, parallelized=parallelized) for stream in catalog.streams]

    return streams_of_catalog()


def _name_of(source: Any, catalog: Catalog) -> str:
    """A name that dlt accepts for a schema."""
    ids = {stream.source_id for stream in catalog.streams}
    name = ids.pop() if len(ids) == 1 else Path(source).stem if isinstance(source, (str, Path)) else "vdk"
    folded = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return folded if folded[:1].isalpha() else f"vdk_{folded}"


def _resource(catalog: Catalog, stream: CatalogStream, deletes: Deletes, *, parallelized: bool) -> DltResource:
    merged = stream.write_mode == "upsert"
    columns = column_hints(declared_types(stream.columns))
    if merged:
        columns[SEQUENCE] = {"data_type": "bigint", "dedup_sort": "desc"}
        if deletes == "delete":
            columns[DELETED_AT] = {"data_type": "timestamp", "hard_delete": True}
    return dlt.resource(
        _rows_of(catalog, stream, deletes),
        name=stream.name,
        table_name=stream.table,
        write_disposition=_DISPOSITIONS[stream.write_mode],
        primary_key=stream.primary_key,
        columns=columns,
        parallelized=parallelized,
    )


def _rows_of(catalog: Catalog, stream: CatalogStream, deletes: Deletes) -> Callable[[], Iterator[Any]]:
    """What reads the stream. It is a closure: dlt takes the arguments of a resource for its configuration."""

    def rows() -> Iterator[Any]:
        stored = dlt.current.resource_state(stream.name)
        document = stored.get(STATE) or {}
        states = _states(document, stream) if stream.keeps_states else {}
        _remember_states(catalog, dlt.current.source_state().get("resources", {}))
        types = document.get("columns", {})
        loading = _Loading(stream, TableColumns(stream.name, types, stream.primary_key))
        with catalog.reader(stream, states, deletes="rows" if deletes == "delete" else deletes) as reader:
            for unit in reader.units():
                items = [loading.item(data) for _, data in unit.tables]
                if unit.states is not None and stream.keeps_states:
                    states = unit.states
                # before its last rows: dlt may ask for no further ones, and then stores both
                yield from items[:-1]
                stored[STATE] = {**state_document(states, stream.identity), "columns": loading.types}
                yield from items[-1:]
        if not loading.rows and not (types and stream.keeps_states):
            # the table is created, or emptied
            yield from empty_tables(stream.columns, stream.primary_key)

    return rows


def _states(document: Mapping[str, Any], stream: CatalogStream) -> dict[str, State]:
    return states_of(document, stream.identity, stream=stream.name, remedy=_FRESH)


def _remember_states(catalog: Catalog, resources: Mapping[str, Any]) -> None:
    """Let the source know the states of all its streams when it connects."""
    for stream in catalog.streams:
        try:
            states = _states(resources.get(stream.name, {}).get(STATE) or {}, stream)
        except StateError:  # the stream itself raises it, if it is read
            continue
        catalog.known_states[stream.name] = states


class _Loading:
    """The rows of one stream in one load."""

    def __init__(self, stream: CatalogStream, columns: TableColumns) -> None:
        self._stream = stream
        self._columns = columns
        self._hinted = column_hints(declared_types(stream.columns))
        self.rows = 0

    @property
    def types(self) -> dict[str, str]:
        return dict(self._columns.types)

    def item(self, data: pa.Table) -> Any:
        """The rows as dlt gets them, with hints for columns that it does not know yet."""
        fitted = self._columns.fit(data)
        if self._stream.write_mode == "upsert":
            ones = pa.repeat(pa.scalar(1, pa.int64()), data.num_rows)
            fitted = fitted.append_column(pa.field(SEQUENCE, pa.int64()), pc.cumulative_sum(ones, start=self.rows - 1))
        self.rows += data.num_rows
        hints = column_hints(self._columns.types)
        if hints == self._hinted:
            return fitted
        self._hinted = hints
        return dlt.mark.with_hints(fitted, dlt.mark.make_hints(columns=hints))
