"""A row that cannot land: named where it fails the stream, and rejected alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from ..base import Conformance
from ..harness.landing import Landing
from ..harness.sources import MakeSource


@dataclass(frozen=True, slots=True)
class BadRow:
    """A source whose data has one row that cannot land.

    :param source: makes the source.
    :param stream: the stream, and table, of the row.
    :param key: what finds the row, such as its primary key or its line number, as an error has to show it.
    :param others: how many other rows the stream has.
    """

    source: MakeSource
    stream: str
    key: str
    others: int


class BadRowChecks(Conformance):
    """What becomes of a row that cannot land, and of the others."""

    yours: ClassVar[tuple[str, ...]] = ("with_bad_row",)

    @pytest.fixture
    def with_bad_row(self) -> BadRow | None:
        """Optional: a source with one row that cannot land. None: there can be no such row."""
        return None

    def test_a_row_that_cannot_land_is_named(self, with_bad_row: BadRow | None, landing: Landing) -> None:
        """An error that does not say which of a million rows it is about sends somebody to look for it."""
        bad = _given(with_bad_row)
        error = landing.attempt(bad.source, batch_rows=1000)
        assert error is not None, f"the row {bad.key} cannot land, and the run must fail: do not leave the row out"
        assert bad.key in str(error), (
            f"the error must name the row {bad.key}: yield RejectedRows with BadRecordError(reason, key=…); it was "
            f"{type(error).__name__}: {error}"
        )

    def test_a_row_that_cannot_land_is_rejected_alone(self, with_bad_row: BadRow | None, landing: Landing) -> None:
        """One poison row must not stop the others, and must not vanish."""
        bad = _given(with_bad_row)
        error = landing.attempt(bad.source, batch_rows=1000, on_bad_record="reject", max_rejected=1)
        assert error is None, (
            'with on_bad_record = "reject" the run must succeed: yield RejectedRows, since a generator that raised '
            f"cannot go on; it ended with {type(error).__name__}: {error}"
        )
        rejected = landing.tables.get(f"{bad.stream}__rejected", [])
        landed = landing.tables.get(bad.stream, [])
        assert len(rejected) == 1, f"{len(rejected)} rows are rejected, and one cannot land: yield it in RejectedRows"
        assert bad.key in repr(rejected[0]), f"the rejected row must be {bad.key}; it is {rejected[0]}"
        assert len(landed) == bad.others, (
            f"{len(landed)} of {bad.others} other rows landed: reject the row that cannot land, and no other"
        )


def _given(bad: BadRow | None) -> BadRow:
    if bad is None:
        pytest.skip("no `with_bad_row` is given: a BadRow, a source of which one row cannot land")
    return bad
