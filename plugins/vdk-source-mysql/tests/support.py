"""What the tests share: a source on a database, and the smallest destination there is."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    DataSourcePayload,
    DataSourceState,
    RejectedRows,
    decode_config,
)
from vdk.plugin.datasource_base.testing.mariadb import Server
from vdk.plugin.datasource_sql import SqlStream
from vdk.plugin.source_mysql.source import MysqlConfig, MysqlSource


def reader_url(server: Server, database: str = "shop", *, password: str = "reader") -> str:
    return server.url(database, user="reader", password=password)


def source_of(server: Server, state: Mapping[str, Any] | None = None, **config: Any) -> MysqlSource:
    source = MysqlSource(decode_config({"url": reader_url(server), **config}, MysqlConfig, location="config"))
    source.connect(DataSourceState(state))
    return source


def stream_of(server: Server, name: str = "t", *, options: dict[str, Any] | None = None, **config: Any) -> SqlStream:
    """One stream; ``options`` are the table's own."""
    if options is not None:
        config["tables"] = {name: options}
    return next(stream for stream in source_of(server, **config).streams() if stream.name == name)


class Landed:
    """Rows in the order they came, deleted keys, the rejected, counters, and the last state."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.keys: list[dict[str, Any]] = []
        self.rejected: list[Any] = []
        self.counters: dict[str, int] = {}
        self.state: dict[str, Any] = dict(state or {})

    def add(self, payload: DataSourcePayload) -> None:
        data = payload.data
        if isinstance(data, RejectedRows):
            self.rejected += data.rows
        elif isinstance(data, pa.Table):
            rows = data.to_pylist()
            if payload.kind == "keys":
                self.keys += rows
            elif payload.kind == "rows":
                self.rows += rows
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
    stream.now = lambda: dt.datetime.now(dt.UTC)
    for payload in stream.read(landed.state):
        landed.add(payload)
    return landed
