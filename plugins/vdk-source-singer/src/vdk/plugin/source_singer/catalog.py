# SPDX-License-Identifier: Apache-2.0
"""The catalog of a tap: which streams it has, which of them are selected, and how each is read."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base import ConfigurationError, StreamSchema
from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts import column_type, did_you_mean, toml_key, toml_value

from .config import SingerConfig
from .records.schemas import columns_of

DELETED_AT = "_sdc_deleted_at"
"""The property by which taps tell that a row was deleted."""
_METHODS = ("FULL_TABLE", "INCREMENTAL", "LOG_BASED")
_PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class TapStream:
    """A selected stream of a tap.

    :param name: its unique name, the ``tap_stream_id``. :param aliases: the names that its messages may have.
    :param entry: its entry of the catalog, with what is selected. :param columns: the types of selected properties.
    :param dropped: the properties that are not selected, which a tap may send nevertheless.
    """

    name: str
    aliases: frozenset[str]
    entry: Mapping[str, Any]
    method: str
    replication_key: str | None
    keys: tuple[str, ...]
    columns: Mapping[str, pa.DataType]
    dropped: frozenset[str]

    def schema(self) -> StreamSchema:
        return stream_schema(self.columns, self.keys, self.replication_key, deletes=self.method != "FULL_TABLE")


def stream_schema(
    columns: Mapping[str, pa.DataType], keys: Sequence[str], cursor: str | None = None, *, deletes: bool
) -> StreamSchema:
    """The columns of a table; a key that the schema does not have is declared by its name.

    :param deletes: whether rows with ``_sdc_deleted_at`` are deletes, which need a key, and not rows.
    """
    types = {name: type_ for name, type_ in columns.items() if not (deletes and keys and name == DELETED_AT)}
    types |= {name: pa.null() for name in keys if name not in types}
    is_cursor = cursor is not None and types.get(cursor, JSON_TYPE) != JSON_TYPE
    fields = pa.schema([pa.field(name, type_) for name, type_ in types.items()])
    return StreamSchema(fields, tuple(keys), cursor if is_cursor else None, open=True)


def selected_streams(catalog: Mapping[str, Any], config: SingerConfig) -> list[TapStream]:
    """The streams of a catalog that are selected.

    :raises ConfigurationError: a pattern matches nothing, or the catalog is not one.
    """
    entries = _entries(catalog, config.tap)
    names = [_name(entry, config.tap) for entry in entries]
    _check_patterns(config, entries, names)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{config.tap}: the catalog has the stream {doubled[0]!r} twice; correct the catalog")
    streams = []
    for name, entry in zip(names, entries, strict=True):
        stream = _stream(name, entry, config)
        if stream is not None:
            streams.append(stream)
    if entries and not streams:
        raise ConfigurationError(
            f"{config.tap}: no stream is selected; write, for example, select = [{toml_value(names[0] + '.*')}]"
        )
    return streams


def selection_of(streams: Iterable[TapStream]) -> dict[str, Any]:
    """The catalog that selects these streams alone, as the tap reads it."""
    return {"streams": [stream.entry for stream in streams]}


def _entries(catalog: Any, tap: str) -> list[Mapping[str, Any]]:
    entries = catalog.get("streams") if isinstance(catalog, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigurationError(
            f'{tap}: the catalog has no list of "streams"; make one: {tap} --discover > catalog.json'
        )
    return entries


def _name(entry: Mapping[str, Any], tap: str) -> str:
    name = entry.get("tap_stream_id") or entry.get("stream")
    if not isinstance(name, str) or not isinstance(entry.get("schema"), Mapping):
        raise ConfigurationError(
            f"{tap}: an entry of the catalog has no tap_stream_id, or no schema; "
            f"make another catalog: {tap} --discover > catalog.json"
        )
    return name


def _check_patterns(config: SingerConfig, entries: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    paths = [
        (name, path)
        for name, entry in zip(names, entries, strict=True)
        for path in [(), *_property_paths(entry["schema"])]
    ]
    for pattern in config.select or ():
        written = pattern.removeprefix("!")
        if not any(_matches(written, name, path) for name, path in paths):
            known = [".".join((name, *path)) for name, path in paths]
            near = did_you_mean(written, known) or did_you_mean(written.partition(".")[0], names)
            near = near or f"the streams are {list(names)}"
            raise ConfigurationError(f"{config.tap}: select: {pattern!r} matches nothing; {near}")
    for pattern in config.metadata:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise ConfigurationError(
                f"{config.tap}: metadata: {pattern!r} matches no stream; "
                f"{did_you_mean(pattern, names) or f'the streams are {list(names)}'}"
            )


def _matches(pattern: str, stream: str, path: Sequence[str]) -> bool:
    """Whether a pattern selects a property (``orders.id``), or all of a stream (``orders``, ``orders.*``)."""
    return fnmatch.fnmatchcase(f"{stream}.{'.'.join(path)}", pattern) or fnmatch.fnmatchcase(stream, pattern)


def _stream(name: str, entry: Mapping[str, Any], config: SingerConfig) -> TapStream | None:
    """The stream with its selection written into its entry; None: it is not selected."""
    changed: dict[str, Any] = copy.deepcopy(dict(entry))
    metadata = _metadata(changed)
    root = metadata.setdefault((), {})
    for pattern, given in config.metadata.items():
        if fnmatch.fnmatchcase(name, pattern):
            root.update(given)
    method, replication_key = _replication(name, changed, root, config)
    keys = _keys(changed, root)
    always = {*keys, *filter(None, [replication_key])}
    if not _select(name, changed, metadata, always, config):
        return None
    changed["metadata"] = [{"breadcrumb": list(path), "metadata": values} for path, values in metadata.items()]
    changed |= {"tap_stream_id": name, "replication_method": method, "key_properties": list(keys)}
    changed["replication_key"] = replication_key
    changed.setdefault("stream", name)
    columns = columns_of(changed["schema"])
    dropped = {column for column in columns if not metadata[_path(column)].get("selected")}
    types = {column: column_type(text) for column, text in types_of(config, name).items()}
    kept = {column: type_ for column, type_ in (columns | types).items() if column not in dropped}
    aliases = {name, str(changed["stream"]), *filter(None, [changed.get("stream_alias")])}
    return TapStream(name, frozenset(aliases), changed, method, replication_key, keys, kept, frozenset(dropped))


def types_of(config: SingerConfig, stream: str) -> dict[str, str]:
    """The types that the configuration sets for properties of a stream."""
    start = f"{stream}."
    return {name.removeprefix(start): text for name, text in config.types.items() if name.startswith(start)}


def _metadata(entry: Mapping[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
    items = entry.get("metadata") or []
    known = {tuple(item.get("breadcrumb") or ()): dict(item.get("metadata") or {}) for item in items}
    for path in _property_paths(entry["schema"]):
        known.setdefault(_path(*path), {})
    return known


def _path(*names: str) -> tuple[str, ...]:
    """``("address", "city")`` as a breadcrumb: each name is one of ``properties``."""
    return tuple(step for name in names for step in ("properties", name))


def _property_paths(schema: Any, above: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, inner in properties.items() if isinstance(properties, Mapping) and len(above) < 10 else ():
        yield (*above, name)
        yield from _property_paths(inner, (*above, name))


def _replication(
    name: str, entry: Mapping[str, Any], root: dict[str, Any], config: SingerConfig
) -> tuple[str, str | None]:
    """How the stream is read, and by which property; a stream about which nothing is known is read whole."""
    valid = root.get("valid-replication-keys") or []
    method = root.get("replication-method") or entry.get("replication_method") or root.get("forced-replication-method")
    key = root.get("replication-key") or entry.get("replication_key") or (valid[0] if valid else None)
    method = method or ("INCREMENTAL" if key else "FULL_TABLE")
    if method not in _METHODS:
        raise ConfigurationError(
            f"{config.tap}: stream {name!r} has the replication-method {method!r}, expected one of {list(_METHODS)}; "
            f'write metadata.{toml_key(name)} = {{ replication-method = "FULL_TABLE" }}'
        )
    if method != "INCREMENTAL":
        key = None
    root["replication-method"] = method
    if key is not None:
        root["replication-key"] = key
    else:
        root.pop("replication-key", None)
    return method, key


def _keys(entry: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[str, ...]:
    keys = root.get("table-key-properties") or entry.get("key_properties") or root.get("view-key-properties") or ()
    return tuple(keys)


def _select(
    name: str,
    entry: dict[str, Any],
    metadata: dict[tuple[str, ...], dict[str, Any]],
    always: set[str],
    config: SingerConfig,
) -> bool:
    """Write the selection into the metadata, and return whether the stream is selected."""
    if config.select is None and config.catalog is not None and _has_selection(metadata, entry):
        chosen = _chosen_in_file(metadata, entry)
    else:
        paths = list(_property_paths(entry["schema"])) or [()]
        chosen = {path: _is_selected(config.select, name, path) for path in paths}
    if not any(chosen.values()):
        return False
    chosen.pop((), None)  # a stream that declares no properties
    for path, is_chosen in chosen.items():
        values = metadata[_path(*path)]
        inner = _inner(entry["schema"], path) or {}
        inclusion = values.get("inclusion", inner.get("inclusion"))  # before there was metadata, it was in the schema
        if not is_chosen and path[0] in always and len(path) == 1 and inclusion != "automatic":
            raise ConfigurationError(
                f"{config.tap}: select leaves out {'.'.join((name, *path))!r}, a key of the stream, or that by which "
                f"it is read; add {toml_value('.'.join((name, *path)))} to select, or "
                f'write metadata.{toml_key(name)} = {{ replication-method = "FULL_TABLE", table-key-properties = [] }}'
            )
        values["selected"] = inclusion == "automatic" or (is_chosen and inclusion != "unsupported")
        if config.properties:
            inner["selected"] = values["selected"]
    metadata[()]["selected"] = True
    entry["schema"] = {**entry["schema"], "selected": True}  # where taps before 2018 look
    return True


def _has_selection(metadata: Mapping[Any, Mapping[str, Any]], entry: Mapping[str, Any]) -> bool:
    return any("selected" in values for values in metadata.values()) or "selected" in entry["schema"]


def _chosen_in_file(
    metadata: Mapping[tuple[str, ...], Mapping[str, Any]], entry: Mapping[str, Any]
) -> dict[tuple[str, ...], bool]:
    """What a catalog file selects: the stream, and of it all properties that it does not leave out."""
    stream = metadata[()].get("selected", entry["schema"].get("selected", False))

    def is_chosen(path: tuple[str, ...]) -> bool:
        inner = _inner(entry["schema"], path) or {}
        return bool(stream and metadata[_path(*path)].get("selected", inner.get("selected", True)))

    return {path: is_chosen(path) for path in _property_paths(entry["schema"])}


def _is_selected(patterns: Sequence[str] | None, stream: str, path: tuple[str, ...]) -> bool:
    if patterns is None:
        return True
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluded = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]
    if any(_matches(pattern, stream, path) for pattern in excluded):
        return False
    # a nested property is selected with the property that it is in
    return not included or any(
        _matches(pattern, stream, path) or _matches(pattern, stream, path[:1]) for pattern in included
    )


def _inner(schema: Any, path: Sequence[str]) -> dict[str, Any] | None:
    for name in path:
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        schema = properties.get(name) if isinstance(properties, Mapping) else None
    return schema if isinstance(schema, dict) else None
