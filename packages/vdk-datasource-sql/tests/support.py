"""What the tests share: a database, a source on it, and the smallest destination there is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    DataSourcePayload,
    DataSourceState,
    RejectedRows,
    decode_config,
)
from vdk.plugin.datasource_sql import SqlStream
from vdk.plugin.datasource_sql.generic.source import AnySqlConfig, AnySqlSource


@dataclass(frozen=True)
class Database:
    """A database that the tests write to."""

    engine: sa.Engine

    @property
    def url(self) -> str:
        return self.engine.url.render_as_string(hide_password=False)

    def execute(self, sql: str, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        """Execute and commit one statement, with each of the rows if there are any."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(sql), list(rows) or None)


def source_of(url: str, state: Mapping[str, Any] | None = None, **config: Any) -> AnySqlSource:
    source = AnySqlSource(decode_config({"url": url, **config}, AnySqlConfig, location="config"))
    source.connect(DataSourceState(state))
    return source


def stream_of(url: str, name: str = "t", *, options: dict[str, Any] | None = None, **config: Any) -> SqlStream:
    """One stream; ``options`` are the table's own."""
    if options is not None:
        config["tables"] = {name: options}
    return next(stream for stream in source_of(url, **config).streams() if stream.name == name)


class Landed:
    """Rows in the order they came, the rejected, counters, and the last state."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.rejected: list[Any] = []
        self.counters: dict[str, int] = {}
        self.state: dict[str, Any] = dict(state or {})

    def add(self, payload: DataSourcePayload) -> None:
        if isinstance(payload.data, RejectedRows):
            self.rejected += payload.data.rows
        elif isinstance(payload.data, pa.Table):
            self.rows += payload.data.to_pylist()
        for name, count in payload.metadata.items():
            name = name.removeprefix(COUNTER_PREFIX)
            self.counters[name] = self.counters.get(name, 0) + int(count)  # type: ignore[arg-type]
        if payload.state is not None:
            self.state = json.loads(json.dumps(payload.state))

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def run(stream: SqlStream, state: Mapping[str, Any] | None = None) -> Landed:
    """One whole run."""
    landed = Landed(state)
    for payload in stream.read(landed.state):
        landed.add(payload)
    return landed
