"""A tap of a few lines on singer-sdk's own SQL classes, writing to its standard output."""

import sys
from collections.abc import Mapping
from typing import Any

from singer_sdk import typing as th
from singer_sdk.sql import SQLConnector, SQLStream, SQLTap


class Connector(SQLConnector):  # type: ignore[misc]
    """How the database is reached."""

    def get_sqlalchemy_url(self, config: Mapping[str, Any]) -> str:
        return f"sqlite:///{config['database']}"


class Stream(SQLStream):  # type: ignore[misc]
    """A table."""

    connector_class = Connector


class Tap(SQLTap):  # type: ignore[misc]
    """The tap."""

    name = "tap-bench"
    default_stream_class = Stream
    config_jsonschema = th.PropertiesList(th.Property("database", th.StringType, required=True)).to_dict()


if __name__ == "__main__":
    Tap(config={"database": sys.argv[1]}, parse_env_config=False).sync_all()
