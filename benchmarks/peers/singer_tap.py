"""A tap of a few lines on singer-sdk's own SQL classes. Run it with ``--config FILE``."""

from collections.abc import Mapping
from typing import Any

from singer_sdk import typing as th
from singer_sdk.sql import SQLConnector, SQLStream, SQLTap


class Connector(SQLConnector):  # type: ignore[misc]  # the SDK has no types
    """How the database is reached."""

    def get_sqlalchemy_url(self, config: Mapping[str, Any]) -> str:
        return str(config["url"])


class Stream(SQLStream):  # type: ignore[misc]  # the SDK has no types
    """A table."""

    connector_class = Connector


class Tap(SQLTap):  # type: ignore[misc]  # the SDK has no types
    """The tap."""

    name = "tap-bench"
    default_stream_class = Stream
    config_jsonschema = th.PropertiesList(th.Property("url", th.StringType, required=True)).to_dict()

    @property
    def catalog_dict(self) -> dict[str, Any]:
        """The table ``orders`` alone, selected: a tap reads nothing that nobody asked for."""
        found: dict[str, Any] = super().catalog_dict
        found["streams"] = [stream for stream in found["streams"] if stream["table_name"] == "orders"]
        for stream in found["streams"]:
            for each in stream["metadata"]:
                each["metadata"]["selected"] = True
        return found


if __name__ == "__main__":
    Tap.cli()
