# SPDX-License-Identifier: Apache-2.0
"""Singer's catalog: what ``--discover`` prints, and what the metadata of ``--catalog`` selects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ...contract import ConfigurationError
from ...contract.remedies import suggest
from ..reading.catalog import CatalogStream
from .properties import Property


@dataclass(frozen=True, slots=True)
class Chosen:
    """A stream to read. ``dropped``: its columns that the catalog deselects."""

    stream: CatalogStream
    dropped: Collection[str] = frozenset()


def catalog_entry(stream: CatalogStream, properties: Mapping[str, Property]) -> dict[str, Any]:
    """A stream as ``--discover`` shows it: selected unless its metadata is changed."""
    incremental = stream.keeps_states
    root = {
        "inclusion": "available",
        "selected-by-default": True,
        "table-key-properties": list(stream.primary_key),
        "forced-replication-method": "INCREMENTAL" if incremental else "FULL_TABLE",
        **({"valid-replication-keys": [stream.cursor]} if incremental and stream.cursor is not None else {}),
    }
    fixed = {*stream.primary_key, stream.cursor}
    columns = [
        {
            "breadcrumb": ["properties", name],
            "metadata": {"inclusion": "automatic" if name in fixed else "available", "selected-by-default": True},
        }
        for name in properties
    ]
    return {
        "tap_stream_id": stream.name,
        "stream": stream.table,
        "schema": {"type": "object", "properties": dict(properties)},
        "key_properties": list(stream.primary_key),
        "metadata": [{"breadcrumb": [], "metadata": root}, *columns],
    }


def selected(streams: Sequence[CatalogStream], file: Path | None) -> list[Chosen]:
    """The streams that a catalog selects, all without one.

    :raises ConfigurationError: for a catalog that cannot be read, or that selects a stream which does not exist.
    """
    if file is None:
        return [Chosen(stream) for stream in streams]
    known = {stream.name: stream for stream in streams}
    chosen = {}
    for entry in _entries(file):
        name, metadata = entry.get("tap_stream_id", entry.get("stream")), _metadata(entry)
        if not _is_selected(metadata.get((), {}), entry):
            continue
        if name not in known:
            raise ConfigurationError(f"--catalog {file}: it selects the stream {name!r}; {suggest(str(name), known)}")
        dropped = {path[1] for path, own in metadata.items() if len(path) == 2 and not _is_column_selected(own)}
        stream = known[name]
        chosen[name] = Chosen(stream, dropped - {*stream.primary_key})
    return [chosen[stream.name] for stream in streams if stream.name in chosen]


def _entries(file: Path) -> list[Mapping[str, Any]]:
    try:
        document = msgspec.json.decode(file.read_bytes())
        entries = document["streams"]
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("a stream is not an object")
    except (OSError, ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"--catalog {file}: it is not a catalog: {error!r}; make one with --discover"
        ) from None
    return list(entries)


def _metadata(entry: Mapping[str, Any]) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Breadcrumb → metadata."""
    return {tuple(each.get("breadcrumb", ())): each.get("metadata", {}) for each in entry.get("metadata", ())}


def _is_selected(metadata: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """``selected`` in the metadata, as older catalogs have it in the stream or its schema, else the default."""
    for place in (metadata, entry, entry.get("schema", {})):
        if place.get("selected") is not None:
            return bool(place["selected"])
    return bool(metadata.get("selected-by-default", False))


def _is_column_selected(metadata: Mapping[str, Any]) -> bool:
    if metadata.get("inclusion") == "automatic":
        return True
    if metadata.get("inclusion") == "unsupported":
        return False
    return bool(metadata.get("selected", metadata.get("selected-by-default", True)))
