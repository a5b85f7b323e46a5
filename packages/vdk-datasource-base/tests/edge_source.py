"""A source for jobs that run in a process of their own: it knows nothing of the test."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from vdk.plugin.datasource_base import (
    AuthenticationError,
    ConnectionFailedError,
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    Secret,
    data_source,
)


class NumbersConfig(DataSourceConfig):
    upto: int = 5
    fail: str | None = None
    password: Secret | None = None
    url: str | None = None


class Numbers(DataSourceStream):
    name = "numbers"
    incremental = True

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
        if self.config.fail == "leak":
            _leak(self.config)


def _leak(config: NumbersConfig) -> None:
    """What careless clients do: tell at DEBUG, warn with a traceback, and raise one error out of another."""
    assert config.password is not None
    secret = config.password.reveal()
    client = logging.getLogger("somebody.elses.client")
    client.debug("GET /numbers?page=1 as %s", secret)
    try:
        try:
            raise KeyError(secret)
        except KeyError:
            client.warning("could not log in", exc_info=True)
            raise ValueError(f"Basic {base64.b64encode(f'me:{secret}'.encode()).decode()}") from None
    except ValueError as error:
        raise RuntimeError(f"refused {config.url}") from error


class Words(DataSourceStream):
    name = "words"

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload([{"word": "one"}, {"word": "two"}])


@data_source(name="numbers", config=NumbersConfig)
class NumbersSource(DataSource[NumbersConfig]):
    def check(self) -> None:
        if self.config.fail == "hang":
            time.sleep(5)

    def connect(self, state: DataSourceState) -> None:
        if self.config.fail == "no connection":
            raise ConnectionFailedError("nobody answers")
        if self.config.fail == "login":
            raise AuthenticationError("the login was refused")

    def streams(self) -> list[DataSourceStream]:
        return [Numbers(self.config), Words()]
