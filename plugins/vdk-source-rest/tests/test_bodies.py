"""Bodies: JSON, lines of JSON, CSV, compressed, in odd encodings; numbers come with all their digits."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import Scripted, answer, read
from vdk.plugin.datasource_base.contract import DataSourceError
from vdk.plugin.datasource_base.parts import JSON_NUMBERS, HugeNumber
from vdk.plugin.source_rest.config import CsvConfig
from vdk.plugin.source_rest.responses.decoders import csv_rows, decode_json, json_lines

Make = Callable[..., Any]
JSON = "application/json"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("1.10", 1.1),
        ("0.1", 0.1),
        ("-0.0", -0.0),
        ("1e3", 1000.0),
        ("0.30000000000000004", 0.30000000000000004),
        ("0.1234567890123456789", Decimal("0.1234567890123456789")),
        ("12345678901234567.25", Decimal("12345678901234567.25")),
        ("1e400", Decimal("1e400")),
        ("1e-400", Decimal("1e-400")),
        ("18446744073709551616", 2**64),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("-1", -1),
        ("9" * 4300, 10**4300 - 1),
        ("-" + "9" * 4300, 1 - 10**4300),
        ("9" * 4301, HugeNumber("9" * 4301)),
        ("1e4300", HugeNumber("1e4300")),
        ("1e999999999", HugeNumber("1e999999999")),
        ("1e-999999999", HugeNumber("1e-999999999")),
        ("1e99999999999999999999", HugeNumber("1e99999999999999999999")),
        ("0e999999999", 0.0),
    ],
    ids=range(20),
)
def test_numbers_are_read_exactly(literal: str, value: Any) -> None:
    """A double where it has all the digits, a decimal where it has not, an integer of up to 4,300 digits.

    Anything beyond is nothing that can be computed with.
    """
    decoded = decode_json(f"[{literal}]".encode(), JSON, "exact")[0]
    assert decoded == value
    assert type(decoded) is type(value)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=None).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
)
def test_no_number_changes(literal: str) -> None:
    """Whatever comes out is, as it is written, the number that went in."""
    decoded = JSON_NUMBERS["exact"](literal)
    assert not isinstance(decoded, HugeNumber)
    assert Decimal(repr(decoded) if isinstance(decoded, float) else decoded) == Decimal(literal)


@pytest.mark.parametrize("numbers", ["exact", "decimal", "double"])
def test_one_huge_number_does_not_cost_the_others(numbers: str) -> None:
    """Whatever numbers are read as; it was a page that could not be read, or an infinity."""
    for literal in ("1e999999999", "-1e99999999999999999999", "9" * 5000):
        content = f'[{{"x": {literal}}}, {{"x": 1}}]'.encode()
        assert decode_json(content, JSON, numbers) == [{"x": HugeNumber(literal)}, {"x": 1}]
        lines = [content[1:-1].replace(b"}, {", b"}\n{")]
        assert [row for rows in json_lines(lines, numbers, 10**6) for row in rows] == decode_json(
            content, JSON, numbers
        )


def test_numbers_may_be_decimals_or_doubles_all() -> None:
    """Money wants decimals in every row, and measurements doubles."""
    assert decode_json(b"[1.10, 2]", JSON, "decimal") == [Decimal("1.10"), 2]
    assert decode_json(b"[0.1234567890123456789]", JSON, "double") == [0.1234567890123456789]


@pytest.mark.parametrize(
    ("content", "type_"),
    [
        ("{}".encode("utf-8-sig"), JSON),
        ('{"a": "é"}'.encode("utf-16"), JSON),
        ('{"a": "é"}'.encode("utf-32-le"), JSON),
        ('{"a": "é"}'.encode("latin-1"), f"{JSON}; charset=iso-8859-1"),
        (b'{"a": "\\ud83d"}', JSON),
        (b'{"a": NaN}', JSON),
        (b'{"a": 1, "a": 2}', JSON),
    ],
)
def test_json_that_others_refuse_is_read(content: bytes, type_: str) -> None:
    """Byte order marks, other encodings, half surrogate pairs, NaN; of a doubled name the last counts."""
    decoded = decode_json(content, type_, "exact")
    assert decoded in ({}, {"a": "é"}, {"a": "\ud83d"}, {"a": 2}) or math.isnan(decoded["a"])


@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_lines_come_whole_however_they_are_cut(size: int, ending: bytes) -> None:
    """Pieces of any size give the same records; blank lines, a byte order mark and separators do not count."""
    lines = [b"\xef\xbb\xbf" + b'{"id": 0}', b"", b'\x1e{"id": 1, "t": "\xc3\xa9"}', b'{"id": 2, "n": 1e400}']
    content = b"\n".join(lines) + ending
    decoded = json_lines((content[index : index + size] for index in range(0, len(content), size)), "exact", 1000)
    assert [row["id"] for rows in decoded for row in rows] == [0, 1, 2]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_csv_comes_whole_however_it_is_cut(size: int) -> None:
    """Quotes, line ends inside of them, other delimiters and encodings; values are text."""
    content = '\ufeffid;name\r\n1;"a;""b""\r\nc\u2028"\r\n2;ö\x0c\r\n\r\n3;-'.encode()
    config = CsvConfig(delimiter=";", null="-")
    pieces = (content[index : index + size] for index in range(0, len(content), size))
    decoded = [row for rows in csv_rows(pieces, "text/csv", config, 1000) for row in rows]
    names = [row["name"] for row in decoded]
    assert names == ['a;"b"\r\nc\u2028', "ö\x0c", None]
    assert [row["id"] for row in decoded] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a,b\n1\n", "line 2 has 1 fields"),
        ("a,a\n1,2\n", "'a' more than once"),
        ('a\n"x', "unexpected end"),
        ("a\n\xff", None),
    ],
)
def test_csv_that_does_not_fit_is_an_error(source: Make, content: str, problem: str | None) -> None:
    """A line of another length would put values into the wrong columns."""
    with (
        Scripted(lambda request, number: answer(content.encode("latin-1"), "Content-Type: text/csv")) as api,
        pytest.raises(DataSourceError, match=problem or "not valid CSV in utf-8"),
    ):
        read(source(api.url))


RECORDS = [{"id": number, "name": f"n{number}"} for number in range(2500)]
LINES = "\n".join(map(json.dumps, RECORDS)).encode()
TABLE = "\n".join(["id,name", *(f"{row['id']},{row['name']}" for row in RECORDS)]).encode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (LINES, ["Content-Type: application/x-ndjson"]),
        (LINES, ["Content-Type: application/jsonl; charset=utf-8"]),
        (gzip.compress(LINES), ["Content-Type: application/x-ndjson", "Content-Encoding: gzip"]),
        (gzip.compress(LINES[:10_000]) + gzip.compress(LINES[10_000:]), ["Content-Type: application/x-ndjson"]),
        (TABLE, ["Content-Type: text/csv"]),
        (gzip.compress(TABLE), ["Content-Type: text/csv", "Content-Encoding: x-gzip"]),
        (json.dumps(RECORDS).encode(), ["Content-Type: application/json"]),
        (gzip.compress(json.dumps({"r": RECORDS}).encode()), ["Content-Type: application/gzip"]),
    ],
)
@pytest.mark.parametrize("cache", [False, True])
def test_formats_are_told_by_what_the_answer_says(source: Make, body: bytes, headers: list[str], cache: bool) -> None:
    """JSON, lines, CSV, compressed by HTTP or as a file: the records are the same, streamed or kept."""
    with Scripted(lambda request, number: answer(body, *headers)) as api:
        landed = read(source(api.url, {"name": "items", "cache": cache}))
    assert [{"id": int(row["id"]), "name": row["name"]} for row in landed.rows] == RECORDS


def test_a_line_that_is_no_record_is_named(source: Make) -> None:
    """The error names the line."""
    body = b'{"id": 1}\n{"id": }\n'
    with (
        Scripted(lambda request, number: answer(body, "Content-Type: application/x-ndjson")) as api,
        pytest.raises(DataSourceError, match="line 2"),
    ):
        read(source(api.url))


@pytest.mark.parametrize(
    ("body", "options", "rows"),
    [
        ([{"a": 1}], {}, [{"a": 1}]),
        ({"things": [{"a": 1}], "total": 1}, {}, [{"a": 1}]),
        ({"a": 1, "tags": ["x"]}, {}, [{"a": 1, "tags": ["x"]}]),
        ({"a": 1, "lines": []}, {"primary_key": "a"}, [{"a": 1, "lines": []}]),
        ({"data": {"items": [{"a": 1}], "more": [{}]}}, {"records": "data.items"}, [{"a": 1}]),
        ({"data": {"a": 1}}, {"records": "data"}, [{"a": 1}]),
        ([1, 2], {"records": "[].{value: @}"}, [{"value": 1}, {"value": 2}]),
        ({"rows": [[1, 2]], "columns": ["a", "b"]}, {"records": "rows[*].{a: [0], b: [1]}"}, [{"a": 1, "b": 2}]),
        ([], {}, []),
        ({"items": []}, {}, []),
    ],
)
def test_records_are_where_they_plainly_are_or_are_said_to_be(source: Make, body: Any, options: Any, rows: Any) -> None:
    """The answer, its only list, itself as one record, or what the JMESPath says."""
    with Scripted(lambda request, number: answer(body)) as api:
        assert read(source(api.url, {"name": "items", **options})).rows == rows
