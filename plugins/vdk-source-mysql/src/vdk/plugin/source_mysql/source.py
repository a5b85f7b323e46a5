# SPDX-License-Identifier: Apache-2.0
"""The source: a MySQL or MariaDB database, one stream per table."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import Duration, Secret, data_source
from vdk.plugin.datasource_sql import SqlConfig, SqlSession, SqlSource, TableConfig

from .backend import MysqlBackend
from .connecting import SslMode, address_of
from .reflection import without_snapshot
from .transactions import open_longer_than, warn_of_open_transactions

log = logging.getLogger(__name__)
DEFAULT_LOOKBACK = dt.timedelta(minutes=5)
OutOfRangeTimes = Annotated[
    Literal["fail", "null", "text"] | None,
    Meta(
        description="what becomes of zero and partial dates such as 0000-00-00: fail (such rows are bad records), "
        "null, or text (dates and times land as text). Default: fail"
    ),
]


class MysqlTableConfig(TableConfig):
    """Options of one table."""

    out_of_range_times: OutOfRangeTimes = None


class MysqlConfig(SqlConfig):
    """A MySQL or MariaDB database and how its tables are read."""

    table_type: ClassVar[type[TableConfig]] = MysqlTableConfig

    url: Annotated[Secret | None, Meta(description="mysql://user:password@host/database")] = None
    host: Annotated[str | None, Meta(description="the server, instead of url")] = None
    port: Annotated[int | None, Meta(description="its port. Default: 3306")] = None
    database: Annotated[str | None, Meta(description="the database, instead of url")] = None
    user: Annotated[str | None, Meta(description="the user; it needs SELECT on the tables")] = None
    password: Annotated[Secret | None, Meta(description="its password")] = None
    schemas: Annotated[
        list[str],
        Meta(
            description="the databases of the server that are read; with more than one, streams are called "
            "database.table. Default: the database of the connection"
        ),
    ] = msgspec.field(default_factory=list)
    ssl_mode: Annotated[
        SslMode,
        Meta(
            description="whether the connection is encrypted: disabled, preferred (where the server can), required, "
            "verify_ca (the server's certificate is checked) or verify_identity (its name too)"
        ),
    ] = "preferred"
    ssl_ca: Annotated[
        str | None, Meta(description="the file of the authority's certificate. Default: the system's")
    ] = None
    ssl_cert: Annotated[str | None, Meta(description="the file of the client's certificate")] = None
    ssl_key: Annotated[str | None, Meta(description="the file of the client's private key")] = None
    connect_timeout: Annotated[Duration, Meta(description="how long to wait for a connection")] = Duration(seconds=30)
    statement_timeout: Annotated[
        Duration | None, Meta(description="how long one statement may take. Default: the server's setting")
    ] = None
    tinyint1: Annotated[
        Literal["integer", "bool"], Meta(description="how columns land that are declared TINYINT(1) or BOOLEAN")
    ] = "integer"
    out_of_range_times: OutOfRangeTimes = None
    tables: Annotated[Mapping[str, MysqlTableConfig], Meta(description="options per table, by its name")] = (
        msgspec.field(default_factory=dict)
    )


@data_source(name="mysql", config=MysqlConfig)
class MysqlSource(SqlSource[MysqlConfig]):
    """Tables of one MySQL or MariaDB database; read incrementally where they have a cursor, else whole."""

    url_schemes = ("mysql", "mariadb")

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        address_of(url, {})
        return super().options_of_url(url, cursor=cursor)

    @cached_property
    def backend(self) -> MysqlBackend:
        config = self.config
        address = address_of(
            None if config.url is None else config.url.reveal(),
            {
                "host": config.host,
                "port": config.port,
                "database": config.database,
                "user": config.user,
                "password": None if config.password is None else config.password.reveal(),
            },
            ssl_mode=config.ssl_mode,
            ssl_ca=config.ssl_ca,
            ssl_cert=config.ssl_cert,
            ssl_key=config.ssl_key,
            connect_timeout=config.connect_timeout.total_seconds(),
        )
        return MysqlBackend(
            address,
            tuple(config.schemas) or (address.database,),
            statement_timeout=None if config.statement_timeout is None else config.statement_timeout.total_seconds(),
            tinyint1_is_bool=config.tinyint1 == "bool",
        )

    def inspect_server(self, session: SqlSession) -> None:
        self.backend = replace(self.backend, is_mariadb=session.connection.is_mariadb)
        with session.translated():
            warn_of_open_transactions(session, self._lookback, self.identity())

    def check(self) -> None:
        super().check()
        with SqlSession(self.backend) as session, session.translated():
            if tables := without_snapshot(session, self.backend.schemas):
                log.warning(
                    "%s: the storage engines of these tables read no snapshot, so a row that changes while they are "
                    "read may be missing until the next run, or land twice: %s. To convert one: ALTER TABLE … "
                    "ENGINE = InnoDB",
                    self.identity(), ", ".join(tables[:20]) + (" …" if len(tables) > 20 else ""),
                )  # fmt: skip
            if open_longer_than(session, self._lookback) is None:
                log.warning(
                    "%s: the user may not see the transactions of others, so runs do not warn of those that are open "
                    "longer than lookback and may commit rows with lower cursors than were read. A database "
                    "administrator can run: GRANT PROCESS ON *.* TO the user",
                    self.identity(),
                )  # fmt: skip

    @property
    def _lookback(self) -> dt.timedelta:
        """The shortest of all tables."""
        own = [table.lookback for table in self.config.tables.values() if table.lookback is not None]
        return min([DEFAULT_LOOKBACK if self.config.lookback is None else self.config.lookback, *own])
