"""The tickets of the Acme help desk: it exports a file per team, with a line of JSON per ticket.

TODO: say what is read, and where its owner documents it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vdk.plugin import datasource_base as base

Time = Annotated[dt.datetime, Meta(tz=True)]  # times without a zone do not compare


class AcmeConfig(base.DataSourceConfig):
    """TODO: what a flow file may set. A password or token is a `base.Secret`, no `str`."""

    folder: Annotated[Path, Meta(description="Where the files are, <team>.jsonl each.")]
    lookback: Annotated[base.Duration, Meta(description="How late a change may come.")] = base.Duration(minutes=5)
    page_rows: Annotated[int, Meta(ge=1, description="Rows per page.")] = 1000


class Ticket(msgspec.Struct):
    """TODO: the columns. What may be missing is `| None`."""

    id: str
    title: str
    status: str
    updated_time: Time | None = None


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """The state: changes up to this time were delivered. `v` is for the day it looks different."""

    updated_time: Time = dt.datetime.min.replace(tzinfo=dt.UTC)
    v: Literal[1] = 1


class Team(base.StreamPartition):
    """One file. It is read beside others, so it opens what it needs in `read`, and not before."""

    def __init__(self, path: Path, config: AcmeConfig) -> None:
        self.id, self.path, self.config = path.stem, path, config

    def read(self, state: Mapping[str, Any]) -> Iterator[base.DataSourcePayload]:
        """What changed since `state`, oldest first: the last row of a page is a place to go on from."""
        reached, now = self.position(state).updated_time, dt.datetime.now(dt.UTC)
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
            # Not behind a time that is still to come: it would hide every change until then.
            reached = max(reached, min(page[-1][0], now))
            state = msgspec.to_builtins(Position(updated_time=reached))
            yield base.DataSourcePayload([row for *_, row in page], state=state)
        # Nothing tells whether these changed: they land each time, and the run's summary counts them.
        yield base.DataSourcePayload(undated, {"count:rows_null_cursor": len(undated)})

    def position(self, state: Mapping[str, Any]) -> Position:
        try:
            return msgspec.convert(dict(state), Position)
        except msgspec.ValidationError as error:
            remedy = "to begin anew: vdk datasource state reset FLOW --stream tickets"
            raise base.StateError(f"the state {dict(state)} is not of this source: {error}; {remedy}") from error

    def tickets(self) -> Iterator[Ticket]:
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
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
