"""JSON Schema becomes the type that holds each value exactly, and values become columns of it."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.source_singer.records.decoding import RecordDecoder
from vdk.plugin.source_singer.records.schemas import TIMESTAMP, type_of

TEXT, INTEGER, DOUBLE = pa.string(), pa.int64(), pa.float64()
TYPES: list[tuple[Any, pa.DataType]] = [
    ({"type": ["null", "string"]}, TEXT),
    ({"type": "integer"}, INTEGER),
    ({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, pa.decimal128(20, 0)),
    ({"type": ["integer", "null", "number"]}, DOUBLE),
    ({"type": "number", "multipleOf": 0.01}, pa.decimal128(38, 2)),
    ({"type": "number", "multipleOf": 1e-05, "minimum": -99999.99999, "maximum": 99999.99999}, pa.decimal128(10, 5)),
    (
        {"type": "number", "multipleOf": 0.01, "minimum": -(10**8), "exclusiveMinimum": True, "maximum": 10**8,
         "exclusiveMaximum": True},
        pa.decimal128(10, 2),
    ),
    ({"type": "number", "multipleOf": 1e-38, "minimum": -(10**100), "maximum": 10**100}, JSON_TYPE),
    ({"type": "boolean"}, pa.bool_()),
    ({"type": "string", "format": "date-time"}, TIMESTAMP),
    ({"type": "string", "format": "date"}, pa.date32()),
    ({"type": "string", "format": "time"}, pa.time64("us")),
    ({"type": "string", "format": "uuid"}, TEXT),
    ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, TIMESTAMP),
    ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]}, TEXT),
    ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, JSON_TYPE),
    ({"type": "object", "properties": {"a": {"type": "string"}}}, JSON_TYPE),
    ({"type": "array", "items": {"type": "integer"}}, JSON_TYPE),
    ({}, JSON_TYPE),
    (True, JSON_TYPE),
    ({"enum": ["a", "b", None]}, TEXT),
    ({"$ref": "#/definitions/money"}, pa.decimal128(38, 2)),
    ({"$ref": "#/definitions/loop"}, JSON_TYPE),
    ({"$ref": "https://elsewhere/schema.json"}, JSON_TYPE),
    ({"allOf": [{"type": "integer"}]}, INTEGER),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected"), TYPES, ids=lambda value: str(value)[:60])
def test_a_schema_is_the_type_that_holds_its_values(schema: Any, expected: pa.DataType) -> None:
    root = {"definitions": {"money": {"type": "number", "multipleOf": 0.01}, "loop": {"$ref": "#/definitions/loop"}}}
    assert type_of(schema, root) == expected


def decoded(type_: pa.DataType, *values: str) -> tuple[list[Any], list[str]]:
    """The values of a column that JSON texts become, and the errors of those that do not fit."""
    result = RecordDecoder("t", {"id": INTEGER, "x": type_}).decode(
        [f'{{"id": {index}, "x": {value}}}'.encode() for index, value in enumerate(values)]
    )
    return result.batch.column("x").to_pylist(), [str(error) for _, error in result.rejected]


UTC = dt.datetime(2026, 1, 2, 3, 4, 5, 600_000, dt.UTC)
VALUES: list[tuple[pa.DataType, str, Any]] = [
    (INTEGER, "9223372036854775807", 2**63 - 1),
    (INTEGER, "null", None),
    (DOUBLE, "0.1", 0.1),
    (DOUBLE, "7", 7.0),
    (DOUBLE, "0.14285714285714285", 1 / 7),
    (pa.decimal128(38, 2), "1.10", Decimal("1.10")),
    (pa.decimal128(38, 2), '"-12345678901234567890.12"', Decimal("-12345678901234567890.12")),
    (pa.decimal128(20, 0), "18446744073709551615", Decimal(2**64 - 1)),
    (TEXT, '"\\u00f6\\n"', "ö\n"),
    (TIMESTAMP, '"2026-01-02T03:04:05.6Z"', UTC),
    (TIMESTAMP, '"2026-01-02T05:04:05.600000+02:00"', UTC),
    (TIMESTAMP, '"2026-01-02 03:04:05.600"', UTC),
    (pa.date32(), '"2026-01-02"', dt.date(2026, 1, 2)),
    (pa.date32(), '"2026-01-02T00:00:00Z"', dt.date(2026, 1, 2)),
    (pa.time64("us"), '"03:04:05.000006"', dt.time(3, 4, 5, 6)),
    (JSON_TYPE, '{"a": [1.10, null]}', '{"a": [1.10, null]}'),
    (JSON_TYPE, "123456789012345678901234567890.5", "123456789012345678901234567890.5"),
    (pa.bool_(), "true", True),
]


@pytest.mark.parametrize(("type_", "text", "value"), VALUES, ids=lambda value: str(value)[:40])
def test_a_value_is_exact(type_: pa.DataType, text: str, value: Any) -> None:
    assert decoded(type_, text, "null") == ([value, None], [])


MISFITS: list[tuple[pa.DataType, str, str]] = [
    (INTEGER, "9223372036854775808", "9223372036854775807"),
    (INTEGER, '"7"', 'types = { "t.x" = "json" }'),
    (DOUBLE, "12345678901234567890.5", "decimal(38,9)"),
    (pa.decimal128(38, 2), "1.001", "decimal128"),
    (TIMESTAMP, '"2026-01-02T03:04:05.1234567Z"', "finer than a microsecond"),
    (TIMESTAMP, '"yesterday"', "'yesterday'"),
    (pa.date32(), '"2026-01-02T03:00:00Z"', "not a date"),
    (TEXT, "7", "`str"),
]


@pytest.mark.parametrize(("type_", "text", "reason"), MISFITS, ids=lambda value: str(value)[:40])
def test_a_value_that_does_not_fit_is_a_bad_record_and_the_others_land(
    type_: pa.DataType, text: str, reason: str
) -> None:
    values, errors = decoded(type_, "null", text, "null")
    assert values == [None, None]
    assert len(errors) == 1
    assert "column 'x'" in errors[0]
    assert reason in errors[0]


def test_a_property_that_the_schema_lacks_is_a_column_and_one_that_is_not_selected_is_none() -> None:
    decoder = RecordDecoder("t", {"id": INTEGER}, dropped=["secret"])
    records = [{"id": 1, "secret": "x"}, {"id": 2, "more": 1.5, "deep": {"a": 1}}]
    batch = decoder.decode([json.dumps(record).encode() for record in records]).batch
    assert batch.to_pylist() == [
        {"id": 1, "more": None, "deep": None},
        {"id": 2, "more": 1.5, "deep": '{"a":1}'},
    ]
