"""Remote sources that cannot handle a broken server."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

from broken import caught_by
from reference_lines import END, Lines, LinesSource
from vdk.plugin.datasource_base import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourcePayload,
)


@caught_by("test_an_unreachable_server_is_a_failed_connection")
class Accusing(LinesSource):
    def check(self) -> None:
        try:
            super().check()
        except DataSourceError as error:
            raise ConfigurationError("host and port must be wrong") from error


@caught_by("test_reading_from_an_unreachable_server_is_retryable")
class GivingUp(Lines):
    def connected(self) -> socket.socket:
        try:
            return super().connected()
        except ConnectionRefusedError as error:
            raise RuntimeError("cannot connect") from error


@caught_by("test_a_reset_connection_is_retryable")
class Fragile(Lines):
    @contextmanager
    def asked(self, question: str) -> Iterator[Iterator[bytes]]:
        with self.connected() as connection, connection.makefile("rb") as answer:
            try:
                connection.sendall(self.request(question))
                yield answer
            except ConnectionError as error:
                raise DataSourceError("the server is broken") from error


@caught_by("test_a_silent_server_times_out")
class Waiting(Lines):
    def connected(self) -> socket.socket:
        connection = super().connected()
        connection.settimeout(None)
        return connection


@caught_by("test_an_answer_that_is_not_data_is_an_error")
class Polite(Lines):
    @contextmanager
    def asked(self, question: str) -> Iterator[Iterator[bytes]]:
        with super().asked(question) as answer:
            yield chain((line for line in answer if line.strip().isdigit()), [END])


@caught_by("test_failed_connections_leave_nothing_open")
class Leaking(Lines):
    opened: list[socket.socket] = []  # noqa: RUF012 - this is the mistake

    def connected(self) -> socket.socket:
        connection = super().connected()
        self.opened.append(connection.dup())
        return connection


@caught_by("test_a_refused_secret_is_an_authentication_error")
class Misjudging(Lines):
    def numbers(self, answer: Iterator[bytes]) -> Iterator[int]:
        try:
            yield from super().numbers(answer)
        except AuthenticationError as error:
            raise ConnectionFailedError("the server sent no numbers") from error


@caught_by("test_a_refused_secret_is_not_retried")
class Insisting(Lines):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        try:
            yield from super().read(state)
        except AuthenticationError:
            yield from super().read(state)


@caught_by("test_a_cut_connection_is_not_the_end_of_the_data")
class Trusting(Lines):
    def numbers(self, answer: Iterator[bytes]) -> Iterator[int]:
        yield from super().numbers(chain(answer, [END]))
