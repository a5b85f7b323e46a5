# SPDX-License-Identifier: Apache-2.0
"""A flow from the URLs of a source and a target, and the text of its file, which has no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from ...contract import ConfigurationError, DataSource, DataSourceConfig, decode_config
from ...contract.remedies import closest
from ...contract.toml import toml_key
from ..plugins.registry import Registry
from ..plugins.urls import method_of_target, source_of_url
from ..redact import is_secret_name, with_secrets_replaced
from .file import FlowEntry
from .overrides import Overrides

_NO_NAME = re.compile(r"localhost|[\d.]*|\[.*")
"""Hosts that say nothing: this machine, and addresses."""
_THIS_MACHINE = re.compile(r"localhost|127(\.\d+){3}|\[::1\]|")
DESTINATION = "lake"
"""The id of the destination. States are stored without it."""


@dataclass(frozen=True, slots=True)
class UrlFlow:
    """A flow of one source into one destination, as a flow file has it."""

    source: type[DataSource[Any]]
    source_id: str
    flow: dict[str, Any]
    name: str
    """What a file of the flow is called: as the stream that the URL names, else as the source."""

    @property
    def target(self) -> str:
        return str(self.flow["destinations"][DESTINATION]["target"])

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.flow["sources"][self.source_id]["config"]
        return config

    def values_of(self, options: Sequence[str]) -> tuple[str, ...]:
        """``OPTION=VALUE`` of a command line as ``PATH=VALUE`` of the flow; see ``place_of``."""
        return tuple(self.place_of(option) + option for option in options)

    def place_of(self, option: str) -> str:
        """The path of the table that an option belongs to, as a prefix: the source's, else that of the flow.

        An option of the only stream or table that the URL names may be written without its place in the list.
        """
        name = re.split(r"[.=\[]", option, maxsplit=1)[0].strip()
        config = f"sources.{toml_key(self.source_id)}.config."
        if name in self.flow:
            return ""
        if name in _options(self.source.config_type):
            return config
        if name in _options(FlowEntry):
            return "flows[0]."
        lists = [key for key, value in self.config.items() if isinstance(value, list) and len(value) == 1]
        if len(lists) == 1:
            return f"{config}{lists[0]}[0]."
        near = closest(name, [*_options(self.source.config_type), *_options(FlowEntry)], limit=1)
        return "flows[0]." if near and near[0] in _options(FlowEntry) else config

    def has_option(self, name: str, *, of_stream: bool = True) -> bool:
        """Whether a name begins the path of an option of the source, of the flow, or of the source's only stream."""
        first = re.split(r"[.\[]", name, maxsplit=1)[0]
        own = first in {*_options(self.source.config_type), *_options(FlowEntry)}
        return own or (of_stream and self.source.url_names_stream)  # then it may be one of the only stream

    def with_config(self, options: Mapping[str, Any]) -> UrlFlow:
        """The flow with further options of the source."""
        entry = {**self.flow["sources"][self.source_id], "config": {**self.config, **options}}
        return replace(self, flow={**self.flow, "sources": {self.source_id: entry}})

    def with_values(self, values: Sequence[str]) -> UrlFlow:
        """The flow with values of a command line. Raises ``ConfigurationError`` for one that has no place."""
        return replace(self, flow=Overrides(values=tuple(values)).apply(self.flow, "flow")[0])

    def without_secrets(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The flow with ``${env:NAME}`` for each password in a URL; and the passwords by ``NAME``, as the URL has them.

        References stay as they are.
        """
        variables: dict[str, str] = {}

        def replaced(value: Any, name: str) -> Any:
            if isinstance(value, Mapping):
                hidden = {key for key, item in value.items() if isinstance(item, str) and is_secret_name(key)}
                return {key: (reference if key in hidden else replaced)(item, name) for key, item in value.items()}
            if isinstance(value, list):
                return [replaced(item, name) for item in value]
            if isinstance(value, str):
                return with_secrets_replaced(value, lambda secret: reference(secret, name))
            return value

        def reference(secret: str, name: str) -> str:
            if secret.startswith("${"):
                return secret
            number = 1
            while variables.setdefault(key := name if number == 1 else f"{name}_{number}", secret) != secret:
                number += 1
            return f"${{env:{key}}}"

        flow = {**self.flow}
        for table in ("sources", "destinations"):
            flow[table] = {
                id: replaced(entry, f"{re.sub(r'[^A-Za-z0-9]', '_', id).upper()}_PASSWORD")
                for id, entry in flow[table].items()
            }
        return flow, variables


def _options(config: type[DataSourceConfig]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(config)}


def flow_of_urls(
    source: str,
    target: str,
    registry: Registry,
    *,
    tables: Sequence[str] = (),
    cursor: str | None = None,
    mode: str | None = None,
    destination_table: str | None = None,
    shared_table: bool = False,
) -> UrlFlow:
    """The flow that reads what the first URL names, and lands it where the second points.

    :param tables: names or patterns of the streams; none: all.
    :param cursor: the column that grows with every change. :param mode: the write mode.
    :param destination_table: the template of the names of the tables, and whether other rows may be in them, as in a
        flow file.
    :raises ConfigurationError: naming the part of the URL, and what to write. Its text never has the password.
    """
    cls, url = source_of_url(source, registry)
    config = dict(cls.options_of_url(url, cursor=cursor))
    method = method_of_target(target, registry)
    if "${" not in target and (factory := registry.destination(method)) is not None:
        factory(target, folder=Path.cwd())  # raises the error of a target that is wrong; no I/O
    source_id = _id_of(url, cls)
    entry: dict[str, Any] = {"from": source_id, "to": DESTINATION}
    if tables:
        entry["streams"] = list(tables)
    if mode is not None:
        entry["write_mode"] = mode
    if destination_table is not None:
        entry["destination_table"] = destination_table
    if shared_table:
        entry["shared_table"] = True
    flow = {
        "sources": {source_id: {"name": cls.source_name, "config": config}},
        "destinations": {DESTINATION: {"method": method, "target": target}},
        "flows": [entry],
    }
    return UrlFlow(cls, source_id, flow, _name_of(url, cls))


def source_of_flow(source: str, registry: Registry) -> tuple[str, dict[str, Any]]:
    """The id and the entry of a source, as ``[sources.<id>]`` has it, that reads what a URL names.

    :raises ConfigurationError: like ``flow_of_urls``.
    """
    cls, url = source_of_url(source, registry)
    return _id_of(url, cls), {"name": cls.source_name, "config": dict(cls.options_of_url(url))}


def with_default_target(source: str, target: str, registry: Registry, **arguments: Any) -> UrlFlow:
    """``flow_of_urls`` with a target in which ``{}`` stands for the ``name`` of the flow."""
    cls, url = source_of_url(source, registry)
    return flow_of_urls(source, target.format(_name_of(url, cls)), registry, **arguments)


def check_folder(flow: UrlFlow, folder: Path, registry: Registry) -> None:
    """Refuse to save a flow with relative paths in another folder, where they would lead elsewhere.

    :raises ConfigurationError: with what to write.
    """
    working, chosen = Path.cwd(), folder.resolve()
    if working == chosen:
        return
    entry = flow.flow["destinations"][DESTINATION]
    factory = registry.destination(entry["method"])
    configs = [
        decode_config(flow.config, flow.source.config_type, location="source", folder=base, lenient={})
        for base in (working, chosen)
    ]
    targets = [factory(entry["target"], folder=base).identity() for base in (working, chosen)] if factory else []
    if configs[0] != configs[1] or len(set(targets)) > 1:
        raise ConfigurationError(
            f"--save: relative paths in a flow file are relative to its folder, {str(chosen)!r}, and those of the URLs "
            "to the working folder; save the file in the working folder, or write the paths in full, as in "
            "duckdb:////data/lake.duckdb"
        )


def _id_of(url: str, source: type[DataSource[Any]]) -> str:
    """The id of the source, which its states are stored under: that of the database, else of the host.

    It is the same for all streams of a host, so that a copy of one of them and a copy of all share their states. Two
    servers without a name have two ids, as they may have streams of the same name.
    """
    last, host, port = _parts_of(url)
    if not source.url_names_stream and Path(last).stem:
        text = Path(last).stem
    elif not _NO_NAME.fullmatch(host):
        text = host
    elif source.url_names_stream:
        text = f"{source.source_name}_{host}_{port}"
        if _THIS_MACHINE.fullmatch(host):
            text = f"localhost_{port}" if port else source.source_name
    else:
        text = ""
    return _plain(text) or source.source_name


def _name_of(url: str, source: type[DataSource[Any]]) -> str:
    return _plain(_parts_of(url)[0] if source.url_names_stream else "") or _id_of(url, source)


def _parts_of(url: str) -> tuple[str, str, str]:
    """The last part of the path, the host and the port; empty if they are missing, or the source will report them."""
    try:
        parts = urlsplit(url)
        address = parts.netloc.rpartition("@")[2].partition(",")[0]
        host, _, port = address.rpartition(":") if re.search(r":\d+$", address) else (address, "", "")
        return unquote(parts.path).rstrip("/").rpartition("/")[2], host, port
    except ValueError:
        return "", "", ""


def _plain(text: str) -> str:
    return re.sub(r"\W+", "_", text, flags=re.ASCII).replace("__", "_").strip("_")
