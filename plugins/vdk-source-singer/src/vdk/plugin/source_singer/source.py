# SPDX-License-Identifier: Apache-2.0
"""The source: a Singer tap, and the streams of it that are selected."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from vdk.plugin.datasource_base import ConfigurationError, DataSource, DataSourceState, DataSourceStream, data_source
from vdk.plugin.datasource_base.contract import Secret

from .catalog import TapStream, selected_streams
from .config import SingerConfig, check_config
from .program.tap import Tap
from .streams import SeparateStream, TogetherStream

_FILE = re.compile(r"(\A|_)(path|file|filename|folder|directory|dir|glob)\Z|\A(path|file)_", re.IGNORECASE)
_PLACE = re.compile(
    r"(\A|_)(host|hostname|server|port|database|databases|db|dbname|url|uri|endpoint|account|account_id|site|domain|"
    r"subdomain|shop|organization|org|owner|repository|repositories|project|project_id|dataset|bucket|workspace|tenant|"
    r"customer_id|company_id|stream_name|topic|user|username)\Z",
    re.IGNORECASE,
)
"""The names of options that say which data a tap reads, and not how."""
_OF_THE_SDK = ("batch_config", "stream_maps", "stream_map_config")
"""Options of every tap that is made with the SDK, which say how it writes."""


@data_source(name="singer", config=SingerConfig)
class SingerSource(DataSource[SingerConfig]):
    """A Singer tap: one stream for each of its streams, or one for all of them."""

    def __init__(self, config: SingerConfig) -> None:
        check_config(config)
        super().__init__(config)
        self._tap = Tap(config)
        self._streams: Sequence[DataSourceStream] | None = None

    def identity(self) -> str:
        """The tap with those of its options that say where the data is."""
        folder = self.config.folder or Path()
        places = sorted(f"{name}={quote(value, safe='/:@*')}" for name, value in _places(self.config.config, folder))
        return f"singer:{self.config.tap}" + (f"?{'&'.join(places)}" if places else "")

    def connect(self, state: DataSourceState) -> None:
        self._streams = self._found()

    def check(self) -> None:
        """Start the tap for its catalog; a tap without one is only found."""
        self._found()

    def streams(self) -> Sequence[DataSourceStream]:
        if self._streams is None:
            self._streams = self._found()
        return self._streams

    def disconnect(self) -> None:
        self._streams = None

    def _found(self) -> Sequence[DataSourceStream]:
        if not self.config.discover and self.config.catalog is None:
            self._tap.program()
            return [TogetherStream(self._tap, None)]
        catalog = self._tap.catalog()
        selected = selected_streams(catalog, self.config)
        if self.config.together:
            return [TogetherStream(self._tap, selected)]
        _check_logs(self.config.tap, selected)
        names = {str(entry.get(name)) for entry in catalog["streams"] for name in ("tap_stream_id", "stream")}
        return [SeparateStream(self._tap, stream, frozenset(names) - stream.aliases) for stream in selected]


def _check_logs(tap: str, streams: Sequence[TapStream]) -> None:
    """Refuse several processes that read one log: what the first has read, the server discards for the others."""
    logs = [stream.name for stream in streams if stream.method == "LOG_BASED"]
    if len(logs) > 1:
        raise ConfigurationError(
            f"{tap}: {len(logs)} streams are LOG_BASED ({', '.join(logs[:3])} ...), and a log is read by one process; "
            "write together = true"
        )


def _places(options: Mapping[str, Any], folder: Path, above: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of the options that say where the data is, without what is secret in them."""
    for name, value in options.items():
        path = f"{above}{name}"
        if name in _OF_THE_SDK:
            continue
        if isinstance(value, Mapping):
            yield from _places(value, folder, f"{path}.")
        elif isinstance(value, list):
            items = {
                str(index): item if isinstance(item, Mapping) else {name: item} for index, item in enumerate(value)
            }
            yield from _places(items, folder, f"{path}.")
        elif isinstance(value, (Secret, bool)) or value is None:
            continue
        elif isinstance(value, str) and "://" in value:
            url = urlsplit(value)
            yield path, f"{url.scheme}://{(url.netloc or '').rpartition('@')[2]}{url.path}"
        elif _FILE.search(name):
            yield path, os.path.abspath(folder / str(value))
        elif _PLACE.search(name):
            yield path, str(value)
