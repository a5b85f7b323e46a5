# SPDX-License-Identifier: Apache-2.0
"""How far a state of a table is, for people."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from vdk.plugin.datasource_sql.generic.source import AnySqlSource
from vdk.plugin.datasource_sql.incremental.state import StreamProgress, encode
from vdk.plugin.datasource_sql.pages.paging import ResumePoint

HIGH = dt.datetime(2026, 1, 31, 9)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (StreamProgress("iso", "2026-01-31", (7, "b")), "at 2026-01-31, id 7, part b"),
        (StreamProgress("timestamp", HIGH, (7, Decimal("1.50"))), "at 2026-01-31T09:00:00, id 7, part 1.50"),
        (StreamProgress("iso", "2026-01-31", oldest=[("2026-01-01", (1, 2))]), "at 2026-01-31"),
        (StreamProgress("iso"), "rows without a value in at were read"),
        (
            StreamProgress("iso", resume=ResumePoint("key", None, (5, "c"), "2026-02-01")),
            "a read up to at 2026-02-01 continues at id 5, part c",
        ),
        (
            StreamProgress("iso", "2026-01-31", (7,), ResumePoint("cursor", "2026-02-01", (9, "x"), "2026-02-03")),
            "at 2026-01-31, id 7, a read up to at 2026-02-03 continues at at 2026-02-01",
        ),
        (
            StreamProgress("iso", "2026-01-31", (7,), ResumePoint("nulls", None, None, "2026-02-03")),
            "at 2026-01-31, id 7, a read up to at 2026-02-03 continues at its beginning",
        ),
    ],
)
def test_a_state_says_which_cursor_it_has_reached(progress: StreamProgress, text: str) -> None:
    assert AnySqlSource.describe_state(encode(progress, ["at"], ["id", "part"], ["id"])) == text
