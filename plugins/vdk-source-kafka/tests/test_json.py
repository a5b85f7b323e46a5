"""JSON values as columns."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import Broker, MakeSource, read_topic, without_facts
from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.source_kafka.decoding import json_fields
from vdk.plugin.source_kafka.decoding.json_fields import JsonDecoder, WholeJsonDecoder

pytestmark = pytest.mark.heavy

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from("xy"), SCALARS, max_size=2)
MESSAGES = st.none() | st.dictionaries(st.sampled_from(["a", "b", "c d"]), VALUES).map(
    lambda one: json.dumps(one).encode()
)


def rows(decoder: JsonDecoder, values: Sequence[bytes | None], *, by_fields: bool = False) -> list[dict[str, Any]]:
    decoded = decoder._field_by_field(values) if by_fields else decoder.decode(values)
    assert decoded.errors == {}
    columns = {name: column.to_pylist() for name, column in decoded.columns.items()}
    return [{name: column[index] for name, column in columns.items()} for index in range(len(values))]


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=5), st.lists(MESSAGES, min_size=1, max_size=5))
def test_both_ways_give_the_same_columns(first: list[bytes | None], second: list[bytes | None]) -> None:
    """Known fields go by a struct and unknown ones field by field: values and types are equal."""
    fast, slow = JsonDecoder({}), JsonDecoder({})
    for values in (first, second, first):
        one = fast.decode(values)
        other = slow._field_by_field(values)
        assert one.errors == other.errors
        assert {name: (column.type, column.to_pylist()) for name, column in one.columns.items()} == {
            name: (column.type, column.to_pylist()) for name, column in other.columns.items()
        }


@settings(max_examples=200, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_every_value_is_the_one_that_was_sent(values: list[bytes | None]) -> None:
    """Numbers keep their digits, nested values their text, and one message is one row."""
    decoder = JsonDecoder({})
    for _ in range(2):
        for row, value in zip(rows(decoder, values), values, strict=True):
            sent = json.loads(value, parse_float=Decimal) if value is not None else {}
            for name, found in row.items():
                assert same(found, sent.get(name)), (name, found, sent)


def same(found: Any, sent: Any) -> bool:
    if isinstance(found, str) and not (isinstance(sent, str) and found == sent):
        return bool(json.loads(found, parse_float=Decimal) == sent)
    if isinstance(found, float):
        return bool(Decimal(repr(found)) == sent)
    return type(found) is bool if isinstance(sent, bool) else bool(found == sent)


@pytest.mark.parametrize(
    "number", ["9007199254740993", "10000000000000000000001", "0.10000000000000000001", "1e-350", "12345678901234567.5"]
)
def test_no_digit_is_lost_where_a_field_is_a_double(number: str) -> None:
    """A double would take each of these, as another number."""
    decoder = JsonDecoder({})
    rows(decoder, [b'{"a": 1.5}'])
    ((row),) = rows(decoder, [b'{"a": %s}' % number.encode()])
    assert Decimal(row["a"]) == Decimal(number)


def test_no_digit_is_lost_wherever_a_long_number_is_in_the_bytes() -> None:
    """Long numbers are searched for in four bytes at a time: at each offset, and with the point at each digit."""
    for point in range(1, 15):
        texts = [f"{digits:016}" for digits in range(9876543210123400, 9876543210123500)]
        numbers = [f"{text[:point]}.{text[point:]}" for text in texts]
        number = next(number for number in numbers if Decimal(number) != Decimal(repr(float(number))))
        for shift in range(4):
            decoder = JsonDecoder({})
            decoder.decode([b'{"x":1.5}'])
            message = f'{{{" " * shift}"x":{number}}}'.encode()
            assert rows(decoder, [message]) == [{"x": Decimal(number)}], message


def test_known_fields_make_no_dict() -> None:
    """From the second chunk on, messages of known fields go by the struct."""
    decoder = JsonDecoder({})
    rows(decoder, [b'{"a": 1, "b": "x"}'])
    decoder._field_by_field = None  # type: ignore[assignment,method-assign]  # so that it fails if it is called
    assert rows(decoder, [b'{"a": 2, "b": null}', None, b'{"b": "y"}']) == [
        {"a": 2, "b": None},
        {"a": None, "b": None},
        {"a": None, "b": "y"},
    ]


@pytest.mark.parametrize("known", [False, True])
def test_of_a_field_that_is_given_twice_the_last_counts(known: bool) -> None:
    """As RFC 8259 leaves open and most readers do."""
    decoder = JsonDecoder({})
    if known:
        rows(decoder, [b'{"a": 1}'])
    assert rows(decoder, [b'{"a": 1, "a": 2}']) == [{"a": 2}]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": 1} {"a": 2}', "not valid JSON"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": ' + b"9" * 500 + b"}", "a number with 500 characters"),
        (b'{"a": 1e999999999}', "outside the range"),
        (b'{"_kafka_offset": 1}', "begins with '_kafka_'"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_a_bad_message_is_named_and_the_others_land(value: bytes, reason: str, known: bool) -> None:
    """One row per message, whatever its neighbours are."""
    decoder = JsonDecoder({})
    if known:
        rows(decoder, [b'{"a": 1}'])
    decoded = decoder.decode([b'{"a": 1}', value, b'{"a": 2}'])
    assert list(decoded.errors) == [1]
    assert reason in decoded.errors[1]
    assert decoded.columns["a"].to_pylist() == [1, None, 2]


DECLARED = {
    "n": ("integer", b"5", 5, b'"5"'),
    "d": ("double", b"1.5", 1.5, b'"x"'),
    "t": ("text", b'"x"', "x", b"1"),
    "b": ("boolean", b"true", True, b"1"),
    "day": ("date", b'"2026-01-31"', dt.date(2026, 1, 31), b'"31.1.2026"'),
    "at": ("timestamp", b'"2026-01-01T01:00:00+01:00"', dt.datetime(2026, 1, 1, tzinfo=dt.UTC), b'"2026-01-01T00:00"'),
    "p": ("decimal(12,2)", b"19.90", Decimal("19.90"), b"1.234"),
    "j": ("json", b'{"x": 1.10}', '{"x": 1.10}', None),
}


@pytest.mark.parametrize("name", list(DECLARED))
def test_declared_columns_have_their_types(broker: Broker, source: MakeSource, name: str) -> None:
    """A value that does not fit is a bad message, with its field and its value in the reason."""
    type_, good, value, bad = DECLARED[name]
    topic = broker.topic()
    member = b'{"' + name.encode() + b'": '
    broker.send(topic, member + good + b"}", member + b"null}", b'{"other": 1}')
    result = read_topic(source(topic, value={"format": "json", "columns": {name: type_}}))
    assert result.values(name) == [value, None, None]
    assert result.values("other") == [None, None, 1]
    if bad is not None:
        broker.send(topic, member + bad + b"}")
        ((row, error),) = read_topic(source(topic, value={"format": "json", "columns": {name: type_}})).rejected
        assert row["value"] == member + bad + b"}"
        assert repr(name) in error


def test_a_poison_message_is_kept_whole(broker: Broker, source: MakeSource) -> None:
    """Bytes, key, headers, place and time of a message that cannot be read; reading goes on."""
    topic = broker.topic()
    producer = broker.producer()
    producer.produce(topic, b'{"id": 1}')
    producer.produce(topic, b"\x00\xff poison", b"\xfe", headers=[("h", b"1")], timestamp=1_767_225_600_000)
    producer.produce(topic, b'{"id": 2}')
    producer.flush(10)
    result = read_topic(source(topic))
    assert result.values("id") == [1, 2]
    ((row, error),) = result.rejected
    assert row == {
        "topic": topic,
        "partition": 0,
        "offset": 1,
        "timestamp": 1_767_225_600_000,
        "key": b"\xfe",
        "value": b"\x00\xff poison",
        "headers": '[{"key":"h","value":"1"}]',
        "part": "value",
        "schema_id": None,
    }
    assert "not valid JSON" in error


def test_other_formats_land_in_one_column(broker: Broker, source: MakeSource) -> None:
    """Any JSON, text or bytes; what is not text is a bad message of a text."""
    topic = broker.topic()
    broker.send(topic, b"[1, 1.10]", b"7", b"\xff", None)
    whole = read_topic(source(topic, value={"format": "json", "column": "body"}))
    assert without_facts(whole.rows) == [{"body": "[1, 1.10]"}, {"body": "7"}, {"body": None}]
    text = read_topic(source(topic, value="string"))
    assert without_facts(text.rows) == [{"value": "[1, 1.10]"}, {"value": "7"}, {"value": None}]
    assert "not valid UTF-8" in text.rejected[0][1]
    assert read_topic(source(topic, value="bytes")).values("value") == [b"[1, 1.10]", b"7", b"\xff", None]


def test_whole_json_is_valid_json() -> None:
    """The column's type promises it."""
    decoded = WholeJsonDecoder("x").decode([b'{"a":1}{"a":2}', b"NaN", b' {"a": 1} ', b'"\xff"'])
    assert sorted(decoded.errors) == [0, 1, 3]
    assert json.loads(decoded.columns["x"].to_pylist()[2]) == {"a": 1}


def test_field_names_that_are_data_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of as many columns as there are keys is of no use to anybody."""
    monkeypatch.setattr(json_fields, "MAX_FIELDS", 3)
    with pytest.raises(ConfigurationError, match="more than 3 different fields"):
        JsonDecoder({}).decode([json.dumps({f"user {n}": n for n in range(4)}).encode()])
