# SPDX-License-Identifier: Apache-2.0
"""Tickets of a help desk, from its API. TODO: your data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from vdk.plugin import datasource_base as base

from .client import Client, Page

Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class AcmeConfig(base.DataSourceConfig):
    # TODO: the options of a flow file. A password or token is a `base.Secret`, never a `str`.
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]+$", description="The address of the API.")]
    token: Annotated[base.Secret, msgspec.Meta(description="The API token of a user who may read tickets.")]
    lookback: Annotated[base.Duration, msgspec.Meta(description="How late changes come.")] = base.Duration(minutes=5)
    page_rows: Annotated[int, msgspec.Meta(ge=1, description="Rows per page.")] = 100
    timeout: Annotated[base.Duration, msgspec.Meta(description="How long to wait for the API.")] = base.Duration(
        seconds=30
    )

    def client(self) -> Client:
        return Client(self.url, self.token, self.timeout)


class Ticket(msgspec.Struct):
    # TODO: the columns. A column that may be missing is `| None`.
    id: str
    title: str
    status: str
    updated_time: Time


class Position(base.PartitionState):
    reached: Time | None = None


class Tickets(base.DataSourceStream):
    name = "tickets"

    def __init__(self, config: AcmeConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> base.StreamSchema:
        return base.StreamSchema.of(Ticket, primary_key=("id",), cursor="updated_time")

    def read(self, state: Mapping[str, Any]) -> Iterator[base.DataSourcePayload]:
        """Tickets changed since `state`, oldest first, so that each page's last time is a place to resume from."""
        reached, now = Position.load(state).reached, dt.datetime.now(dt.UTC)
        query: dict[str, str | int] = {"limit": self.config.page_rows}
        if reached is not None:
            # The API includes this very time. A ticket that is read twice replaces itself, by its primary key.
            query["updated_since"] = (reached - self.config.lookback).isoformat()
        with self.config.client() as client:
            for page in client.pages("tickets", **query):
                tickets, rejected = decode(page)
                if rejected:
                    yield base.DataSourcePayload(base.RejectedRows(rejected))
                # A time in the future does not count: it would hide every change until then.
                times = [ticket.updated_time for ticket in tickets if ticket.updated_time <= now]
                reached = max(times if reached is None else [reached, *times], default=None)
                rows = [msgspec.structs.asdict(ticket) for ticket in tickets]
                yield base.DataSourcePayload(rows, state=Position(reached=reached).dump())


def decode(page: Page) -> tuple[list[Ticket], list[tuple[Mapping[str, Any], base.BadRecordError]]]:
    """The tickets of a page, and the items that are not tickets, each with the reason."""
    tickets: list[Ticket] = []
    rejected: list[tuple[Mapping[str, Any], base.BadRecordError]] = []
    for item in page.items:
        try:
            tickets.append(msgspec.json.decode(item, type=Ticket))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            text = bytes(item).decode("utf-8", "backslashreplace")
            rejected.append(({"item": text}, base.BadRecordError(str(error), value=text)))
    return tickets, rejected


@base.data_source(name="acme", config=AcmeConfig)
class AcmeSource(base.DataSource[AcmeConfig]):
    def identity(self) -> str:
        """TODO: which data this is, without secrets. Other data has other states."""
        return self.config.url.rstrip("/")

    def check(self) -> None:
        """Request one ticket: the address, the token and the shape of a page are right if this succeeds."""
        with self.config.client() as client:
            client.page("tickets", limit=1)

    def streams(self) -> Sequence[base.DataSourceStream]:
        """TODO: one for each kind of data."""
        return [Tickets(self.config)]
