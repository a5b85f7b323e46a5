"""What a decoder gives for a chunk of messages, and the formats that need no schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

MAX_FIELDS = 2_000
"""Fields of one topic that become columns; a topic with more has keys as data, and belongs in one JSON column."""


@dataclass
class Decoded:
    """A chunk as columns.

    :param columns: name to array, each as long as the chunk; NULL where a message is bad or its bytes are null.
    :param errors: index in the chunk to what is wrong with that message.
    :param schema_ids: index in the chunk to the id of the schema that a bad message was written with, where it has one.
    """

    columns: dict[str, pa.Array]
    errors: dict[int, str] = field(default_factory=dict)
    schema_ids: dict[int, int] = field(default_factory=dict)


class Decoder(Protocol):
    """Turns the bytes of messages into columns. Made once per reading; not thread-safe."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded: ...

    def fields(self) -> list[pa.Field]:
        """The columns that are known before anything is read."""
        ...


def build_column(name: str, values: list[Any], type_: pa.DataType, errors: dict[int, str]) -> pa.Array:
    """The values as a column; one that the type does not hold is NULL, and an error of its message."""
    try:
        return pa.array(values, type_)
    except (pa.ArrowInvalid, OverflowError):
        for index, value in enumerate(values):  # a decimal with too many digits, a time before the range
            try:
                pa.array([value], type_)
            except (pa.ArrowInvalid, OverflowError) as error:
                errors[index] = f"field {name!r}: {error}"
                values[index] = None
        return pa.array(values, type_)


class BytesDecoder:
    """The bytes as they are, in one column."""

    def __init__(self, column: str) -> None:
        self._column = column

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        return Decoded({self._column: pa.array(values, pa.binary())})

    def fields(self) -> list[pa.Field]:
        return [pa.field(self._column, pa.binary())]


class StringDecoder:
    """UTF-8 text in one column; bytes that are not UTF-8 are a bad message."""

    def __init__(self, column: str) -> None:
        self._column = column

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        try:
            return Decoded(
                {self._column: pa.array([None if value is None else value.decode() for value in values], pa.string())}
            )
        except UnicodeDecodeError:
            return self._one_by_one(values)

    def _one_by_one(self, values: Sequence[bytes | None]) -> Decoded:
        texts: list[str | None] = []
        errors = {}
        for index, value in enumerate(values):
            try:
                texts.append(None if value is None else value.decode())
            except UnicodeDecodeError as error:
                texts.append(None)
                errors[index] = (
                    f'not valid UTF-8: {error.reason} at byte {error.start}; use format = "bytes" to land it as it is'
                )
        return Decoded({self._column: pa.array(texts, pa.string())}, errors)

    def fields(self) -> list[pa.Field]:
        return [pa.field(self._column, pa.string())]
