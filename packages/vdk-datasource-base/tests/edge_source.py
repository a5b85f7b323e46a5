"""A source for jobs that run in a process of their own: it knows nothing of the test."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from vdk.plugin.datasource_base import (
    ConnectionFailedError,
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    Secret,
    data_source,
)


class NumbersConfig(DataSourceConfig):
    upto: int = 5
    fail: str | None = None
    password: Secret | None = None


class Numbers(DataSourceStream):
    name = "numbers"

    def __init__(self, config: NumbersConfig) -> None:
        self.config = config

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for n in range(state.get("next", 0), self.config.upto):
            yield DataSourcePayload({"n": n, "text": f"number {n}"}, state={"next": n + 1})
        if self.config.fail == "away":
            raise ConnectionFailedError("the numbers are away")
        if self.config.fail == "secret":
            assert self.config.password is not None
            raise RuntimeError(f"refused {self.config.password.reveal()}")


class Words(DataSourceStream):
    name = "words"

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload([{"word": "one"}, {"word": "two"}])


@data_source(name="numbers", config=NumbersConfig)
class NumbersSource(DataSource[NumbersConfig]):
    def check(self) -> None:
        if self.config.fail == "hang":
            time.sleep(5)

    def streams(self) -> list[DataSourceStream]:
        return [Numbers(self.config), Words()]
