# SPDX-License-Identifier: Apache-2.0
"""The source: a PostgreSQL database, one stream per table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceState, Duration, Secret, data_source
from vdk.plugin.datasource_sql import SqlConfig, SqlSession, SqlSource

from .backend import PostgresBackend
from .barrier import WaitBudget
from .bulk import bulk_version
from .connecting import conninfo_of, identity_of
from .snapshots import Snapshots
from .table_sizes import TableSize, table_sizes
from .whole_reads import in_parts

BARRIER_LOOKBACK = Duration(seconds=1)
"""Cursors with few fractional digits are rounded, so the last second is read again."""


class PostgresConfig(SqlConfig):
    """A PostgreSQL database and how its tables are read."""

    url: Annotated[Secret | None, Meta(description="postgresql://user:password@host/database, as libpq reads it")] = (
        None
    )
    host: Annotated[str | None, Meta(description="the server, instead of url")] = None
    port: Annotated[int | None, Meta(description="its port. Default: 5432")] = None
    database: Annotated[str | None, Meta(description="the database, instead of url")] = None
    user: Annotated[str | None, Meta(description="the user; it needs SELECT on the tables")] = None
    password: Annotated[Secret | None, Meta(description="its password")] = None
    schemas: Annotated[
        list[str],
        Meta(
            description="the schemas that are read; with more than one, streams are called schema.table", min_length=1
        ),
    ] = msgspec.field(default_factory=lambda: ["public"])
    connect_timeout: Annotated[Duration, Meta(description="how long to wait for a connection")] = Duration(seconds=30)
    statement_timeout: Annotated[
        Duration | None, Meta(description="how long one statement may take. Default: the server's setting")
    ] = None
    late_commit_wait: Annotated[
        Duration,
        Meta(
            description="how long a run waits for open transactions, whose rows may have lower cursors than it has "
            "read; rows that could be overtaken are left to the next run"
        ),
    ] = Duration(seconds=10)
    longest_transaction: Annotated[
        Duration | None,
        Meta(
            description="a transaction that is open for longer is not waited for, and rows that it commits may be "
            "lost. Default: rows are held back until it has ended"
        ),
    ] = None
    bulk: Annotated[bool, Meta(description="read large tables with ADBC; false: as small ones, row by row")] = True
    partition_rows: Annotated[
        int,
        Meta(
            description="a table that is read whole is read in parts of about so many rows, in parallel and from one "
            "snapshot",
            ge=1,
        ),
    ] = 1_000_000


@data_source(name="postgres", config=PostgresConfig)
class PostgresSource(SqlSource[PostgresConfig]):
    """Tables of one PostgreSQL database; read incrementally where they have a cursor, else whole."""

    scheme = "postgresql"
    url_schemes = ("postgresql", "postgres")

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        conninfo_of(url)
        return super().options_of_url(url, cursor=cursor)

    def __init__(self, config: PostgresConfig) -> None:
        super().__init__(config)
        self._snapshots = Snapshots()
        self._sizes: dict[tuple[str, str], TableSize] = {}

    @cached_property
    def backend(self) -> PostgresBackend:
        config = self.config
        conninfo = conninfo_of(
            None if config.url is None else config.url.reveal(),
            host=config.host,
            port=config.port,
            dbname=config.database,
            user=config.user,
            password=None if config.password is None else config.password.reveal(),
            connect_timeout=max(1, round(config.connect_timeout.total_seconds())),
        )
        return PostgresBackend(
            Secret(conninfo),
            identity_of(conninfo),
            tuple(config.schemas),
            statement_timeout=None if config.statement_timeout is None else config.statement_timeout.total_seconds(),
            wait_budget=WaitBudget(
                config.late_commit_wait.total_seconds(),
                None if config.longest_transaction is None else config.longest_transaction.total_seconds(),
            ),
        )

    def inspect_server(self, session: SqlSession) -> None:
        version = bulk_version(session) if self.config.bulk else 0
        self.backend = replace(self.backend.at(session), bulk_version=version)
        self._sizes = table_sizes(session, self.config.schemas) if version else {}

    def connect(self, state: DataSourceState) -> None:
        super().connect(state)
        for stream in self._streams or ():
            if self.backend.has_barrier(stream.plan.table):
                lookback = max(stream.plan.options.lookback or BARRIER_LOOKBACK, BARRIER_LOOKBACK)
                options = msgspec.structs.replace(stream.plan.options, lookback=lookback)
                stream.plan = replace(stream.plan, options=options)

    def streams(self) -> Sequence[Any]:
        """A ``SqlStream`` for each table, and a ``WholeTable`` for large ones that are read whole."""
        return in_parts(super().streams(), self._sizes, self.backend, self._snapshots, self.config.partition_rows)

    def disconnect(self) -> None:
        self._snapshots.close()
        super().disconnect()
