# SPDX-License-Identifier: Apache-2.0
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
from ..capabilities import Level, at, needs
from ..harness.landing import Landing
from ..harness.reading import MakeSource, Row, Table, read_tables


def counted(rows: Iterable[Row]) -> Counter[str]:
    """Rows as a multiset: equal rows have equal texts."""
    return Counter(repr(sorted(row.items(), key=lambda item: str(item[0]))) for row in rows)


def rows_by_table(tables: Mapping[str, Table]) -> dict[str, Counter[str]]:
    return {name: counted(table.rows) for name, table in tables.items()}


def lost(tables: Mapping[str, Sequence[Row]], whole: Mapping[str, Sequence[Row]]) -> list[str]:
    """The first rows of ``whole`` that ``tables`` lack, with their tables."""
    return [f"{name}: {row}" for name, rows in whole.items() for row in _missing(tables.get(name, ()), rows)][:5]


def _missing(rows: Sequence[Row], expected: Sequence[Row]) -> Counter[str]:
    return counted(expected) - counted(rows)


def differences(landed: Sequence[Row], expected: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of ``expected`` that did not land unchanged, and the rows that landed and are not expected."""
    unexpected = list(landed)
    missing = []
    for row in expected:
        index = next((index for index, other in enumerate(unexpected) if _is_same_row(row, other)), None)
        if index is None:
            missing.append(row)
        else:
            del unexpected[index]
    return missing, unexpected


def _is_same_row(expected: Row, landed: Row) -> bool:
    return all(_is_same(expected.get(name), landed.get(name)) for name in {*expected, *landed})


def _is_same(expected: Any, landed: Any) -> bool:
    """Whether a value landed unchanged: it is equal, or has another form that keeps all of it."""
    if isinstance(expected, dt.datetime) and isinstance(landed, dt.datetime):
        return (expected.tzinfo is None) == (landed.tzinfo is None) and expected == landed
    if isinstance(expected, float) and isinstance(landed, decimal.Decimal):
        return decimal.Decimal(repr(expected)) == landed
    if isinstance(expected, str) and isinstance(landed, (dt.date, dt.time)):
        return _is_same(type(landed).fromisoformat(expected), landed)
    if isinstance(expected, bool) != isinstance(landed, bool):
        return False
    if expected == landed or (expected != expected and landed != landed):
        return True
    return isinstance(landed, str) and expected is not None and landed in (str(expected), to_json(expected))


class RowChecks(Conformance):
    """Rows, compared with the schema and with the rows that are expected."""

    overridable: ClassVar[tuple[str, ...]] = ("fingerprint", "empty_source")

    @pytest.fixture
    def fingerprint(self) -> Callable[[], Any] | None:
        """Optional: returns a value that changes with the data, such as the hash of a file."""
        return None

    @pytest.fixture
    def empty_source(self) -> MakeSource | None:
        """Optional: makes a source without rows, for data of which ``expected`` cannot have an empty stream."""
        return None

    def test_every_stream_lands(self, source: MakeSource, landing: Landing) -> None:
        """The simplest run: every row fits its column, and every stream ends."""
        error = landing.attempt(source, batch_rows=1000)
        assert error is None, f"a run of all streams failed: yield values of the declared types ({error})"

    def test_rows_have_declared_columns_only(self, source: MakeSource) -> None:
        """An undeclared column appears at the destination one day, with the type of its first value."""
        for name, table in read_tables(source).items():
            if table.schema is not None and not table.schema.open:
                extra = sorted({column for row in table.rows for column in row} - set(table.schema.fields.names))
                assert not extra, f"{name}: rows have the undeclared columns {extra}: declare them or do not yield them"

    def test_keys_are_never_null(self, source: MakeSource) -> None:
        """A row without a key cannot be found again, so each change adds it once more."""
        for name, table in read_tables(source).items():
            missing = [key for key in table.keys if None in key]
            assert not missing, f"{name}: {len(missing)} rows have the key {missing[0]} with nulls: choose another key"

    def test_keys_are_unique(self, source: MakeSource) -> None:
        """Of two rows with one key the destination keeps the last, and loses the other without an error."""
        for name, table in read_tables(source).items():
            doubled = [key for key, count in Counter(map(repr, table.keys)).items() if count > 1]
            assert not doubled, f"{name}: several rows have the key {doubled[0]}: add a column that distinguishes them"

    def test_values_land_as_they_were_read(self, source: MakeSource, landing: Landing) -> None:
        """A time without a zone in a column with one lands as UTC, which is hours off."""
        landing.run(source, batch_rows=1000)
        for name, table in read_tables(source).items():
            changed, other = differences(landing.tables.get(name, []), table.rows)
            assert not changed, (
                f"{name}: the row {changed[0]} landed as {other[:1]}: yield values of the declared types, and times "
                "with a zone"
            )

    @at("beta")
    def test_the_expected_rows_land(
        self, source: MakeSource, expected: Mapping[str, list[Row]] | None, landing: Landing
    ) -> None:
        """Only the rows show that a source rounds, truncates or skips."""
        if expected is None:
            pytest.skip("define the fixture `expected`: the rows of each stream")
        landing.run(source, batch_rows=1000)
        for stream, rows in expected.items():
            missing, other = differences(landing.tables.get(stream, []), rows)
            assert not missing, (
                f"{stream}: {len(missing)} rows did not land as expected, such as {missing[0]}; instead landed "
                f"{other[:1]}: yield the values unchanged"
            )
            assert not other, f"{stream}: {len(other)} unexpected rows landed, such as {other[0]}: yield each row once"

    @at("beta")
    def test_an_empty_stream_lands_an_empty_table(
        self,
        source: MakeSource,
        empty_source: MakeSource | None,
        expected: Mapping[str, list[Row]] | None,
        landing: Landing,
    ) -> None:
        """Every table is empty on its first day; a query of it must not fail."""
        empty = [name for name, rows in (expected or {}).items() if not rows]
        if empty_source is not None:
            empty = list(read_tables(empty_source))
        if not empty:
            pytest.skip("`expected` has no empty stream: add a table without rows, or define `empty_source`")
        for _ in range(2):
            error = landing.attempt(empty_source or source)
            assert error is None, f"a run with a stream without rows failed: end the stream without an error ({error})"
        missing = [name for name in empty if not landing.store.schemas.get(name)]
        assert not missing, f"the empty streams {missing} landed no table with columns: declare a schema"

    def test_the_source_is_only_read(
        self, source: MakeSource, fingerprint: Callable[[], Any] | None, landing: Landing
    ) -> None:
        """A source that marks or deletes what it has read destroys data that others need."""
        before = fingerprint() if fingerprint is not None else None
        rows = rows_by_table(read_tables(source))
        for _ in range(2):
            landing.run(source)
        after = fingerprint() if fingerprint is not None else None
        assert before == after, "the data changed while it was read: open the connection for reading only"
        assert rows == rows_by_table(read_tables(source)), (
            "the source yields other rows after it was read: read without writing, and keep nothing between reads"
        )


@dataclass(frozen=True, slots=True)
class BadRow:
    """A source whose data has one row that cannot land.

    :param source: makes the source.
    :param stream: the stream, and table, of the row.
    :param key: the text that identifies the row in an error, such as its primary key or its line number.
    :param others: the number of other rows in the stream.
    """

    source: MakeSource
    stream: str
    key: str
    others: int


@needs("bad_rows")
class BadRowChecks(Conformance):
    """A row that cannot land, and the rows beside it."""

    overridable: ClassVar[tuple[str, ...]] = ("with_bad_row",)
    level: ClassVar[Level] = "stable"

    @pytest.fixture
    def with_bad_row(self) -> BadRow | None:
        """Optional: a source with one row that cannot land. None: not possible."""
        return None

    def test_a_row_that_cannot_land_is_named(self, with_bad_row: BadRow | None, landing: Landing) -> None:
        """If the error does not say which of a million rows is wrong, somebody has to search for it."""
        bad = _required(with_bad_row)
        error = landing.attempt(bad.source, batch_rows=1000)
        assert error is not None, f"the run succeeded although the row {bad.key} cannot land: do not skip the row"
        assert bad.key in str(error), (
            f"the error does not name the row {bad.key}: yield RejectedRows with BadRecordError(reason, key=…). It is "
            f"{type(error).__name__}: {error}"
        )

    def test_a_row_that_cannot_land_is_rejected_alone(self, with_bad_row: BadRow | None, landing: Landing) -> None:
        """One bad row must not stop the others, and must not disappear."""
        bad = _required(with_bad_row)
        error = landing.attempt(bad.source, batch_rows=1000, on_bad_record="reject", max_rejected=1)
        assert error is None, (
            'the run failed with on_bad_record = "reject": yield RejectedRows, since a generator that raised cannot '
            f"continue. The error is {type(error).__name__}: {error}"
        )
        rejected = landing.tables.get(f"{bad.stream}__rejected", [])
        landed = landing.tables.get(bad.stream, [])
        assert len(rejected) == 1, f"{len(rejected)} rows were rejected, expected 1: yield the bad row in RejectedRows"
        assert bad.key in repr(rejected[0]), f"{rejected[0]} was rejected, expected {bad.key}: reject only the bad row"
        assert len(landed) == bad.others, (
            f"{len(landed)} of {bad.others} other rows landed: reject the row that cannot land, and no other"
        )


def _required(bad: BadRow | None) -> BadRow:
    if bad is None:
        pytest.skip("define the fixture `with_bad_row`: a BadRow, a source of which one row cannot land")
    return bad
