"""A plugin on CloudQuery's SDK for Python: one table of a SQLite database, row by row, as its documentation shows."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from cloudquery.sdk import plugin, schema, serve
from cloudquery.sdk.scheduler import Scheduler, TableResolver

COLUMNS = {
    **dict.fromkeys("dgi", pa.int64()),
    **dict.fromkeys("cf", pa.float64()),
    **dict.fromkeys("abeh", pa.string()),
}


class Client:
    """The database."""

    def __init__(self, database: str) -> None:
        self.database = database

    def id(self) -> str:
        return "database"


class Rows(TableResolver):  # type: ignore[misc]  # the SDK has no types
    """The table's rows, as dicts."""

    def __init__(self) -> None:
        columns = [schema.Column("id", pa.int64(), primary_key=True)]
        columns += [schema.Column(name, COLUMNS[name]) for name in sorted(COLUMNS)]
        super().__init__(schema.Table("t", columns))

    def resolve(self, client: Client, parent_resource: Any) -> Iterator[Any]:
        connection = sqlite3.connect(client.database)
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM t"):
            yield dict(row)


class Peer(plugin.Plugin):  # type: ignore[misc]  # the SDK has no types
    """The plugin."""

    def __init__(self) -> None:
        super().__init__("peer", "v1.0.0")

    def init(self, spec: bytes, no_connection: bool = False) -> None:
        self._client = Client(json.loads(spec)["database"])

    def get_tables(self, options: Any) -> list[Any]:
        return [Rows().table]

    def sync(self, options: Any) -> Any:
        return Scheduler(concurrency=4).sync(self._client, [Rows()])

    def close(self) -> None:
        """Nothing is open."""


if __name__ == "__main__":
    arguments = sys.argv[1:]
    address = arguments[arguments.index("--address") + 1]
    serve.PluginCommand(Peer()).run(["serve", "--network", "tcp", "--address", f"unix://{address}"])
