# SPDX-License-Identifier: Apache-2.0
"""The options of the source ``sql``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import Duration, Secret

from ..config import SqlConfig


class AnySqlConfig(SqlConfig):
    """A database that SQLAlchemy has a dialect for, and how its tables are read."""

    url: Annotated[
        Secret | None, Meta(description="SQLAlchemy's URL: mssql+pyodbc://user:password@host/database?driver=…")
    ] = None
    drivername: Annotated[str | None, Meta(description="dialect and driver instead of url, as in mysql+pymysql")] = None
    host: Annotated[str | None, Meta(description="the server, instead of url")] = None
    port: Annotated[int | None, Meta(description="its port. Default: the driver's")] = None
    database: Annotated[str | None, Meta(description="the database, instead of url")] = None
    user: Annotated[str | None, Meta(description="the user; it needs to read only")] = None
    password: Annotated[Secret | None, Meta(description="its password")] = None
    identity: Annotated[
        str | None,
        Meta(description="a name for the database, where the URL names no host. States are stored under it"),
    ] = None
    schemas: Annotated[
        list[str],
        Meta(
            description="the schemas that are read; with more than one, streams are called schema.table. Default: the "
            "user's default schema"
        ),
    ] = msgspec.field(default_factory=list)
    connect_timeout: Annotated[Duration, Meta(description="how long to wait for a connection")] = Duration(seconds=30)
