"""Conversion: a value lands as what it is, or is refused; it never changes silently."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import json
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdk.plugin.datasource_base import BadRecordError, StreamSchema
from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts import infer_table, to_json
from vdk.plugin.datasource_base.parts.columns.convert import Converted, convert_batch, convert_rows
from vdk.plugin.datasource_base.parts.columns.deduplicate import last_per_key, without_key
from vdk.plugin.datasource_base.parts.columns.infer import any_json, infer_array
from vdk.plugin.datasource_base.parts.columns.rows import rows_of
from vdk.plugin.datasource_base.parts.columns.types import normalize_types

UTC = dt.UTC
NOTHING: list[Any] = []
DEEP = functools.reduce(lambda inner, _: [inner], range(5000), NOTHING)
WINTER = dt.timezone(dt.timedelta(hours=1))


class Color(str, enum.Enum):  # noqa: UP042  # the old spelling is what is out there
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize("declared", [(), ("id",), ("b", "a"), ("other", "a")])
@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{}, {}],
        [{"a": 1}, {"b": 2}],
        [{"a": 1, "b": 2}, {"b": 3, "a": None}],
        [{"a": 1}, {"a": 1, "b": 2}],
        [{"a": 1, "b": 2}, {"a": 2}],
        [{"a": 2**70, "id": Decimal("1.10")}, {"a": math.nan, "id": 1.5}],
        [{"x": 1, "y": [2]}, {"x": "1", "z": {"y": 2}}],
    ],
)
def test_rows_with_the_same_keys_convert_like_others(rows: list[dict[str, Any]], declared: tuple[str, ...]) -> None:
    """Dictionaries have a faster way, which ends where their keys differ."""
    schema = StreamSchema(pa.schema([(name, pa.null()) for name in declared]), open=True) if declared else None
    slow = convert_rows([MappingProxyType(row) for row in rows], schema, stream="t").table
    fast = convert_rows(rows, schema, stream="t").table
    assert (fast.schema, str(fast.to_pylist())) == (slow.schema, str(slow.to_pylist()))


class TestInference:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([1, None], pa.int64()),
            ([True, False], pa.bool_()),
            ([1.5, None], pa.float64()),
            ([1, 2.5], pa.float64()),
            (["a"], pa.string()),
            ([b"a"], pa.binary()),
            ([dt.date(2026, 1, 1)], pa.date32()),
            ([dt.datetime(2026, 1, 1)], pa.timestamp("us")),
            ([dt.datetime(2026, 1, 1, tzinfo=WINTER)], pa.timestamp("us", tz="UTC")),
            ([dt.time(1)], pa.time64("us")),
            ([dt.timedelta(1)], pa.duration("us")),
            ([Decimal("1.50"), 2], pa.decimal128(38, 2)),
            ([dt.date(2026, 1, 1), None, dt.datetime(2026, 1, 1, 2)], pa.timestamp("us")),
            ([dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 2, tzinfo=UTC)], JSON_TYPE),
            ([2**63], pa.decimal128(38, 0)),
            ([None, None], pa.null()),
            ([], pa.null()),
            ([Color.RED], pa.string()),
            ([Level.HIGH, 1], pa.int64()),
            ([np.int32(1), np.int64(2)], pa.int64()),
            ([np.float32(0.1), 1.0], pa.float64()),
            ([np.bool_(True)], pa.bool_()),
            ([bytearray(b"x"), memoryview(b"y")], pa.binary()),
            ([uuid.UUID(int=1)], pa.string()),
            # whatever mixes kinds keeps them apart
            ([1, "1"], JSON_TYPE),
            ([True, 1], JSON_TYPE),
            ([1.5, 2**53 + 1], JSON_TYPE),
            ([2**200], JSON_TYPE),
            ([Decimal("NaN")], JSON_TYPE),
            ([dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=UTC)], JSON_TYPE),
            ([dt.time(1, tzinfo=UTC)], JSON_TYPE),
            ([dt.timedelta.max], JSON_TYPE),
            ([{"a": 1}], JSON_TYPE),
            ([[]], JSON_TYPE),
            ([(1, 2)], JSON_TYPE),
            ([np.array([1, 2])], JSON_TYPE),
        ],
    )
    def test_a_column_gets_the_narrowest_type_that_loses_nothing(self, values: list[Any], expected: Any) -> None:
        """One kind, its type; several kinds, JSON."""
        assert infer_array(values).type == expected

    def test_keys_that_some_rows_lack_are_null_there(self) -> None:
        """Every key of any row is a column, in the order of first appearance."""
        table = infer_table([{"a": 1}, {"b": 2, "a": None}, {}])
        assert table.to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": 2}, {"a": None, "b": None}]

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ({"b": [1, None, {"c": b"x"}]}, '{"b":[1,null,{"c":"eA=="}]}'),
            (float("nan"), '"nan"'),
            ([float("-inf"), Decimal("Infinity")], '["-inf","Infinity"]'),
            (Decimal("1.10"), "1.10"),
            (2**70, str(2**70)),
            ({1: "x"}, '{"1":"x"}'),
            (dt.datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
            ("é", '"é"'),
        ],
    )
    def test_nested_and_mixed_values_are_json(self, value: Any, text: str) -> None:
        """With all digits, and valid by RFC 8259 whatever is in them."""
        assert to_json(value) == text
        json.loads(text)

    @pytest.mark.parametrize("value", ["a\ud800", ["a\ud800"], {"\ud800": 1}, DEEP])
    @pytest.mark.parametrize("fields", [None, {"id": pa.int64()}, {"id": pa.int64(), "x": JSON_TYPE}])
    def test_a_value_that_json_readers_refuse_rejects_its_row_alone(self, value: Any, fields: Any) -> None:
        """DuckDB and PostgreSQL refuse half a surrogate pair, and DuckDB cannot read a Parquet file that has one."""
        schema = None if fields is None else StreamSchema(pa.schema(fields), ("id",))
        found = convert_rows([{"id": 1, "x": "é"}, {"id": 2, "x": value}], schema, stream="s")
        assert found.table.column("id").to_pylist() == [1]
        [(row, error)] = found.rejected
        assert (row["id"], error.stream, error.column) == (2, "s", "x")
        assert "half of a surrogate pair" in str(error) or "nested too deeply" in str(error)

    @pytest.mark.parametrize(
        "make", [lambda: (n for n in [1]), object, lambda: len, lambda: map(str, [1]), lambda: int]
    )
    def test_an_object_that_is_no_value_rejects_its_row_alone(self, make: Callable[[], Any]) -> None:
        """Its text would be its place in memory. An object with a text of its own lands as that."""
        rows = [{"id": 1, "x": Path("/a")}, {"id": 2, "x": make()}, {"id": 3, "x": {"deep": [make()]}}]
        converted = convert_rows(rows, None, stream="s")
        assert converted.table.to_pylist() == [{"id": 1, "x": '"/a"'}]
        for (row, error), number in zip(converted.rejected, (2, 3), strict=True):
            assert (row["id"], error.column) == (number, "x")
            assert "without a text of its own; give a value or a list" in str(error)
            assert json.loads(any_json(row))["id"] == number

    def test_a_rejected_row_is_told_with_half_a_surrogate_pair(self) -> None:
        """It is not valid UTF-8, but it is what the source has, and JSON has an escape for it."""
        assert json.loads(to_json({"x": "a\ud800"})) == {"x": "a\ud800"}

    def test_a_name_that_is_no_text_is_refused(self) -> None:
        """With what it is."""
        with pytest.raises(BadRecordError, match="the column name 5 is not a string"):
            infer_table([{"a": 1}, {5: 1}])  # type: ignore[dict-item]  # what the contract forbids

    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.binary(),
        st.dates(),
        st.datetimes(),
        st.times(),
        st.timedeltas(),
        st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20),
    )

    @settings(max_examples=300, deadline=None)
    @given(st.lists(scalars, max_size=6))
    def test_any_values_come_back_as_they_were(self, values: list[Any]) -> None:
        """Whatever the column's type, no two different values become one, and none changes. But a date beside times is
        its midnight.
        """
        array = infer_array(values)
        if pa.types.is_timestamp(array.type):
            values = [dt.datetime.combine(one, dt.time()) if type(one) is dt.date else one for one in values]
        back = array.to_pylist()
        mixed = array.type == JSON_TYPE
        assert back == [to_json(value) if mixed and value is not None else value for value in values]


def misfit(value: Any, type_: Any, *, nullable: bool = True) -> BadRecordError | None:
    schema = StreamSchema(pa.schema([pa.field("id", pa.int64()), pa.field("x", type_, nullable=nullable)]), ("id",))
    converted = convert_rows([{"id": 7, "x": value}], schema, stream="s")
    assert converted.table.schema.field("x").type in (type_, pa.string())
    if converted.rejected:
        assert converted.table.num_rows == 0
        return converted.rejected[0][1]
    return None


class TestDeclaredColumns:
    @pytest.mark.parametrize(
        ("value", "type_"),
        [
            (1.5, pa.int64()),
            (float("nan"), pa.int64()),
            ("5", pa.int64()),
            (True, pa.int64()),
            (2**63, pa.int64()),
            (300, pa.int8()),
            (-1, pa.uint64()),
            (1, pa.bool_()),
            ("true", pa.bool_()),
            (2**53 + 1, pa.float64()),
            ("1.5", pa.float64()),
            (Decimal("1.5"), pa.float64()),
            (0.1, pa.float32()),
            (b"x", pa.string()),
            (5, pa.string()),
            ([1], pa.string()),
            ("x", pa.binary()),
            (Decimal("1.234"), pa.decimal128(10, 2)),
            (10**12, pa.decimal128(10, 2)),
            (2.2250738585e-313, pa.decimal128(20, 3)),
            (Decimal("1E-42") / 3, pa.decimal128(20, 3)),
            (float("nan"), pa.decimal128(10, 2)),
            (Decimal("NaN"), pa.decimal128(10, 2)),
            (True, pa.decimal128(10, 2)),
            ("1.234", pa.decimal128(10, 2)),
            ("1,50", pa.decimal128(10, 2)),
            (" 1.50", pa.decimal128(10, 2)),
            ("NaN", pa.decimal128(10, 2)),
            ("", pa.decimal128(10, 2)),
            (dt.datetime(2026, 1, 1, 5), pa.date32()),
            (dt.datetime(2026, 1, 1, tzinfo=UTC), pa.timestamp("us")),
            (dt.datetime(2026, 1, 1, 0, 0, 0, 5), pa.timestamp("s")),
            (dt.datetime(2900, 1, 1), pa.timestamp("ns")),
            (1767225600, pa.timestamp("us")),
            ("2026-13-45", pa.date32()),
            ("2026-01-01T00:00:00.123456789", pa.timestamp("us")),
            ("2026-01-01T00:00:00+02:00", pa.timestamp("us")),
            ("25:00", pa.time64("us")),
            ("10:00+01:00", pa.time64("us")),
            ("P1D", pa.duration("us")),
            (5, pa.duration("us")),
        ],
    )
    def test_a_value_that_would_change_is_refused(self, value: Any, type_: Any) -> None:
        """The error names stream, column, key and value."""
        error = misfit(value, type_)
        assert error is not None
        assert (error.stream, error.column, error.key) == ("s", "x", {"id": 7})
        assert "does not fit the column's type" in str(error)

    @pytest.mark.parametrize(
        ("value", "type_", "landed"),
        [
            (2.0, pa.int64(), 2),
            (5, pa.float64(), 5.0),
            (1.5, pa.float32(), 1.5),
            (float("nan"), pa.float32(), None),
            (Decimal("2"), pa.int64(), 2),
            (0.1, pa.decimal128(10, 2), Decimal("0.10")),
            (5, pa.decimal128(10, 2), Decimal("5.00")),
            (Decimal("5.5000000000"), pa.decimal128(10, 2), Decimal("5.50")),
            (Decimal("0E-400"), pa.decimal128(10, 2), Decimal("0.00")),
            (np.int64(5), pa.decimal128(10, 2), Decimal("5.00")),
            ("10.50", pa.decimal128(10, 2), Decimal("10.50")),
            ("-1e3", pa.decimal128(10, 2), Decimal("-1000.00")),
            (np.int64(5), pa.int64(), 5),
            (Color.RED, pa.string(), "red"),
            (uuid.UUID(int=1), pa.string(), str(uuid.UUID(int=1))),
            (dt.datetime(2026, 1, 1), pa.timestamp("us", tz="UTC"), dt.datetime(2026, 1, 1, tzinfo=UTC)),
            (
                dt.datetime(2026, 1, 1, 1, tzinfo=WINTER),
                pa.timestamp("us", tz="UTC"),
                dt.datetime(2026, 1, 1, tzinfo=UTC),
            ),
            (dt.date(2026, 1, 1), pa.timestamp("us"), dt.datetime(2026, 1, 1)),
            ("2026-01-01", pa.date32(), dt.date(2026, 1, 1)),
            ("2026-01-01T10:00:00", pa.timestamp("us"), dt.datetime(2026, 1, 1, 10)),
            ("2026-01-01T10:00:00+01:00", pa.timestamp("us", tz="UTC"), dt.datetime(2026, 1, 1, 9, tzinfo=UTC)),
            ("10:00:01", pa.time64("us"), dt.time(10, 0, 1)),
            ({"a": [1]}, JSON_TYPE, '{"a":[1]}'),
            ("text", JSON_TYPE, '"text"'),
            (None, pa.int64(), None),
        ],
    )
    def test_a_value_that_is_the_same_in_the_columns_type_lands(self, value: Any, type_: Any, landed: Any) -> None:
        """Also where it is spelled differently."""
        schema = StreamSchema(pa.schema([("x", type_)]))
        converted = convert_rows([{"x": value}], schema, stream="s")
        assert not converted.rejected
        found = converted.table.column("x")[0].as_py()
        assert found == landed or (landed is None and math.isnan(found))

    def test_rows_that_fit_land_though_others_do_not(self) -> None:
        """Each misfit comes with its own reason."""
        schema = StreamSchema(pa.schema([("id", pa.int64()), pa.field("n", pa.int64(), nullable=False)]), ("id",))
        rows: list[dict[str, Any]] = [
            {"id": 1, "n": 1},
            {"id": 2, "n": "x"},
            {"id": 3},
            {"id": 4, "n": 4.0},
            {"id": 5, "n": None},
        ]
        converted = convert_rows(rows, schema, stream="s")
        assert converted.table.to_pylist() == [{"id": 1, "n": 1}, {"id": 4, "n": 4}]
        assert [row["id"] for row, _ in converted.rejected] == [2, 3, 5]
        assert "value 'x'" in str(converted.rejected[0][1])
        assert "declared not null" in str(converted.rejected[1][1])

    def test_values_that_fit_alone_but_not_together_land(self) -> None:
        """A huge integer and a float, an aware and a naive time: each is exact."""
        schema = StreamSchema(pa.schema([("n", pa.int64()), ("t", pa.timestamp("us", tz="UTC"))]))
        rows: list[dict[str, Any]] = [
            {"n": 2**60, "t": dt.datetime(2026, 1, 1)},
            {"n": 2.0, "t": dt.datetime(2026, 1, 1, tzinfo=UTC)},
        ]
        converted = convert_rows(rows, schema, stream="s")
        assert converted.table.column("n").to_pylist() == [2**60, 2]
        assert not converted.rejected

    def test_keys_that_are_not_declared_land_too(self) -> None:
        """Behind the declared columns, inferred."""
        table = convert_rows([{"z": "new", "a": 1}], StreamSchema(pa.schema([("a", pa.int64())])), stream="s").table
        assert table.schema.names == ["a", "z"]

    def test_loose_conversion_takes_the_declared_type_as_a_wish(self) -> None:
        """As for rows that a transform has changed."""
        schema = StreamSchema(pa.schema([pa.field("a", pa.int64(), nullable=False)]))
        table = convert_rows([{"a": "text"}, {"a": None}], schema, stream="s", loose=True).table
        assert table.column("a").to_pylist() == ["text", None]

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(TestInference.scalars, min_size=1, max_size=5),
        st.sampled_from(
            [pa.int64(), pa.int16(), pa.float64(), pa.float32(), pa.string(), pa.binary(), pa.bool_(), pa.date32(),
             pa.timestamp("us"), pa.timestamp("ms"), pa.decimal128(20, 3), pa.time64("us"), pa.uint8()]
        ),
    )  # fmt: skip
    def test_every_row_lands_equal_or_is_rejected(self, values: list[Any], type_: Any) -> None:
        """No row is lost, and what landed equals what was given."""
        schema = StreamSchema(pa.schema([("x", type_)]))
        converted = convert_rows([{"x": value} for value in values], schema, stream="s")
        bad = [id(row["x"]) for row, _ in converted.rejected]
        landed = converted.table.column("x").to_pylist()
        assert len(bad) + len(landed) == len(values)
        good = list(values)
        for row, _ in converted.rejected:
            # by identity: False equals 0, and the wrong one of the two would be taken out
            good.pop(next(index for index, value in enumerate(good) if value is row["x"]))
        for given_, found in zip(good, landed, strict=True):
            assert same(given_, found), (given_, found, type_)


def same(given_: Any, found: Any) -> bool:
    if isinstance(given_, str) and not isinstance(found, str):
        return isinstance(found, (dt.date, dt.time))  # text that spells a time
    if type(given_) is dt.date and isinstance(found, dt.datetime):
        return bool(found == dt.datetime.combine(given_, dt.time()))
    if isinstance(given_, float) and isinstance(found, Decimal):
        return float(found) == given_
    return bool(given_ == found)


def converted_batch(array: Any, type_: Any, *, nullable: bool = True) -> Converted:
    schema = StreamSchema(pa.schema([pa.field("x", type_, nullable=nullable)]))
    return convert_batch(pa.table({"x": array}), schema, stream="s")


class TestBatches:
    @pytest.mark.parametrize(
        ("array", "type_"),
        [
            (pa.array([1.5]), pa.int64()),
            (pa.array([b"x"]), pa.string()),
            (pa.array(["5"]), pa.int64()),
            (pa.array([True]), pa.int64()),
            (pa.array([2**53 + 1]), pa.float64()),
            (pa.array([0.1]), pa.float32()),
            (pa.array([Decimal("1.5")]), pa.float64()),
            (pa.array([Decimal("1.234")]), pa.decimal128(10, 2)),
            (pa.array([Decimal("1" * 37 + ".1")]), pa.decimal128(38, 9)),
            (pa.array([300]), pa.uint8()),
            (pa.array([dt.datetime(2026, 1, 1)], pa.timestamp("us", tz="UTC")), pa.timestamp("us")),
        ],
    )
    def test_a_cast_that_would_change_a_value_is_refused_row_by_row(self, array: Any, type_: Any) -> None:
        """The rows that fit land."""
        assert len(converted_batch(array, type_).rejected) == 1

    def test_rows_of_a_batch_that_fit_land(self) -> None:
        """One misfit does not cost the batch."""
        done = converted_batch(pa.array([1.0, 1.5, 2.0]), pa.int64())
        assert done.table.column("x").to_pylist() == [1, 2]
        assert done.rejected[0][0] == {"x": 1.5}

    def test_a_missing_value_in_a_column_declared_not_null_is_refused(self) -> None:
        """In batches as in rows; also where the whole column is missing."""
        done = converted_batch(pa.array([1, None]), pa.int64(), nullable=False)
        assert (done.table.num_rows, len(done.rejected)) == (1, 1)
        schema = StreamSchema(pa.schema([pa.field("y", pa.int64(), nullable=False)]))
        assert len(convert_batch(pa.table({"x": [1]}), schema, stream="s").rejected) == 1

    def test_a_record_batch_is_taken_as_a_table_is(self) -> None:
        """Without a schema it lands as it is."""
        batch = pa.RecordBatch.from_pydict({"x": [1, 2]})
        assert convert_batch(batch, None, stream="s").table.to_pylist() == [{"x": 1}, {"x": 2}]

    @pytest.mark.parametrize(
        ("array", "type_", "values"),
        [
            (pa.array(["a", None]).dictionary_encode(), pa.string(), ["a", None]),
            (pa.array([[1, 2], None]), JSON_TYPE, ["[1,2]", None]),
            (pa.array([{"a": {"b": 1}}]), JSON_TYPE, ['{"a":{"b":1}}']),
            (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), JSON_TYPE, ['[["k",1]]']),
            (pa.array(["a"], pa.large_string()), pa.string(), ["a"]),
            (pa.array(["a"], pa.string_view()), pa.string(), ["a"]),
            (pa.array([b"ab"], pa.binary(2)), pa.binary(), [b"ab"]),
            (pa.array([np.float16(1.5)], pa.float16()), pa.float32(), [1.5]),
            (pc.run_end_encode(pa.array([1, 1, 2])), pa.int64(), [1, 1, 2]),
            (
                pa.ExtensionArray.from_storage(pa.json_(pa.large_string()), pa.array(["1", None], pa.large_string())),
                JSON_TYPE,
                ["1", None],
            ),
            (
                pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=1).bytes], pa.binary(16))),
                pa.string(),
                [str(uuid.UUID(int=1))],
            ),
        ],
    )
    def test_destinations_get_scalar_types(self, array: Any, type_: Any, values: list[Any]) -> None:
        """Nested values are JSON, encodings are decoded, extension types are what they stand for."""
        column = normalize_types(pa.table({"x": array})).column("x")
        assert (column.type, column.to_pylist()) == (type_, values)
        assert normalize_types(pa.table({"x": array}).slice(0, 0)).column("x").type == type_

    @pytest.mark.parametrize(
        ("array", "type_"),
        [
            (pa.array([1], pa.int8()), pa.int8()),
            (pa.array([1], pa.timestamp("ns", "UTC")), pa.timestamp("ns", "UTC")),
            (pa.array(["a"], pa.large_string()), pa.string()),
            (pa.array(["a"]).dictionary_encode(), pa.string()),
            (pa.array([[1, 2]]), JSON_TYPE),
        ],
    )
    def test_arrow_scalars_in_rows_become_scalar_types_too(self, array: pa.Array, type_: pa.DataType) -> None:
        assert infer_array([array[0], None]).type == type_


class TestKeys:
    @pytest.mark.parametrize(
        "keys",
        [
            [2, 1, 2],
            ["b", "a", "b"],
            [2.5, 1.5, 2.5],
            [True, False, True],
            [b"b", b"a", b"b"],
            [Decimal(2), Decimal(1), Decimal(2)],
            [dt.date(2026, 1, 2), dt.date(2026, 1, 1), dt.date(2026, 1, 2)],
            [dt.datetime(2026, 1, 2, tzinfo=UTC), dt.datetime(2026, 1, 1, tzinfo=UTC)] * 2,
            [dt.time(2), dt.time(1), dt.time(2)],
            [dt.timedelta(2), dt.timedelta(1), dt.timedelta(2)],
        ],
    )
    def test_the_last_row_of_every_key_stays(self, keys: list[Any]) -> None:
        """In the order of those rows, for keys of every type."""
        table = pa.table({"k": infer_array(keys), "at": range(len(keys))})
        kept = last_per_key(table, ["k"])
        assert kept is not None
        assert kept.to_pylist() == [len(keys) - 2, len(keys) - 1]

    def test_a_key_of_several_columns_and_one_of_json(self) -> None:
        """All columns count; JSON is compared as text."""
        table = infer_table([{"a": 1, "b": "x"}, {"a": "1", "b": "x"}, {"a": 1, "b": "y"}, {"a": 1, "b": "x"}])
        kept = last_per_key(table, ["a", "b"])
        assert kept is not None
        assert len(kept) == 3

    def test_rows_without_a_key_are_set_apart(self) -> None:
        """Each with the column that has no value."""
        table = pa.table({"a": [1, None, 3], "b": ["x", "y", None]})
        good, bad = without_key(table, ["a", "b"], stream="s")
        assert good is not None
        assert good.to_pylist() == [0]
        assert [(error.column, error.key) for _, error in bad] == [
            ("a", {"a": None, "b": "y"}),
            ("b", {"a": 3, "b": None}),
        ]
        with pytest.raises(BadRecordError, match="the column of the primary key is missing"):
            without_key(table, ["c"], stream="s")

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 4), st.text("ab", max_size=1), st.integers())))
    def test_reduction_is_what_a_dict_would_do(self, rows: list[tuple[int, str, int]]) -> None:
        """Later rows replace earlier ones."""
        table = pa.table(
            {
                "a": pa.array([a for a, _, _ in rows], pa.int64()),
                "b": pa.array([b for _, b, _ in rows], pa.string()),
                "v": pa.array([str(v) for _, _, v in rows], pa.string()),
            }
        )
        last = last_per_key(table, ["a", "b"])
        reduced = (table if last is None else table.take(last)).to_pylist()
        assert {(r["a"], r["b"]): r["v"] for r in reduced} == {(a, b): str(v) for a, b, v in rows}
        assert len(reduced) == len({(a, b) for a, b, _ in rows})


def test_decimals_of_any_exponent() -> None:
    """Positive exponents, trailing zeros and the largest ones."""
    values = [Decimal("1E+5"), Decimal("1.500"), Decimal("-0.001"), Decimal(10) ** 30]
    assert infer_array(values).to_pylist() == values
    assert infer_array([Decimal(10) ** 37, Decimal("0.01")]).type == JSON_TYPE
    with decimal.localcontext(prec=5):
        assert infer_array([Decimal("123456789.123")]).to_pylist() == [Decimal("123456789.123")]


class TestColumnsThatAreOnlyNamed:
    NAMED = StreamSchema(pa.schema([("id", pa.null()), ("price", pa.float64())]), ("id",))

    def test_their_type_is_inferred_from_rows(self) -> None:
        """A key that is declared without a type has the type its values have, and comes first."""
        table = convert_rows([{"price": 1.5, "id": 7}], self.NAMED, stream="s").table
        assert table.schema == pa.schema([("id", pa.int64()), ("price", pa.float64())])

    def test_their_type_is_taken_from_a_batch(self) -> None:
        """A batch brings the type of a column that is declared without one."""
        table = convert_batch(pa.table({"id": ["a"], "price": [1.5]}), self.NAMED, stream="s").table
        assert table.schema == pa.schema([("id", pa.string()), ("price", pa.float64())])


class TestNanoseconds:
    """Python's times count microseconds, so rows that pass through Python keep finer ones in another form."""

    @pytest.mark.parametrize(
        "type_", [pa.timestamp("ns"), pa.timestamp("ns", tz="Europe/Berlin"), pa.time64("ns"), pa.duration("ns")]
    )
    def test_they_survive_beside_a_row_that_is_rejected(self, type_: pa.DataType) -> None:
        times = pa.array([1, 2, None, 3000], pa.int64()).cast(type_)
        table = pa.table({"n": [1.0, 1.5, 2.0, 3.0], "t": times})
        schema = StreamSchema(pa.schema([("n", pa.int64()), ("t", type_)]))
        converted = convert_batch(table, schema, stream="s")
        assert converted.table.column("n").to_pylist() == [1, 2, 3]
        assert converted.table.column("t").combine_chunks().equals(times.take(pa.array([0, 2, 3])))
        (row, error) = converted.rejected[0]
        assert "000000002" in to_json(row) or "2 ns" in to_json(row)
        assert "column 'n'" in str(error)

    def test_they_survive_beside_a_row_without_a_key(self) -> None:
        table = pa.table({"id": [1, None], "t": pa.array([1, 2], pa.timestamp("ns"))})
        kept, misfits = without_key(table, ["id"], stream="s")
        assert kept is not None
        assert kept.to_pylist() == [0]
        assert to_json(misfits[0][0]) == '{"id":null,"t":"1970-01-01T00:00:00.000000002"}'

    def test_they_survive_inside_of_nested_values(self) -> None:
        column = pa.array([[1, None], None], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ns", tz="UTC")))
        (landed,) = convert_batch(pa.table({"l": column}), None, stream="s").table.columns
        assert landed.to_pylist() == ['["1970-01-01T00:00:00.000000001Z",null]', None]

    def test_they_survive_a_transform_of_rows(self) -> None:
        table = pa.table({"t": pa.array([1, None], pa.timestamp("ns"))})
        assert infer_table(rows_of(table)).column("t").equals(table.column("t"))

    def test_they_are_text_for_whoever_takes_rows_of_python_only(self) -> None:
        table = pa.table({"t": pa.array([1, 5000], pa.time64("ns")), "d": pa.array([1, 5], pa.duration("ns"))})
        assert rows_of(table, text=True) == [
            {"t": "00:00:00.000000001", "d": "1 ns"},
            {"t": "00:00:00.000005000", "d": "5 ns"},
        ]

    def test_a_time_of_day_as_text_keeps_its_digits_or_does_not_fit(self) -> None:
        schema = StreamSchema(pa.schema([("t", pa.time64("ns"))]))
        fits = convert_rows([{"t": "12:00:00.000000001"}], schema, stream="s").table
        assert fits.column("t").cast(pa.int64()).to_pylist() == [43_200_000_000_001]
        coarse = StreamSchema(pa.schema([("t", pa.time64("us"))]))
        assert convert_rows([{"t": "12:00:00.000000001"}], coarse, stream="s").rejected
        assert convert_rows([{"t": "12:00:00.0000000001"}], schema, stream="s").rejected
        assert convert_rows([{"t": "12:00:00+01:00"}], schema, stream="s").rejected

    def test_an_error_about_one_can_be_told(self) -> None:
        value = pa.scalar(1, pa.time64("ns"))
        assert "Time64Scalar that cannot be shown" in str(BadRecordError("no", stream="s", value=value))
