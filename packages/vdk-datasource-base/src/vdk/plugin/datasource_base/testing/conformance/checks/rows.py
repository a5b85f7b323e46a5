"""Rows: what they contain, how they land, and what happens to a row that cannot land."""

from __future__ import annotations

import datetime as dt
import decimal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ....parts import to_json
from ..base import Conformance
from ..harness.landing import Landing
from ..harness.reading import MakeSource, Row, Table, read_tables


def counted(rows: Iterable[Row]) -> Counter[str]:
    """Rows as a multiset: equal rows have equal texts."""
    return Counter(repr(sorted(row.items(), key=lambda item: str(item[0]))) for row in rows)


def rows_by_table(tables: Mapping[str, Table]) -> dict[str, Counter[str]]:
    return {name: counted(table.rows) for name, table in tables.items()}


def lost(tables: Mapping[str, Sequence[Row]], whole: Mapping[str, Sequence[Row]]) -> list[str]:
    """Rows of ``whole`` that ``tables`` lack, with their tables, a few of them."""
    return [f"{name}: {row}" for name, rows in whole.items() for row in _missing(tables.get(name, ()), rows)][:5]


def _missing(rows: Sequence[Row], wanted: Sequence[Row]) -> Counter[str]:
    return counted(wanted) - counted(rows)


def unlike(landed: Sequence[Row], given: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of ``given`` that did not land as they are, and rows that landed and were not given."""
    rest = list(landed)
    missing = []
    for row in given:
        found = next((index for index, one in enumerate(rest) if _same_row(row, one)), None)
        if found is None:
            missing.append(row)
        else:
            del rest[found]
    return missing, rest


def _same_row(given: Row, landed: Row) -> bool:
    return all(_same(given.get(name), landed.get(name)) for name in {*given, *landed})


def _same(given: Any, landed: Any) -> bool:
    """Whether a value landed as it was given: equal, or in the one other form that keeps all of it."""
    if isinstance(given, dt.datetime) and isinstance(landed, dt.datetime):
        return (given.tzinfo is None) == (landed.tzinfo is None) and given == landed
    if isinstance(given, float) and isinstance(landed, decimal.Decimal):
        return decimal.Decimal(repr(given)) == landed
    if isinstance(given, str) and isinstance(landed, (dt.date, dt.time)):
        return _same(type(landed).fromisoformat(given), landed)
    if isinstance(given, bool) != isinstance(landed, bool):
        return False
    if given == landed or (given != given and landed != landed):
        return True
    return isinstance(landed, str) and given is not None and landed in (str(given), to_json(given))


class RowChecks(Conformance):
    """Rows, against what the schema says and against what is known of them."""

    yours: ClassVar[tuple[str, ...]] = ("fingerprint",)

    @pytest.fixture
    def fingerprint(self) -> Callable[[], Any] | None:
        """Optional: gives something that differs once the data was changed, such as a file's hash."""
        return None

    def test_every_stream_lands(self, source: MakeSource, landing: Landing) -> None:
        """The plainest run there is: every row fits its column, and every stream ends."""
        error = landing.attempt(source, batch_rows=1000)
        assert error is None, f"a run of all streams must succeed: {error}"

    def test_rows_have_declared_columns_only(self, source: MakeSource) -> None:
        """A column that is not declared appears at the destination one day, with the type of its first value."""
        for name, table in read_tables(source).items():
            if table.schema is not None and not table.schema.open:
                extra = sorted({column for row in table.rows for column in row} - set(table.schema.fields.names))
                assert not extra, f"{name}: declare the columns {extra}, or do not yield them"

    def test_keys_are_never_null(self, source: MakeSource) -> None:
        """A row without a key cannot be found again, so it lands once more with each change."""
        for name, table in read_tables(source).items():
            missing = [key for key in table.keys if None in key]
            assert not missing, f"{name}: {len(missing)} rows have no primary key ({missing[0]}): choose another key"

    def test_keys_are_unique(self, source: MakeSource) -> None:
        """Of two rows of one key the destination keeps the last: the other is lost without a word."""
        for name, table in read_tables(source).items():
            doubled = [key for key, count in Counter(map(repr, table.keys)).items() if count > 1]
            assert not doubled, f"{name}: the key {doubled[0]} is on several rows: name a column that tells them apart"

    def test_values_land_as_they_were_read(self, source: MakeSource, landing: Landing) -> None:
        """A time without a zone in a column that has one lands as UTC, hours away from what was meant."""
        landing.run(source, batch_rows=1000)
        for name, table in read_tables(source).items():
            changed, other = unlike(landing.tables.get(name, []), table.rows)
            assert not changed, (
                f"{name}: the row {changed[0]} landed as {other[:1]}: yield values of the columns' own types, and "
                "times with their zone"
            )

    def test_the_expected_rows_land(
        self, source: MakeSource, expected: Mapping[str, list[Row]] | None, landing: Landing
    ) -> None:
        """Nothing but the rows themselves shows that a source rounds, cuts off or leaves out."""
        if expected is None:
            pytest.skip("no `expected` is given: the rows of each stream")
        landing.run(source, batch_rows=1000)
        for stream, rows in expected.items():
            missing, other = unlike(landing.tables.get(stream, []), rows)
            assert not missing, f"{stream}: {len(missing)} rows did not land as expected: {missing[0]}, but {other[:1]}"
            assert not other, f"{stream}: {len(other)} rows landed that nobody expected: {other[0]}"

    def test_an_empty_stream_lands_an_empty_table(
        self, source: MakeSource, expected: Mapping[str, list[Row]] | None, landing: Landing
    ) -> None:
        """Every table is empty on its first day; a query over it must not fail for that."""
        empty = [name for name, rows in (expected or {}).items() if not rows]
        if not empty:
            pytest.skip("no stream of `expected` is empty: add one, such as a table without rows")
        for _ in range(2):
            error = landing.attempt(source)
            assert error is None, f"a stream without rows must end like any other: {error}"
        missing = [name for name in empty if not landing.store.schemas.get(name)]
        assert not missing, f"{missing} left no table with columns: declare a schema, so that an empty one can be made"

    def test_the_source_is_only_read(
        self, source: MakeSource, fingerprint: Callable[[], Any] | None, landing: Landing
    ) -> None:
        """A source that marks what it read, or cleans up, destroys data that others need."""
        before = fingerprint() if fingerprint is not None else None
        rows = rows_by_table(read_tables(source))
        for _ in range(2):
            landing.run(source)
        after = fingerprint() if fingerprint is not None else None
        assert before == after, "the data is not what it was before it was read: read without writing"
        assert rows == rows_by_table(read_tables(source)), (
            "the source gives other rows after it was read: read without writing, and keep nothing between readings"
        )


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
