"""A plugin on CloudQuery's SDK for Python: the table ``orders`` of a database, or of an API, row by row.

As the SDK's documentation shows it. The specification has ``url``, and ``columns`` with the type of each.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import requests
import sqlalchemy
from cloudquery.sdk import plugin, schema, serve
from cloudquery.sdk.scheduler import Scheduler, TableResolver

TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}
CONVERTED = {dt.datetime: str, decimal.Decimal: float, bool: int}


class Client:
    """Where the rows are."""

    def __init__(self, url: str) -> None:
        self.url = url

    def id(self) -> str:
        return "orders"

    def rows(self) -> Iterator[dict[str, Any]]:
        if self.url.startswith("http:"):
            yield from self._pages()
            return
        with sqlalchemy.create_engine(self.url).connect() as connection:
            for row in connection.execution_options(yield_per=10_000).execute(sqlalchemy.text("SELECT * FROM orders")):
                yield dict(row._mapping)

    def _pages(self) -> Iterator[dict[str, Any]]:
        path = "/orders"
        with requests.Session() as session:
            while path:
                body = session.get(f"{self.url}{path}", timeout=60).json()
                yield from body["orders"]
                path = body["next"]


class Rows(TableResolver):  # type: ignore[misc]  # the SDK has no types
    """The table's rows, as dicts of what the SDK's types take."""

    def __init__(self, columns: dict[str, str]) -> None:
        found = [schema.Column(name, TYPES[kind], primary_key=name == "id") for name, kind in columns.items()]
        super().__init__(schema.Table("orders", found))

    def resolve(self, client: Client, parent_resource: Any) -> Iterator[Any]:
        for row in client.rows():
            yield {name: CONVERTED.get(type(value), lambda same: same)(value) for name, value in row.items()}


class Peer(plugin.Plugin):  # type: ignore[misc]  # the SDK has no types
    """The plugin."""

    def __init__(self) -> None:
        super().__init__("peer", "v1.0.0")

    def init(self, spec: bytes, no_connection: bool = False) -> None:
        given = json.loads(spec)
        self._client, self._rows = Client(given["url"]), Rows(given["columns"])

    def get_tables(self, options: Any) -> list[Any]:
        return [self._rows.table]

    def sync(self, options: Any) -> Any:
        return Scheduler(concurrency=4).sync(self._client, [self._rows])

    def close(self) -> None:
        """Nothing is open."""


if __name__ == "__main__":
    arguments = sys.argv[1:]
    address = arguments[arguments.index("--address") + 1]
    serve.PluginCommand(Peer()).run(["serve", "--network", "tcp", "--address", f"unix://{address}"])
