"""A source, a transform, a destination and a log handler that hang on request, whatever is raised in them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamPartition,
    data_source,
)
from vdk.plugin.datasource_base.contract import DataSourceState, StreamSchema
from vdk.plugin.datasource_base.parts import CommitUnit
from vdk.plugin.datasource_base.testing import MemoryDestination


def at(place: str) -> None:
    """Hang if this is the place, and let the test know. What is raised here meanwhile, as a signal does, is ignored."""
    if os.environ.get("HANGS_AT") != place:
        return
    Path("hangs").touch()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def transform(rows: Any) -> Any:
    at("transform")
    if os.environ.get("HANGS_AT") == "lock held":
        Path("hangs").touch()
        sum(range(10**15))  # one step of the interpreter, without letting go of its lock
    return rows


class HangingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if "interrupted" in record.getMessage():
            at("log handler")


class Stream(DataSourceStream):
    name = "rows"
    incremental = True

    def schema(self, table: str | None = None) -> StreamSchema | None:
        at("schema")
        return None

    def partitions(self, state: Mapping[str, Any]) -> Iterable[StreamPartition]:
        at("partitions")
        return [Part()]


class Part(StreamPartition):
    id = ""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        at("read")
        yield DataSourcePayload([{"n": 1}], state={"n": 1})
        if os.environ["HANGS_AT"] == "log handler":
            Path("hangs").touch()
            time.sleep(600)


class HangingConfig(DataSourceConfig):
    """Nothing to set."""


@data_source(name="hanging", config=HangingConfig)
class HangingSource(DataSource[HangingConfig]):
    def connect(self, state: DataSourceState) -> None:
        logging.getLogger().addHandler(HangingHandler())
        at("connect")

    def streams(self) -> list[DataSourceStream]:
        at("streams")
        return [Stream()]

    def identity(self) -> str:
        at("identity")
        return "hanging"

    def disconnect(self) -> None:
        at("disconnect")


class HangingDestination(MemoryDestination):
    def open(self) -> None:
        at("open")

    def load_states(self, source_id: str) -> Any:
        at("load_states")
        return super().load_states(source_id)

    def commit(self, unit: CommitUnit) -> int:
        at("commit")
        return super().commit(unit)

    def close(self) -> None:
        at("close")
