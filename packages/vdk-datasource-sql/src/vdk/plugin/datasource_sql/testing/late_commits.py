# SPDX-License-Identifier: Apache-2.0
"""The check that no row is lost that is committed late, below cursors that were read."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

import pytest

from vdk.plugin.datasource_base.testing.faults import assert_exactly_once

from .database import SqlServer
from .landed import Landed, opened, run

WRITERS, TRANSACTIONS = 8, 40


class LateCommitConformance:
    """For a server. ``lookback``: the option that the source is run with; None: its default."""

    lookback: ClassVar[str | None] = None

    @pytest.mark.heavy
    @pytest.mark.parametrize("index", [True, False])
    def test_eight_writers_lose_no_row(self, database: SqlServer, index: bool) -> None:
        """A reader without rights reads while transactions commit in another order than that of their cursors."""
        database.create("t", {"id": database.integer, "c": f"{database.time} NOT NULL"}, key="id")
        if index:
            database.index("t", "c", "id")
        errors: list[Exception] = []
        writers = [threading.Thread(target=_write, args=(database, number, errors)) for number in range(WRITERS)]
        options: dict[str, Any] = {} if self.lookback is None else {"lookback": self.lookback}
        landed, ids, runs = Landed(), list[int](), 0
        with opened(database.source(tables={"t": {"cursor": "c"}}, **options), "t") as stream:
            for writer in writers:
                writer.start()
            try:
                while any(writer.is_alive() for writer in writers):
                    landed = run(stream, landed.state)
                    ids += landed.column("id")
                    runs += 1
            finally:
                for writer in writers:
                    writer.join()
            ids += run(stream, landed.state).column("id")
        assert not errors
        assert runs > 3, "the writers ended before the reader had seen them"
        assert_exactly_once((row[0] for row in database.rows(f"SELECT id FROM {database.quoted('t')}")), ids)


def _write(database: SqlServer, writer: int, errors: list[Exception]) -> None:
    """Transactions that take their cursor and commit some time later, which differs."""
    table = database.quoted("t")
    try:
        connection = database.connect()
        try:
            for number in range(TRANSACTIONS):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    time.sleep(0.001 * ((writer * 7 + number * 3) % 23))
                    cursor.execute(f"INSERT INTO {table} VALUES ({writer * 1000 + number}, {database.now})")
                    time.sleep(0.001 * ((writer + number) % 5))
                connection.commit()
        finally:
            connection.close()
    except Exception as error:
        errors.append(error)
