# SPDX-License-Identifier: Apache-2.0
"""Deletes: records that say that they are deleted, and streams of the keys that are deleted or that are left.

Such a stream is read with the stream whose rows it deletes, in one partition and before its rows: a record that is
created again after its delete lands after it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from vdk.plugin.datasource_base.contract import DataSourceError, DataSourcePayload, StreamPartition

from .config import StreamConfig
from .http.types import Row
from .responses.extract import search

KEY_STREAMS = "key_streams"
"""The name in a state for the states of the streams of keys."""


def split_deleted(payload: DataSourcePayload, deleted: str, key: Sequence[str]) -> Iterator[DataSourcePayload]:
    """The records of a payload as rows and deletes, in their order; the last one has the state and the counters."""
    if payload.kind != "rows" or not isinstance(payload.data, list) or not payload.data:
        yield payload
        return
    runs = groupby(payload.data, lambda row: bool(search(deleted, row)))
    groups = [(is_deleted, list(rows)) for is_deleted, rows in runs]
    for number, (is_deleted, rows) in enumerate(groups):
        data = keys_of(rows, key) if is_deleted else rows
        part = DataSourcePayload(data, kind="deletes" if is_deleted else "rows")
        is_last = number == len(groups) - 1
        yield replace(part, state=payload.state, metadata=payload.metadata) if is_last else part


def keys_of(rows: Sequence[Row], key: Sequence[str]) -> list[Row]:
    """The primary keys of records."""
    return [{name: row.get(name) for name in key} for row in rows]


def read_keys(
    stream: StreamConfig, partition: StreamPartition, of: StreamConfig, state: Mapping[str, Any]
) -> Iterator[tuple[DataSourcePayload, Mapping[str, Any] | None]]:
    """The deletes of a stream of keys, each with its state after them or None.

    :param of: the stream whose rows are deleted.
    :param state: where the last run ended.
    """
    if stream.kind == "deletes":
        for payload in partition.read(state):
            rows = payload.data if isinstance(payload.data, list) else []
            yield DataSourcePayload(keys_of(rows, of.key()) or None, kind="deletes" if rows else "rows"), payload.state
        return
    if not _is_due(stream, state):
        return
    keys = [row for payload in partition.read({}) if isinstance(payload.data, list) for row in payload.data]
    if not keys:
        raise DataSourceError(
            f"stream {stream.name!r}: the list of all keys is empty, and every row of {of.name!r} would be deleted. If "
            f'that is right, empty the table by a run with write_mode = "replace"'
        )
    yield DataSourcePayload(keys_of(keys, of.key()), kind="keys"), {"at": dt.datetime.now(dt.UTC).isoformat()}


def _is_due(stream: StreamConfig, state: Mapping[str, Any]) -> bool:
    if stream.every is None or "at" not in state:
        return True
    last, now = dt.datetime.fromisoformat(state["at"]), dt.datetime.now(dt.UTC)
    return now - last >= stream.every or last > now  # a clock that was set back must not defer it forever
