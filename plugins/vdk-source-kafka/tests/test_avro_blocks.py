"""Avro that is decoded in blocks has the values that it has message by message."""

from __future__ import annotations

import itertools
import json
import random
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from vdk.plugin.source_kafka.config import Format
from vdk.plugin.source_kafka.decoding.avro import AvroDecoder
from vdk.plugin.source_kafka.decoding.registry import Schemas

PLAIN = {
    "type": "record",
    "name": "plain",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "count", "type": "int"},
        {"name": "name", "type": "string"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "paid", "type": "boolean"},
        {"name": "total", "type": "double"},
        {"name": "rate", "type": ["null", "float"]},
        {"name": "raw", "type": "bytes"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "exact", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}


def decoder(folder: Path, schema: Any, *, blocks: bool = True) -> AvroDecoder:
    file = folder / "schema.avsc"
    file.write_text(json.dumps(schema))
    part = Format(format="avro", schema_file=file)
    made = AvroDecoder(Schemas(None, 5), part, "t-value", lambda field: field or "value")
    if not blocks:
        made._blocks = None
    return made


def row(chance: random.Random) -> dict[str, Any]:
    return {
        "id": chance.randrange(-(2**63), 2**63),
        "count": chance.randrange(-(2**31), 2**31),
        "name": chance.choice(["", "ö", "x" * 70, "😀"]),
        "note": chance.choice([None, "", "note"]),
        "paid": chance.random() < 0.5,
        "total": chance.choice([0.1, -1e300, 5e-324]),
        "rate": chance.choice([None, 0.5]),
        "raw": chance.randbytes(chance.randrange(4)),
        "day": chance.randrange(-10_000, 40_000),
        "at": chance.choice([None, -1, 0, 1_700_000_000_123]),
        "exact": chance.randrange(-(10**15), 10**16),
    }


def body(value: dict[str, Any], schema: Any = PLAIN) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, schema, value)
    return stream.getvalue()


def damaged(value: bytes, chance: random.Random) -> bytes:
    begin, end = sorted(chance.randrange(len(value) + 1) for _ in range(2))
    return chance.choice([value[:end], value + value, value[:begin] + chance.randbytes(3) + value[end:]])


@pytest.mark.parametrize("with_bad", [False, True])
def test_blocks_give_the_same_values_as_single_messages(tmp_path: Path, with_bad: bool) -> None:
    """Types, values, errors, and nulls for messages without a value; a damaged body shifts no other one."""
    chance = random.Random(14)
    fast, slow = decoder(tmp_path, PLAIN), decoder(tmp_path, PLAIN, blocks=False)
    assert fast._blocks is not None
    together = 0
    for _ in range(60 if with_bad else 200):
        values = [body(row(chance)) if chance.random() < 0.9 else None for _ in range(chance.randrange(1, 8))]
        if with_bad and values[0] is not None:
            values[0] = damaged(values[0], chance)
        fast._misses = 0
        together += fast._together(values) is not None
        found, expected = fast.decode(values), slow.decode(values)
        if any("list index out of range" in reason for reason in expected.errors.values()):
            continue  # the index of a union, of which a block sees only whether it is 0
        assert found.errors == expected.errors
        assert {name: str(column) for name, column in found.columns.items()} == {
            name: str(column) for name, column in expected.columns.items()
        }
    assert together > (2 if with_bad else 150)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_bodies_that_make_up_for_each_other_are_found_out(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Two halves of a row, and a body of two rows: as many bytes and rows as three good ones."""
    one, two, three = (body(row(random.Random(number))) for number in range(3))
    bodies = [one[:9], one[9:], two + three]
    values = [bodies[number] for number in order]
    assert len(decoder(tmp_path, PLAIN).decode(values).errors) == 3


@pytest.mark.parametrize(
    "type_",
    [
        {"type": "array", "items": "long"},
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        ["null", "long", "string"],
        ["string", "null"],
        {"type": "enum", "name": "colour", "symbols": ["red"]},
        {"type": "string", "logicalType": "uuid"},
    ],
    ids=str,
)
def test_schemas_that_are_not_plain_are_read_message_by_message(tmp_path: Path, type_: Any) -> None:
    """Blocks are for what is the same either way."""
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": type_}]}
    assert decoder(tmp_path, schema)._blocks is None


def test_after_some_chunks_with_bad_messages_blocks_are_given_up(tmp_path: Path) -> None:
    """Each of them is decoded twice, and polars prints what it finds to standard error."""
    made = decoder(tmp_path, PLAIN)
    good = body(row(random.Random(1)))
    for _ in range(5):
        assert list(made.decode([good, good[:3]]).errors) == [1]
    assert made._together([good]) is None
