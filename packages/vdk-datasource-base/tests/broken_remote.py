"""Remote sources that do not know what a bad day is."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

from broken import found_by
from reference_lines import END, Lines, LinesSource
from vdk.plugin.datasource_base import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourcePayload,
)


@found_by("test_a_server_that_is_away_is_a_failed_connection")
class Accusing(LinesSource):
    def check(self) -> None:
        try:
            super().check()
        except DataSourceError as error:
            raise ConfigurationError("host and port must be wrong") from error


@found_by("test_reading_from_a_server_that_is_away_is_worth_a_retry")
class GivingUp(Lines):
    def connected(self) -> socket.socket:
        try:
            return super().connected()
        except ConnectionRefusedError as error:
            raise RuntimeError("cannot connect") from error


@found_by("test_a_connection_that_breaks_is_worth_a_retry")
class Fragile(Lines):
    @contextmanager
    def asked(self, question: str) -> Iterator[Iterator[bytes]]:
        with self.connected() as connection, connection.makefile("rb") as answer:
            try:
                connection.sendall(self.request(question))
                yield answer
            except ConnectionError as error:
                raise DataSourceError("the server is broken") from error


@found_by("test_a_silent_server_is_not_waited_for")
class Waiting(Lines):
    def connected(self) -> socket.socket:
        connection = super().connected()
        connection.settimeout(None)
        return connection


@found_by("test_a_server_that_talks_nonsense_is_told")
class Polite(Lines):
    @contextmanager
    def asked(self, question: str) -> Iterator[Iterator[bytes]]:
        with super().asked(question) as answer:
            yield chain((line for line in answer if line.strip().isdigit()), [END])


@found_by("test_failed_connections_leave_nothing_open")
class Leaking(Lines):
    opened: list[socket.socket] = []  # noqa: RUF012 - this is the mistake

    def connected(self) -> socket.socket:
        connection = super().connected()
        self.opened.append(connection.dup())
        return connection


@found_by("test_a_refused_secret_is_an_authentication_error")
class Misjudging(Lines):
    def numbers(self, answer: Iterator[bytes]) -> Iterator[int]:
        try:
            yield from super().numbers(answer)
        except AuthenticationError as error:
            raise ConnectionFailedError("the server sent no numbers") from error


@found_by("test_a_refused_secret_is_tried_once")
class Insisting(Lines):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        try:
            yield from super().read(state)
        except AuthenticationError:
            yield from super().read(state)


@found_by("test_a_connection_cut_anywhere_gives_no_part_in_silence")
class Trusting(Lines):
    def numbers(self, answer: Iterator[bytes]) -> Iterator[int]:
        yield from super().numbers(chain(answer, [END]))
