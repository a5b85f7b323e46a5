"""Tickets of a help desk: a file per team, a line of JSON each. TODO: your data, and where it is documented."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec

from vdk.plugin import datasource_base as base


class AcmeConfig(base.DataSourceConfig):
    # TODO: what a flow file may set. A password or token is a `base.Secret`, no `str`.
    folder: Annotated[Path, msgspec.Meta(description="Where the files are, <team>.jsonl each.")]
    lookback: Annotated[base.Duration, msgspec.Meta(description="How late changes come.")] = base.Duration(minutes=5)
    page_rows: Annotated[int, msgspec.Meta(ge=1, description="Rows per page.")] = 1000


class Ticket(msgspec.Struct):
    # TODO: the columns. What may be missing is `| None`.
    id: str
    title: str
    status: str
    updated_time: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None


class Position(base.PartitionState):
    reached: Annotated[dt.datetime, msgspec.Meta(tz=True)] = dt.datetime.min.replace(tzinfo=dt.UTC)


class Team(base.StreamPartition):
    NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)

    def __init__(self, path: Path, config: AcmeConfig) -> None:
        self.id, self.path, self.config = path.stem, path, config

    def read(self, state: Mapping[str, Any]) -> Iterator[base.DataSourcePayload]:
        """What changed since `state`, oldest first: the last row of a page is a place to go on from."""
        reached, now = Position.load(state).reached, dt.datetime.now(dt.UTC)
        with self.path.open("rb") as file:
            changed = sorted(self.changed(file, reached))
            for first in range(0, len(changed), self.config.page_rows):
                page = changed[first : first + self.config.page_rows]
                rows = [msgspec.structs.asdict(self.ticket(file, place)) for _, place in page]
                # Times to come do not count: by one wrong clock, all that changes until then would be left out.
                reached = max([reached, *(time for time, _ in page if time <= now)])
                counts = {"count:rows_null_cursor": sum(time == self.NEVER for time, _ in page)}
                yield base.DataSourcePayload(rows, counts, Position(reached=reached).dump())

    def changed(self, file: BinaryIO, reached: dt.datetime) -> Iterator[tuple[dt.datetime, int]]:
        """Times and places of tickets. TODO: ask for what changed; in order and page by page, if you can."""
        # From before `reached` on, and not behind it: a change of that very time may have come since, and others
        # come late. What comes twice replaces itself, by the primary key. What never says a time comes each time.
        while (place := file.tell()) < self.path.stat().st_size:
            time = self.ticket(file, place).updated_time or self.NEVER
            if reached - time <= self.config.lookback:
                yield time, place

    def ticket(self, file: BinaryIO, place: int) -> Ticket:
        file.seek(place)
        try:
            return msgspec.json.decode(file.readline(), type=Ticket)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise base.BadRecordError(str(error), key=f"{self.path}, byte {place}") from error


class Tickets(base.DataSourceStream):
    name = "tickets"

    def __init__(self, config: AcmeConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> base.StreamSchema:
        return base.StreamSchema.of(Ticket, primary_key=("id",), cursor="updated_time")

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterator[Team]:
        """TODO: what is read side by side, each opening what it needs. Or put `read` here, and delete this."""
        return (Team(path, self.config) for path in sorted(self.config.folder.glob("*.jsonl")))


@base.data_source(name="acme", config=AcmeConfig)
class AcmeSource(base.DataSource[AcmeConfig]):
    def identity(self) -> str:
        """TODO: which data this is, without secrets. A state of other data is refused."""
        return self.config.folder.resolve().as_uri()

    def check(self) -> None:
        """TODO: reach the data, and say what is wrong in a way that tells what to do."""
        if not self.config.folder.is_dir():
            raise base.ConfigurationError(f"folder: {self.config.folder} is no folder; name the one with the exports")

    def connect(self, state: base.DataSourceState) -> None:
        self.check()

    def streams(self) -> Sequence[base.DataSourceStream]:
        return [Tickets(self.config)]
