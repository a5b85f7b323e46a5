"""Numbers from outside are bounded before anything is computed with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdk.plugin.datasource_base import BadRecordError, StreamSchema
from vdk.plugin.datasource_base.contract import JSON_TYPE, ConfigurationError, DataSourceError
from vdk.plugin.datasource_base.parts import (
    JSON_NUMBERS,
    HugeNumber,
    exact_decimal,
    json_integer,
    to_json,
    whole_number,
)
from vdk.plugin.datasource_base.parts.columns.convert import convert_rows
from vdk.plugin.datasource_base.parts.columns.framework import rejected_table
from vdk.plugin.datasource_base.parts.flow.file import load_flow
from vdk.plugin.datasource_base.runtime.run.plan.reject_limit import RejectLimit
from vdk.plugin.datasource_base.runtime.states import copy_state


def shown(value: object) -> str:
    """A test's name: ``repr`` refuses some of these values."""
    return f"{value.bit_length()} bits" if isinstance(value, int) else f"{type(value).__name__}"


HUGE: list[Any] = [
    Decimal("1e999999999"),
    Decimal("-1e999999999"),
    Decimal("1e-999999999"),
    Decimal("1" * 5000),
    10**5000,
    -(10**4300),
    1 << 3_400_000,
    HugeNumber("1e99999999999999999999"),
    {"a": [{"b": Decimal("1e999999999")}]},
    [10**5000],
]
TYPES = [
    None, pa.int64(), pa.float64(), pa.decimal128(38, 2), pa.string(), JSON_TYPE, pa.bool_(), pa.timestamp("us"),
    pa.date32(), pa.duration("us"), pa.binary(),
]  # fmt: skip


class TestWholeNumbers:
    @pytest.mark.parametrize(
        ("value", "number"),
        [
            (5, 5),
            (" -5 ", -5),
            ("+7", 7),
            (5.0, 5),
            (1e300, int(1e300)),
            (Decimal("5.00"), 5),
            (Decimal("1E+20"), 10**20),
            ("9" * 4300, 10**4300 - 1),
            (10**4300 - 1, 10**4300 - 1),
        ],
        ids=shown,
    )
    def test_a_whole_number_is_read_whatever_it_is_written_as(self, value: Any, number: int) -> None:
        """Page numbers and totals come as numbers and as text."""
        assert whole_number(value) == number

    @pytest.mark.parametrize(
        "value",
        [
            *HUGE, True, None, 1.5, float("inf"), float("nan"), Decimal("NaN"), Decimal("sNaN"), Decimal("0.5"), "",
            "1.5", "1_000", "٣", "0x10", "1e5", "9" * 4301, [], {},
        ],
        ids=shown,
    )  # fmt: skip
    def test_anything_else_is_refused_in_one_short_sentence(self, value: Any) -> None:
        """At once: ``int(Decimal("1e999999999"))`` would take minutes, and answer to no signal meanwhile."""
        with pytest.raises(ValueError, match=r"is not a whole number of at most 4,300 digits") as raised:
            whole_number(value)
        assert len(str(raised.value)) < 250


class TestDecimals:
    @given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
    def test_no_number_changes(self, number: Decimal) -> None:
        """Text and back."""
        assert exact_decimal(str(number)) == exact_decimal(number) == number

    @pytest.mark.parametrize(
        "value",
        [*HUGE, "1e5000", "1e-5000", "NaN", "Infinity", "1_0", "٣", "x", "", True, None, float("nan")],
        ids=shown,
    )
    def test_what_is_not_a_number_within_the_bounds_is_refused(self, value: Any) -> None:
        """NaN and infinities among it."""
        with pytest.raises(ValueError, match="is not a number of at most 4,300 digits"):
            exact_decimal(value)

    @pytest.mark.parametrize("zero", ["0e999999999", "-0e-999999999", Decimal("0e999999999")])
    def test_zero_is_zero_whatever_its_exponent(self, zero: Any) -> None:
        """Its digits are none."""
        assert exact_decimal(zero) == 0
        assert exact_decimal(zero).as_tuple().exponent == 0

    @pytest.mark.parametrize("numbers", ["exact", "decimal", "double"])
    @pytest.mark.parametrize("literal", ["1e5000", "-1e999999999", "1e99999999999999999999", "1.5" + "1" * 5000])
    def test_a_literal_of_json_beyond_the_bounds_is_kept_as_its_text(self, literal: str, numbers: str) -> None:
        """As something that cannot be computed with, so that no hook of a source can freeze by it."""
        number = JSON_NUMBERS[numbers](literal)
        if numbers == "double" and literal.startswith("1.5"):
            assert number == float(literal)
            return
        assert number == HugeNumber(literal)
        with pytest.raises(TypeError):
            int(number)  # type: ignore[arg-type]  # it is a text or a number
        assert len(repr(number)) < 50

    def test_an_integer_of_json_is_exact_up_to_its_4300th_digit(self) -> None:
        """Where Python's own conversion ends."""
        assert json_integer("-" + "9" * 4300) == -(10**4300 - 1)
        assert json_integer("9" * 4301) == HugeNumber("9" * 4301)


class TestRows:
    @pytest.mark.parametrize("type_", TYPES)
    @pytest.mark.parametrize("value", [*HUGE, {"\ud800": 1}, "\ud800", {1: "a", "1": "b"}], ids=shown)
    def test_a_row_that_cannot_land_exactly_is_a_bad_record_with_its_key(self, value: Any, type_: Any) -> None:
        """The other rows land; neither an exception of Python's nor a freeze."""
        fields = [("id", pa.int64()), *([("x", type_)] if type_ is not None else [])]
        schema = StreamSchema(fields=pa.schema(fields), primary_key=("id",))
        converted = convert_rows([{"id": 1, "x": value}, {"id": 2, "x": None}], schema, stream="s")
        [(row, error)] = converted.rejected
        assert (error.key, error.column) == ({"id": 1}, "x")
        assert converted.table.column("id").to_pylist() == [2]
        assert len(str(error)) < 600
        landed = rejected_table([(row, error)], source="a", stream="s", run_id="r")
        assert json.loads(landed.column("row")[0].as_py())["id"] == 1

    @pytest.mark.parametrize("name", ["a\ud800", 5, None])
    def test_a_row_whose_column_has_an_impossible_name_is_a_bad_record(self, name: Any) -> None:
        """It was an error of Arrow's, for all rows."""
        schema = StreamSchema(fields=pa.schema([("id", pa.int64())]), primary_key=("id",))
        converted = convert_rows([{"id": 1, name: 1}, {"id": 2}], schema, stream="s")
        [(_, error)] = converted.rejected
        assert error.key == {"id": 1}
        assert "the column name" in error.reason
        assert converted.table.to_pylist() == [{"id": 2}]

    def test_half_a_surrogate_in_a_primary_key_is_a_bad_record(self) -> None:
        """The message shows it escaped."""
        schema = StreamSchema(fields=pa.schema([("id", pa.string())]), primary_key=("id",))
        converted = convert_rows([{"id": "\ud800"}, {"id": "a"}], schema, stream="s")
        [(_, error)] = converted.rejected
        assert "'\\ud800'" in str(error).encode().decode()
        assert converted.table.to_pylist() == [{"id": "a"}]

    @pytest.mark.parametrize("value", ["1E+400", "1E-400", "-1." + "1" * 4200, "1E+4299"])
    def test_a_number_within_the_bounds_lands_as_a_number_with_all_its_digits(self, value: str) -> None:
        """In JSON, where no other type holds it: not as a text."""
        table = convert_rows([{"x": Decimal(value)}, {"x": 1.5}], None, stream="s").table
        assert [scalar.as_py() for scalar in table.column("x").cast(pa.string())] == [value, "1.5"]

    def test_an_integer_of_4300_digits_lands_and_can_be_read_again(self) -> None:
        """By ``json.loads``, which takes no longer one."""
        assert json.loads(to_json([10**4300 - 1])) == [10**4300 - 1]

    def test_an_error_shows_little_of_a_large_key_and_value(self) -> None:
        """A key of 50 MB would be in every log line."""
        error = BadRecordError("no", key={"id": "x" * 10**6}, value={"a": ["y" * 10**6] * 100})
        assert len(str(error)) < 600
        assert "1000002 characters" in str(error)


class TestStates:
    @pytest.mark.parametrize("value", [10**4300, [-(10**5000)], Decimal("1e999999999"), float("inf")], ids=shown)
    def test_a_state_with_a_number_that_json_cannot_keep_is_refused(self, value: Any) -> None:
        """Before anything of its payload is taken in."""
        with pytest.raises(DataSourceError, match="yielded a state"):
            copy_state({"high": value}, stream="s")

    def test_a_state_that_is_nested_too_deeply_is_refused(self) -> None:
        """As an error of the source, not of Python's stack."""
        deep: Any = 1
        for _ in range(5000):
            deep = [deep]
        with pytest.raises(DataSourceError, match="nested too deeply"):
            copy_state({"high": deep}, stream="s")


class TestFlowFiles:
    @pytest.mark.parametrize(
        "line",
        [
            f"batch_rows = {'9' * 4301}",
            f"batch_rows = {'9' * 4299}",
            "batch_rows = 1e400",
            "batch_rows = inf",
            'retry_for = "1e400s"',
            f'retry_for = "{"9" * 400}d"',
            f"x = {'[' * 5000}",
        ],
        ids=range(7),
    )
    def test_a_number_out_of_bounds_is_an_error_of_the_file(self, line: str, tmp_path: Path) -> None:
        """It names the place, and is short."""
        path = tmp_path / "flow.toml"
        path.write_text(f'[sources.a]\nname = "a"\n[destinations.b]\n[[flows]]\nfrom = "a"\nto = "b"\n{line}\n')
        with pytest.raises(ConfigurationError) as raised:
            load_flow(path, {})
        assert "flow.toml" in str(raised.value)
        assert len(str(raised.value)) < 400

    @pytest.mark.parametrize("value", ["9" * 5000, f"{'9' * 5000}%", f"1.{'0' * 5000}%"], ids=range(3))
    def test_a_share_of_rejected_rows_is_bounded_too(self, value: str) -> None:
        """With the error of any other wrong value."""
        with pytest.raises(ValueError, match="it must be a number of rows"):
            RejectLimit.parse(value)


HANG = """
from decimal import Decimal
from pathlib import Path
from support import Lab, Whole, payload

rows = [{"id": 1, "x": Decimal("1e999999999")}, {"id": 2, "x": 1 << 3_400_000}, {"id": 3, "x": 1}]
lab = Lab("huge", Path("."))
lab.run(Whole("t", lambda state: [payload(*rows)]), on_bad_record="reject", max_rejected=2)
print(lab.tables["t"], len(lab.tables["t__rejected"]))
"""


def test_a_run_with_huge_numbers_ends() -> None:
    """In a process of its own, since a freeze holds the interpreter's lock and no limit of a test would end it."""
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", HANG], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[{'id': 3, 'x': 1}] 2"


class TestManyKeys:
    def test_a_row_of_more_keys_than_a_table_has_columns_is_a_bad_record(self) -> None:
        """Of 20,000 columns each is an ALTER of its own, in a time that is quadratic in them."""
        rows: list[dict[str, Any]] = [{"id": 1, **{f"k{number}": number for number in range(20_000)}}, {"id": 2}]
        schema = StreamSchema(fields=pa.schema([("id", pa.int64())]), primary_key=("id",))
        converted = convert_rows(rows, schema, stream="s")
        [(_, error)] = converted.rejected
        assert (error.key, error.column) == ({"id": 1}, None)
        assert "there are 20,000 different keys" in error.reason
        assert "with a transform: return" in error.reason
        assert converted.table.to_pylist() == [{"id": 2}]

    def test_rows_that_have_too_many_keys_together_are_an_error(self) -> None:
        """None of them is the one that is wrong."""
        with pytest.raises(BadRecordError, match="there are 3,000 different keys"):
            convert_rows([{f"k{number}": number} for number in range(3000)], None, stream="s")

    def test_a_schema_may_have_any_number_of_columns(self) -> None:
        """Somebody means them."""
        names = [f"k{number}" for number in range(3000)]
        schema = StreamSchema(fields=pa.schema([(name, pa.int64()) for name in names]))
        row = dict.fromkeys(names, 1)
        assert convert_rows([row, {**row, "x": "\ud800"}], schema, stream="s").table.num_rows == 1

    def test_a_nested_object_may_have_any_number_of_keys(self) -> None:
        """It is one column of JSON."""
        table = convert_rows([{"data": {f"k{number}": number for number in range(20_000)}}], None, stream="s").table
        assert table.num_columns == 1
