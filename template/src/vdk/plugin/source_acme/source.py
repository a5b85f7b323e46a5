"""Tickets of a help desk: a file per team, a line of JSON each. TODO: your data, and where it is documented."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec

from vdk.plugin import datasource_base as base

Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]
NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)
UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class AcmeConfig(base.DataSourceConfig):
    # TODO: what a flow file may set. A password or token is a `base.Secret`, no `str`.
    folder: Annotated[Path, msgspec.Meta(description="Where the files are, <team>.jsonl each.")]
    lookback: Annotated[base.Duration, msgspec.Meta(description="How late changes come.")] = base.Duration(minutes=5)
    page_rows: Annotated[int, msgspec.Meta(ge=1, description="Rows per page.")] = 1000


class Changed(msgspec.Struct):
    updated_time: Time | None = None


class Ticket(msgspec.Struct):
    # TODO: the columns. What may be missing is `| None`.
    id: str
    title: str
    status: str
    updated_time: Time | None = None


class Position(base.PartitionState):
    reached: Time = dt.datetime.min.replace(tzinfo=dt.UTC)
    # Unfit lines that will be read again: no primary key replaces them.
    rejected: dict[str, Time] = msgspec.field(default_factory=dict)


class Team(base.StreamPartition):
    def __init__(self, path: Path, config: AcmeConfig) -> None:
        self.id, self.path, self.config = path.stem, path, config

    def read(self, state: Mapping[str, Any]) -> Iterator[base.DataSourcePayload]:
        """What changed since `state`, oldest first: the last row of a page is a place to go on from."""
        position, now = Position.load(state), dt.datetime.now(dt.UTC)
        reached, known = position.reached, position.rejected
        with self.path.open("rb") as file:
            changed = sorted(self.changed(file, reached))
            for first in range(0, len(changed), self.config.page_rows):
                rows, page = [], changed[first : first + self.config.page_rows]
                for time, place in page:
                    file.seek(place)
                    line = file.readline()
                    try:
                        rows.append(msgspec.structs.asdict(msgspec.json.decode(line, type=Ticket)))
                    except UNFIT as error:  # raised from here, it would end the reading
                        if (digest := sha256(line).hexdigest()) not in known:
                            known |= {digest: time} if time < NEVER else {}
                            row = {"line": line.decode("utf-8", "backslashreplace"), "byte": place}
                            bad = base.BadRecordError(str(error), key=f"{self.path}, byte {place}")
                            yield base.DataSourcePayload(base.RejectedRows([(row, bad)]))
                # Times to come do not count: by one wrong clock, all that changes until then would be left out.
                reached = max([reached, *(time for time, _ in page if time <= now)])
                known = {line: time for line, time in known.items() if reached - time <= self.config.lookback}
                counts = {"count:rows_null_cursor": sum(time == NEVER for time, _ in page)}
                yield base.DataSourcePayload(rows, counts, Position(reached=reached, rejected=known).dump())

    def changed(self, file: BinaryIO, reached: dt.datetime) -> Iterator[tuple[dt.datetime, int]]:
        """Times and places of lines. TODO: ask for what changed; in order and page by page, if you can."""
        # Not behind `reached`: a change of that very time may have come since, and others come late. Tickets that
        # come twice replace themselves, by the primary key. What never says a time comes each time.
        while (place := file.tell()) < self.path.stat().st_size:
            try:
                time = msgspec.json.decode(file.readline(), type=Changed).updated_time or NEVER
            except UNFIT:
                time = NEVER
            if reached - time <= self.config.lookback:
                yield time, place


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
