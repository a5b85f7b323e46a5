"""What the tests share: a source on a database, and the smallest destination there is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from vdk.plugin.datasource_base.contract import DataSourceState, decode_config
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.datasource_sql import SqlStream
from vdk.plugin.datasource_sql.testing import Landed
from vdk.plugin.datasource_sql.testing import run as run_stream
from vdk.plugin.source_postgres.source import PostgresConfig, PostgresSource


def reader_url(server: Server, database: str = "shop", *, password: str = "reader") -> str:
    return f"postgresql://reader:{password}@127.0.0.1:{server.port}/{database}"


def source_of(server: Server, state: Mapping[str, Any] | None = None, **config: Any) -> PostgresSource:
    source = PostgresSource(decode_config({"url": reader_url(server), **config}, PostgresConfig, location="config"))
    source.connect(DataSourceState(state))
    return source


def make_source(port: int, **config: Any) -> PostgresSource:
    """A source that is not connected."""
    url = f"postgresql://reader:reader@127.0.0.1:{port}/shop"
    return PostgresSource(decode_config({"url": url, **config}, PostgresConfig, location="config"))


def stream_of(server: Server, name: str = "t", *, options: dict[str, Any] | None = None, **config: Any) -> SqlStream:
    """One stream; ``options`` are the table's own."""
    if options is not None:
        config["tables"] = {name: options}
    stream: SqlStream = next(stream for stream in source_of(server, **config).streams() if stream.name == name)
    return stream


def run(stream: SqlStream, state: Mapping[str, Any] | None = None) -> Landed:
    """One whole run, at the present time."""
    stream.now = lambda: dt.datetime.now(dt.UTC)
    return run_stream(stream, state)
