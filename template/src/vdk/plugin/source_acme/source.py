"""Tickets of a help desk: a file per team, a line of JSON each. TODO: your data, and where it is documented."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from vdk.plugin import datasource_base as base


class AcmeConfig(base.DataSourceConfig):
    """TODO: what a flow file may set. A password or token is a `base.Secret`, no `str`."""

    folder: Annotated[Path, msgspec.Meta(description="Where the files are, <team>.jsonl each.")]
    lookback: Annotated[base.Duration, msgspec.Meta(description="How late changes may come")] = base.Duration(minutes=5)
    page_rows: Annotated[int, msgspec.Meta(ge=1, description="Rows per page.")] = 1000


class Ticket(msgspec.Struct):
    """TODO: the columns. What may be missing is `| None`."""

    id: str
    title: str
    status: str
    updated_time: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None


class Position(base.PartitionState, frozen=True):
    reached: Annotated[dt.datetime, msgspec.Meta(tz=True)] = dt.datetime.min.replace(tzinfo=dt.UTC)


class Team(base.StreamPartition):
    """One file. It is read beside others, so it opens what it needs in `read`, and not before."""

    def __init__(self, path: Path, config: AcmeConfig) -> None:
        self.id, self.path, self.config = path.stem, path, config

    def read(self, state: Mapping[str, Any]) -> Iterator[base.DataSourcePayload]:
        """What changed since `state`, oldest first: the last row of a page is a place to go on from."""
        reached, now = Position.load(state).reached, dt.datetime.now(dt.UTC)
        changed, undated = [], []
        # TODO: ask for the changes since `reached - lookback`, in order and page by page. Those of that very time
        # as well: another may have come since. What is read twice replaces itself, by the primary key.
        for one in self.tickets():
            if one.updated_time is None:
                undated.append(msgspec.structs.asdict(one))
            elif reached - one.updated_time <= self.config.lookback:
                changed.append((one.updated_time, one.id, msgspec.structs.asdict(one)))
        changed.sort(key=lambda change: change[:2])
        for first in range(0, len(changed), self.config.page_rows):
            page = changed[first : first + self.config.page_rows]
            # Times that are still to come do not count: one wrong clock would hide all changes until then.
            reached = max([reached, *(time for time, *_ in page if time <= now)])
            yield base.DataSourcePayload([row for *_, row in page], state=Position(reached=reached).dump())
        # Nothing tells whether these changed: they land each time, and the run's summary counts them.
        yield base.DataSourcePayload(undated, {"count:rows_null_cursor": len(undated)})

    def tickets(self) -> Iterator[Ticket]:
        for number, line in enumerate(self.path.read_bytes().splitlines(), start=1):
            try:
                yield msgspec.json.decode(line, type=Ticket)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise base.BadRecordError(str(error), key=f"{self.path}:{number}", value=line) from error


class Tickets(base.DataSourceStream):
    name = "tickets"

    def __init__(self, config: AcmeConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> base.StreamSchema:
        return base.StreamSchema.of(Ticket, primary_key=("id",), cursor="updated_time")

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterator[Team]:
        """TODO: what can be read side by side. If nothing can, put `read` here and delete this."""
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
