# SPDX-License-Identifier: Apache-2.0
"""The options of a Singer tap as a source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base import ConfigurationError, DataSourceConfig, Duration, Secret
from vdk.plugin.datasource_base.parts import column_type

_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|(api|access|account|private|signing|encryption)[_-]?key|connection_string",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"(url|uri|endpoint|file|path|folder|name|type|id|expir\w*|lifetime|location)\Z", re.IGNORECASE)
"""The ends of names of options that say where a secret is, or what it is like, which an error should show."""


class SingerConfig(DataSourceConfig):
    """The options of a Singer tap as a source."""

    tap: Annotated[str, Meta(min_length=1, description='the tap\'s program: "tap-csv"')]
    config: Annotated[dict[str, Any], Meta(description="the tap's own options; passwords and tokens are hidden")] = (
        msgspec.field(default_factory=dict)
    )
    executable: Annotated[
        Path | None, Meta(description="path of the program; default: the one named tap on the PATH")
    ] = None
    venv: Annotated[Path | None, Meta(description="virtual environment with the tap")] = None
    pip_url: Annotated[
        str | None,
        Meta(description='what pip installs, into an environment of its own that is kept: "tap-csv==1.4.0"'),
    ] = None
    python: Annotated[
        str | None, Meta(description='the Python of the environment for pip_url: "python3.11", or its path')
    ] = None
    environments: Annotated[
        Path | None, Meta(description="folder of the environments for pip_url; default: in the user's cache")
    ] = None
    folder: Annotated[Path | None, Meta(description="folder in which the tap runs; default: that of the run")] = None
    select: Annotated[
        list[str] | None,
        Meta(description='streams and their properties: "orders.*", "!*.secret"; default: all'),
    ] = None
    metadata: Annotated[
        dict[str, dict[str, Any]],
        Meta(
            description="Singer metadata by stream or pattern: replication-method, replication-key, "
            "table-key-properties ..."
        ),
    ] = msgspec.field(default_factory=dict)
    types: Annotated[
        dict[str, str],
        Meta(
            description='types of columns by "stream.property", where the tap declares another: text, integer, double, '
            "decimal(p,s), boolean, date, timestamp, json"
        ),
    ] = msgspec.field(default_factory=dict)
    catalog: Annotated[Path | None, Meta(description="file with the catalog; default: the tap is asked for it")] = None
    properties: Annotated[bool, Meta(description="pass the catalog as --properties, as taps before 2018 want it")] = (
        False
    )
    state: Annotated[
        Path | None, Meta(description="file with the state from which a stream without a state starts")
    ] = None
    together: Annotated[
        bool, Meta(description="read all streams with one process of the tap, as one stream with one state")
    ] = False
    discover: Annotated[
        bool, Meta(description="ask the tap for its catalog; false, with together: run it without a catalog")
    ] = True
    processes: Annotated[int, Meta(ge=1, description="processes of the tap that run at once")] = 1
    timeout: Annotated[Duration, Meta(description="longest time in which the tap writes nothing")] = Duration(
        minutes=10
    )
    batch_rows: Annotated[int, Meta(ge=1, description="records that are decoded, and handed on, at once")] = 10_000
    max_line_bytes: Annotated[int, Meta(ge=1024, description="longest line of the tap, in bytes")] = 128 * 1024 * 1024

    def __post_init__(self) -> None:
        """Turn the passwords and tokens among the tap's options into secrets, so that no log or error shows them."""
        for name, value in self.config.items():
            self.config[name] = _hidden(name, value)

    def tap_options(self) -> dict[str, Any]:
        """The tap's options with their secrets, as its configuration file has them."""
        options: dict[str, Any] = _revealed(self.config)
        return options


def check_config(config: SingerConfig) -> None:
    """Reject options that contradict each other.

    :raises ConfigurationError: naming the option, and what to write instead.
    """
    programs = {"executable": config.executable, "venv": config.venv, "pip_url": config.pip_url}
    if len(given := [name for name, value in programs.items() if value is not None]) > 1:
        raise ConfigurationError(f"{' and '.join(given)} exclude each other: each names the tap's program; keep one")
    for name in ("python", "environments"):
        if getattr(config, name) is not None and config.pip_url is None:
            raise ConfigurationError(f'{name} needs pip_url; write pip_url = "{config.tap}", or remove {name}')
    if not config.discover and config.catalog is None:
        if not config.together:
            raise ConfigurationError(
                "discover = false: without a catalog the streams are not known; write together = true, or name a "
                'catalog = "catalog.json"'
            )
        for name in ("select", "metadata"):
            if getattr(config, name):
                raise ConfigurationError(f"{name} changes the catalog, and discover = false has none; remove {name}")
    for name, text in config.types.items():
        column_type(text)
        if "." not in name:
            raise ConfigurationError(f'types: {name!r} names no property; write "stream.property" = "{text}"')


def _hidden(name: str, value: Any) -> Any:
    secret = _SECRET.search(name) is not None and _ABOUT.search(name) is None
    if isinstance(value, Mapping):
        return {key: _hidden(name if secret else key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(name, item) for item in value]
    return Secret(value) if secret and isinstance(value, str) and value else value


def _revealed(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {name: _revealed(item) for name, item in value.items()}
    return [_revealed(item) for item in value] if isinstance(value, list) else value
