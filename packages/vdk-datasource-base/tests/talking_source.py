"""A source that logs, warns and prints while it is read: for a run in a terminal, in a process of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from vdk.plugin.datasource_base import DataSource, DataSourceConfig, DataSourcePayload, DataSourceStream, data_source

log = logging.getLogger("vdk.plugin.talking")


class TalkingConfig(DataSourceConfig):
    lines: int = 40
    pause: float = 0.03
    second: str = "two"


class Talk(DataSourceStream):
    def __init__(self, name: str, config: TalkingConfig) -> None:
        self.name = name
        self.config = config

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for n in range(self.config.lines):
            log.warning("%s warns %03d", self.name, n)
            log.info("%s logs %03d, and goes on for longer than one line of a narrow terminal is", self.name, n)
            print(f"{self.name} prints {n:03d}")
            yield DataSourcePayload({"n": n})
            time.sleep(self.config.pause)


@data_source(name="talking", config=TalkingConfig)
class TalkingSource(DataSource[TalkingConfig]):
    def streams(self) -> list[DataSourceStream]:
        return [Talk(name, self.config) for name in ("one", self.config.second, "three")]
