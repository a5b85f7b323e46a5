# SPDX-License-Identifier: Apache-2.0
"""The checks of a database that is a server: it ends, its connections are cut, its users lack privileges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from vdk.plugin.datasource_base.contract import DataSource, DataSourceError, DataSourceState
from vdk.plugin.datasource_base.testing import Landing, proxied
from vdk.plugin.datasource_base.testing.faults import assert_exactly_once

from ..source import SqlSource
from .database import START, SqlServer
from .landed import opened, run
from .suite import TICK, SqlConformance

CUTS = 8
"""At how many places of a run its connections are cut, each in a run of its own."""


class SqlServerConformance(SqlConformance):
    """What every source of a database server does. The fixture ``database`` is an ``SqlServer``.

    Tables have no primary key here, so that rows are appended and a repeated one shows.
    """

    def test_a_table_without_privilege_fails_alone(self, database: SqlServer, landing: Landing) -> None:
        """The others land, and the error names the table."""
        for table in ("a", "b", "c"):
            database.create(table, {"id": database.integer})
            database.insert(table, [(1,), (2,)])
        database.hide("b")
        error = landing.attempt(database.source)
        assert error is None or "b" in str(error)
        assert {name: len(rows) for name, rows in landing.tables.items() if rows} == {"a": 2, "c": 2}

    def test_a_column_of_another_type(self, database: SqlServer) -> None:
        """The next run lands it as what it is now."""
        database.create("t", {"id": database.integer, "c": database.time, "x": database.integer}, key="id")
        database.insert("t", [(1, START, 5)])
        with opened(self._by_cursor(database), "t") as stream:
            first = run(stream)
        database.change_type("t", "x", database.text)
        database.insert("t", [(2, START + TICK, "six")])
        with opened(self._by_cursor(database), "t") as stream:
            second = run(stream, first.state)
            third = run(stream, second.state)
        assert {row["id"]: row["x"] for row in second.rows}[2] == "six"
        assert third.rows == []

    def test_streams_share_a_connection(self, database: SqlServer) -> None:
        """To connect for each of thousands of small tables takes longer than to read them. A connection that was cut
        while no stream used it is replaced."""
        for table in ("a", "b", "c"):
            database.create(table, {"id": database.integer})
            database.insert(table, [(1,), (2,)])
        with proxied(database.port) as (port, proxy):
            source = database.source_at(port)
            if not isinstance(source, SqlSource) or source.backend.idle is None:
                return  # nothing is known of what its driver leaves in a session
            for connections in (1, 2):
                source.connect(DataSourceState())
                assert {stream.name: len(run(stream).rows) for stream in source.streams()} == {"a": 2, "b": 2, "c": 2}
                assert proxy.connections == connections
                proxy.cut()
            source.disconnect()

    @pytest.mark.heavy
    @pytest.mark.parametrize("order", ["by cursor", "by key", "whole"])
    def test_a_connection_is_cut_anywhere(self, database: SqlServer, order: str) -> None:
        """The run fails, or has everything; after the next one every row is there once."""
        options = self._many(database, 300, order)
        with Landing.fresh() as landing, proxied(database.port) as (port, proxy):
            landing.run(lambda: database.source_at(port, **options))
            size = proxy.passed
        for after in sorted({size * place // CUTS for place in range(CUTS)}):
            with Landing.fresh() as landing, proxied(database.port, after) as (port, _):
                make = partial(database.source_at, port, **options)
                error = landing.attempt(make)
                assert error is not None, f"a run succeeded whose connection was cut after {after} of {size} bytes"
                _finish(landing, make, 300)

    @pytest.mark.heavy
    @pytest.mark.parametrize("order", ["by cursor", "by key", "whole"])
    def test_the_server_is_killed_and_restarted(self, database: SqlServer, landing: Landing, order: str) -> None:
        """The run continues where it was, or fails; after the next one every row is there once."""
        make = partial(database.source, **self._many(database, 1500, order))
        errors: list[Exception | None] = []
        thread = threading.Thread(
            target=lambda: errors.append(landing.attempt(make, retry_attempts=12, retry_delay=0.5))
        )
        thread.start()
        while not landing.tables.get("t") and not landing.store.staged and thread.is_alive():
            time.sleep(0.002)
        is_reading = thread.is_alive()
        database.kill()
        database.start()
        thread.join()
        assert is_reading, "the run ended before the server did, so the check proves nothing: make it longer"
        assert errors[0] is None or isinstance(errors[0], DataSourceError)
        _finish(landing, make, 1500)

    def _many(self, database: SqlServer, count: int, order: str) -> dict[str, Any]:
        """Create ``t`` with ids from 0, ten of each time; the options that read it in an order, in small pages."""
        database.create("t", {"id": database.integer, "c": database.time}, unique="id")
        for start in range(0, count, 1000):
            numbers = range(start, min(start + 1000, count))
            database.insert("t", [(number, START + TICK * (number // 10)) for number in numbers])
        if order == "by cursor":
            database.index("t", "c", "id")
        return {"tables": {"t": {"cursor": False if order == "whole" else "c", "page_rows": 10}}}


def _finish(landing: Landing, make: Callable[[], DataSource[Any]], count: int) -> None:
    """The next run, after which every row is there once."""
    landing.run(make)
    assert_exactly_once(range(count), (row["id"] for row in landing.tables["t"]))
