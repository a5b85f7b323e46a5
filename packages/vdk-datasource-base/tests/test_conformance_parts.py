"""Parts of the conformance suite that no broken source shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conformance_cases import OrderEditor, ShopCase
from reference_shop import Orders, ShopConfig, ShopSource, make_shop
from vdk.plugin.datasource_base import StreamSchema
from vdk.plugin.datasource_base.testing._conformance._landing import Landing


class CursorlessOrders(Orders):
    incremental = True

    def schema(self, table: str | None = None) -> StreamSchema | None:
        found = super().schema(table)
        return replace(found, cursor=None) if found is not None else None


class Cursorless(ShopSource):
    orders = CursorlessOrders


class TimelessEditor(OrderEditor):
    far_future = None  # type: ignore[assignment]  # as a plugin may say


def test_the_check_of_the_far_future_is_skipped_without_a_cursor(tmp_path: Path) -> None:
    """A stream without a cursor has none that could be too high."""
    database = tmp_path / "shop.db"
    make_shop(database)
    with Landing.fresh() as landing, pytest.raises(pytest.skip.Exception, match="the cursor is no time"):
        ShopCase().test_a_row_from_the_far_future_hides_no_later_rows(
            lambda: Cursorless(ShopConfig(database=database)), TimelessEditor(database), landing
        )
