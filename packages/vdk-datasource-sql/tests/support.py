"""What the tests share: a database, and a source on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import DataSourceState, decode_config
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
