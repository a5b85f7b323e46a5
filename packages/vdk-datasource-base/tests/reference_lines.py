"""A correct remote source: a number on each line and `end` after the last, from a server that starts at a position."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from msgspec import Meta

from vdk.plugin.datasource_base import (
    AuthenticationError,
    ConnectionFailedError,
    DataSource,
    DataSourceConfig,
    DataSourceError,
    DataSourcePayload,
    DataSourceStream,
    PartitionState,
    Secret,
    data_source,
)

END, REFUSED = b"end\n", b"refused\n"


class LinesConfig(DataSourceConfig):
    host: Annotated[str, Meta(description="the server")] = "127.0.0.1"
    port: Annotated[int, Meta(description="its port")] = 7
    password: Annotated[Secret, Meta(description="what the server asks for")] = Secret("open")
    timeout: Annotated[float, Meta(description="seconds to wait for it")] = 0.2


class LinePosition(PartitionState):
    number: int = 0


class Lines(DataSourceStream):
    name = "lines"
    incremental = True

    def __init__(self, config: LinesConfig) -> None:
        self.config = config

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        with self.asked(f"after {LinePosition.load(state).number}") as answer:
            for number in self.numbers(answer):
                yield DataSourcePayload({"number": number}, state=LinePosition(number=number).dump())

    @contextmanager
    def asked(self, question: str) -> Iterator[Iterator[bytes]]:
        try:
            with self.connected() as connection, connection.makefile("rb") as answer:
                connection.sendall(self.request(question))
                yield answer
        except OSError as error:
            raise ConnectionFailedError(f"{self.config.host}:{self.config.port}: {error}") from error

    def connected(self) -> socket.socket:
        return socket.create_connection((self.config.host, self.config.port), self.config.timeout)

    def request(self, question: str) -> bytes:
        return f"{self.config.password.reveal()} {question}\n".encode()

    def numbers(self, answer: Iterator[bytes]) -> Iterator[int]:
        for line in answer:
            if line == END:
                return
            if line == REFUSED:
                raise AuthenticationError("the server refused the password")
            if not line.endswith(b"\n"):
                break  # the first digits of a number are a number, too
            yield self.parsed(line)
        raise ConnectionFailedError(f"{self.config.host}:{self.config.port}: the answer stopped before its end")

    def parsed(self, line: bytes) -> int:
        try:
            return int(line)
        except ValueError:
            raise DataSourceError(f"the server sent {line!r}, which is no number") from None


@data_source(name="lines", config=LinesConfig)
class LinesSource(DataSource[LinesConfig]):
    lines: type[Lines] = Lines

    def streams(self) -> Sequence[DataSourceStream]:
        return [self.lines(self.config)]

    def identity(self) -> str:
        return f"lines://{self.config.host}:{self.config.port}"

    def check(self) -> None:
        with self.lines(self.config).asked("ping") as answer:
            for _ in self.lines(self.config).numbers(answer):
                pass
