# SPDX-License-Identifier: Apache-2.0
"""Transactions that have been open for long, and may commit rows whose cursors a run has passed.

``NOW()`` is the start of a statement, so a row becomes visible with a cursor that is as old as its transaction at
most. ``lookback`` has to be longer than that.
"""

from __future__ import annotations

import datetime as dt
import logging

import pymysql

from vdk.plugin.datasource_sql import SqlSession

log = logging.getLogger(__name__)
_DENIED = 1227
# The server writes trx_started in the time zone of its operating system, whatever that of the session is.
_OPEN = """
SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS age
FROM information_schema.INNODB_TRX
WHERE trx_rows_modified > 0 AND trx_mysql_thread_id <> CONNECTION_ID()
HAVING age > %s ORDER BY age DESC
"""


def open_longer_than(session: SqlSession, lookback: dt.timedelta) -> list[tuple[int, int]] | None:
    """Process id and age in seconds of each such transaction that has written; None: this user may not see them."""
    with session.connection.cursor() as cursor:
        try:
            cursor.execute(_OPEN, [max(lookback.total_seconds(), 1.0)])
        except pymysql.Error as error:
            if error.args[0] == _DENIED:
                return None
            raise
        return [(int(process), int(age)) for process, age in cursor.fetchall()]


def warn_of_open_transactions(session: SqlSession, lookback: dt.timedelta, database: str) -> None:
    """Where the user may see them, which needs the privilege PROCESS."""
    transactions = open_longer_than(session, lookback)
    if transactions:
        listed = ", ".join(f"process {process} for {age} s" for process, age in transactions[:5])
        log.warning(
            "%s: %d transactions that have written have been open for longer than lookback (%s): %s. Rows that they "
            "commit with lower cursors than this run reads are not read. Raise lookback above the longest transaction",
            database, len(transactions), lookback, listed,
        )  # fmt: skip
