"""A source whose rows are known beforehand, which can be as slow, as split and as stubborn as a test wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
    data_source,
)

PAGE = 3
COLUMNS = pa.schema([("id", pa.int64()), ("text", pa.string())])


class TicksConfig(DataSourceConfig):
    upto: int = 15
    """Rows of each partition."""
    partitions: int = 1
    states: bool = True
    """Whether the stream is incremental; every other page carries a state then."""
    pause: float = 0.0
    """Seconds before each page."""
    stall_at: int | None = None
    """The row in front of which it waits for ever, as a server does that has forgotten its client."""
    begun: str | None = None
    """A file that is made when the first page has been taken, or before it waits for ever."""


def install(site: Path) -> Path:
    """Make this source an installed distribution, for every process that has the folder on its path."""
    info = site / "ticks_source-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ticks-source\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[vdk.datasource.sources]\nticks = ticks:TicksSource\n", "utf-8")
    (site / "ticks.py").write_bytes(Path(__file__).read_bytes())
    return site


def rows_of(partition: int, start: int, end: int) -> list[dict[str, Any]]:
    return [{"id": partition * 1_000_000 + n, "text": f"tick {n}"} for n in range(start, end)]


def all_rows(upto: int = 15, partitions: int = 1) -> list[tuple[int, str]]:
    """What must have landed in the end."""
    return [(row["id"], row["text"]) for part in range(partitions) for row in rows_of(part, 0, upto)]


class Part(StreamPartition):
    def __init__(self, number: int, config: TicksConfig) -> None:
        self.id = f"p{number}"
        self._number = number
        self._config = config

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        config = self._config
        for start in range(state.get("next", 0), config.upto, PAGE):
            end = min(start + PAGE, config.upto)
            time.sleep(config.pause)
            if config.stall_at is not None and start <= config.stall_at < end:
                self._tell()
                threading.Event().wait()
            whole = config.states and ((end // PAGE) % 2 == 0 or end == config.upto)
            yield DataSourcePayload(rows_of(self._number, start, end), state={"next": end} if whole else None)
            if config.stall_at is None:
                self._tell()

    def _tell(self) -> None:
        if self._config.begun is not None:
            Path(self._config.begun).touch()


class Ticks(DataSourceStream):
    name = "ticks"

    def __init__(self, config: TicksConfig) -> None:
        self._config = config

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(COLUMNS, primary_key=("id",), cursor="id" if self._config.states else None)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return (Part(number, self._config) for number in range(self._config.partitions))


@data_source(name="ticks", config=TicksConfig)
class TicksSource(DataSource[TicksConfig]):
    def streams(self) -> list[DataSourceStream]:
        return [Ticks(self.config)]
