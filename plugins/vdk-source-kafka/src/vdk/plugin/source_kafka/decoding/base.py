# SPDX-License-Identifier: Apache-2.0
"""The decoder protocol, its result, and the decoders of formats that need no schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

MAX_FIELDS = 2_000
"""Fields of a topic that become columns; with more, field names are data and belong in one JSON column."""


@dataclass
class Decoded:
    """The columns of a chunk.

    :param columns: arrays by name, each as long as the chunk; NULL for messages that are bad or have no bytes.
    :param errors: the errors of bad messages, by their indexes in the chunk.
    :param schema_ids: the ids of the schemas of bad messages that have one, by their indexes in the chunk.
    """

    columns: dict[str, pa.Array]
    errors: dict[int, str] = field(default_factory=dict)
    schema_ids: dict[int, int] = field(default_factory=dict)


class Decoder(Protocol):
    """Decodes the bytes of messages to columns. Each reader has its own; not thread-safe."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded: ...

    def fields(self) -> list[pa.Field]:
        """The columns that are known before reading."""
        ...


def build_column(name: str, values: list[Any], type_: pa.DataType, errors: dict[int, str]) -> pa.Array:
    """The values as a column; a value that the type cannot hold becomes NULL and an error of its message."""
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
    """The unchanged bytes, in one column."""

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
        try:  # the cast checks the bytes, without an object for each text
            return Decoded({self._column: pa.array(values, pa.binary()).cast(pa.string())})
        except pa.ArrowInvalid:
            return self._decode_each(values)

    def _decode_each(self, values: Sequence[bytes | None]) -> Decoded:
        texts: list[str | None] = []
        errors = {}
        for index, value in enumerate(values):
            try:
                texts.append(None if value is None else value.decode())
            except UnicodeDecodeError as error:
                texts.append(None)
                errors[index] = (
                    f'not valid UTF-8: {error.reason} at byte {error.start}; write format = "bytes" to land the bytes'
                )
        return Decoded({self._column: pa.array(texts, pa.string())}, errors)

    def fields(self) -> list[pa.Field]:
        return [pa.field(self._column, pa.string())]
