# SPDX-License-Identifier: Apache-2.0
"""Tickets of a help desk: a file for each team, a line of JSON for each ticket. TODO: your data, where documented."""

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
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class AcmeConfig(base.DataSourceConfig):
    # TODO: the options of a flow file. A password or token is a `base.Secret`, never a `str`.
    folder: Annotated[Path, msgspec.Meta(description="The folder with the files <team>.jsonl.")]
    lookback: Annotated[base.Duration, msgspec.Meta(description="How late changes come.")] = base.Duration(minutes=5)
    page_rows: Annotated[int, msgspec.Meta(ge=1, description="Rows per page.")] = 1000


class Changed(msgspec.Struct):
    updated_time: Time | None = None


class Ticket(msgspec.Struct):
    # TODO: the columns. A column that may be missing is `| None`.
    id: str
    title: str
    status: str
    updated_time: Time | None = None


class Position(base.PartitionState):
    reached: Time = dt.datetime.min.replace(tzinfo=dt.UTC)
    # Bad lines that will be read again: they have no primary key that would replace them.
    rejected: dict[str, Time] = msgspec.field(default_factory=dict)


class Team(base.StreamPartition):
    def __init__(self, path: Path, config: AcmeConfig) -> None:
        self.id, self.path, self.config = path.stem, path, config

    def read(self, state: Mapping[str, Any]) -> Iterator[base.DataSourcePayload]:
        """Lines changed since `state`, oldest first, so that each page's last time is a place to resume from."""
        position, now = Position.load(state), dt.datetime.now(dt.UTC)
        reached, known = position.reached, position.rejected
        with self.path.open("rb") as file:
            changed = sorted(self.changed(file, reached))
            for first in range(0, len(changed), self.config.page_rows):
                rows, page = [], changed[first : first + self.config.page_rows]
                for time, offset in page:
                    file.seek(offset)
                    line = file.readline()
                    try:
                        rows.append(msgspec.structs.asdict(msgspec.json.decode(line, type=Ticket)))
                    except DECODE_ERRORS as error:  # raising it would end the reading
                        if (digest := sha256(line).hexdigest()) not in known:
                            known |= {digest: time} if time < NEVER else {}
                            row = {"line": line.decode("utf-8", "backslashreplace"), "byte": offset}
                            bad = base.BadRecordError(str(error), key=f"{self.path}, byte {offset}")
                            yield base.DataSourcePayload(base.RejectedRows([(row, bad)]))
                # A time in the future does not count: it would hide every change until then.
                reached = max([reached, *(time for time, _ in page if time <= now)])
                known = {line: time for line, time in known.items() if reached - time <= self.config.lookback}
                counts = {"count:rows_null_cursor": sum(time == NEVER for time, _ in page)}
                yield base.DataSourcePayload(rows, counts, Position(reached=reached, rejected=known).dump())

    def changed(self, file: BinaryIO, reached: dt.datetime) -> Iterator[tuple[dt.datetime, int]]:
        """Times and offsets of lines. TODO: request the changes only; ordered and page by page, if possible."""
        # `reached` is included: a change of that very time may have come since, and others come late. A ticket that is
        # read twice replaces itself, by its primary key. A line without a time is read in each run.
        while (offset := file.tell()) < self.path.stat().st_size:
            try:
                time = msgspec.json.decode(file.readline(), type=Changed).updated_time or NEVER
            except DECODE_ERRORS:
                time = NEVER
            if reached - time <= self.config.lookback:
                yield time, offset


class Tickets(base.DataSourceStream):
    name = "tickets"

    def __init__(self, config: AcmeConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> base.StreamSchema:
        return base.StreamSchema.of(Ticket, primary_key=("id",), cursor="updated_time")

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterator[Team]:
        """TODO: the parts that are read in parallel, each opening what it needs. Or move `read` here."""
        return (Team(path, self.config) for path in sorted(self.config.folder.glob("*.jsonl")))


@base.data_source(name="acme", config=AcmeConfig)
class AcmeSource(base.DataSource[AcmeConfig]):
    def identity(self) -> str:
        """TODO: which data this is, without secrets. Other data has other states."""
        return self.config.folder.resolve().as_uri()

    def check(self) -> None:
        """TODO: reach the data. The error says what is wrong, what was expected and what to do."""
        if not self.config.folder.is_dir():
            raise base.ConfigurationError(f"folder: {self.config.folder} is not a folder: use the one with the exports")

    def connect(self, state: base.DataSourceState) -> None:
        self.check()

    def streams(self) -> Sequence[base.DataSourceStream]:
        return [Tickets(self.config)]
