"""A tap of a few lines on singer-sdk's own REST classes. Run it with ``--config FILE``, which has ``url``."""

from typing import Any

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BaseHATEOASPaginator


class Paginator(BaseHATEOASPaginator):  # type: ignore[misc]  # the SDK has no types
    """The next page's link is in the body."""

    def get_next_url(self, response: Any) -> Any:
        return response.json()["next"]


class Orders(RESTStream):  # type: ignore[misc]  # the SDK has no types
    """The records."""

    name = "orders"
    path = "/orders"
    primary_keys = ("id",)
    records_jsonpath = "$.orders[*]"
    schema = th.PropertiesList(
        *(th.Property(name, th.IntegerType) for name in ("id", "customer")),
        *(th.Property(name, th.StringType) for name in ("status", "email", "note")),
        th.Property("amount", th.NumberType),
        th.Property("gift", th.BooleanType),
        th.Property("updated_at", th.DateTimeType),
    ).to_dict()

    @property
    def url_base(self) -> str:
        return str(self.config["url"])

    def get_new_paginator(self) -> Paginator:
        return Paginator()

    def get_url_params(self, context: Any, next_page_token: Any) -> Any:
        return {"page": next_page_token.query.removeprefix("page=")} if next_page_token else {}


class ApiTap(Tap):  # type: ignore[misc]  # the SDK has no types
    """The tap."""

    name = "tap-bench"
    config_jsonschema = th.PropertiesList(th.Property("url", th.StringType, required=True)).to_dict()

    def discover_streams(self) -> list[Orders]:
        return [Orders(self)]


if __name__ == "__main__":
    ApiTap.cli()
