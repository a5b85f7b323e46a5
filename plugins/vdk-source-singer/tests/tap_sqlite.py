"""A tap over a SQLite database with the SDK: all of it is the SDK's, but for the address of the database."""

from __future__ import annotations

import typing as t

from singer_sdk import typing as th
from singer_sdk.connectors import SQLConnector
from singer_sdk.sql.stream import SQLStream
from singer_sdk.sql.tap import SQLTap


class SQLiteConnector(SQLConnector):  # type: ignore[misc, unused-ignore]  # the SDK is not installed here
    def get_sqlalchemy_url(self, config: t.Mapping[str, t.Any]) -> str:
        return f"sqlite:///{config['database']}"


class SQLiteStream(SQLStream):  # type: ignore[misc, unused-ignore]
    connector_class = SQLiteConnector
    STATE_MSG_FREQUENCY = 250


class TapSQLite(SQLTap):  # type: ignore[misc, unused-ignore]
    name = "tap-sqlite"
    default_stream_class = SQLiteStream
    config_jsonschema = th.PropertiesList(th.Property("database", th.StringType, required=True)).to_dict()


TapSQLite.cli()
