# SPDX-License-Identifier: Apache-2.0
"""Decodes JSON objects to columns, without a dict per message once their fields are known.

The decoder learns the fields of a topic from its messages: each field has a kind, and all fields together form a
msgspec struct that forbids others. A message with a new field, or with a value of another kind, is decoded field by
field, which widens the struct, and the chunk is decoded again. Both ways result in the same columns.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta

from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts import JSON_NUMBERS, HugeNumber, exact_decimal, infer_table

from .base import MAX_FIELDS, Decoded, build_column

RESERVED = "_kafka_"
LONG_NUMBER = r"[0-9.]{16}|[eE]-[0-9]{3}"
"""Matches each number that a double may round: it keeps 15 digits (IEEE 754), except of tiny numbers."""

_INT64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_KINDS: dict[str, tuple[Any, pa.DataType]] = {
    "null": (None, pa.null()),
    "bool": (bool, pa.bool_()),
    "int": (_INT64, pa.int64()),
    "float": (float, pa.float64()),
    "str": (str, pa.string()),
    "json": (msgspec.Raw, JSON_TYPE),
}
_DECLARED: list[tuple[Any, Any]] = [
    (pa.types.is_boolean, bool),
    (pa.types.is_int64, _INT64),
    (pa.types.is_float64, float),
    (pa.types.is_string, str),
    (pa.types.is_date32, dt.date),
    (pa.types.is_timestamp, Annotated[dt.datetime, Meta(tz=True)]),
    (pa.types.is_decimal128, decimal.Decimal),
]
_EXACT = 2**53
LEARNINGS = 4
"""Times that a chunk widens the struct before the whole chunk is decoded field by field."""
SAMPLE = 100
"""Messages from which the first struct is made."""
TINY = 1e-80
"""Smaller numbers may have an exponent of three digits, by which those with more than 15 digits are recognised."""
_DIGITS = bytes(
    ord("0") if chr(byte) in "0123456789." else ord("e") if chr(byte) in "eE" else byte for byte in range(256)
)
_LONG_RUN = b"0" * 16
_SIXES, _HIGH_HALVES, _THREES = (pa.scalar(bytes_, pa.uint32()) for bytes_ in (0x06060606, 0xF0F0F0F0, 0x30303030))
_NOTHING = b"{}"
"""Stands for a message without a value: all of its fields are NULL."""


class _MisfitError(Exception):
    """The indexes in the chunk of messages that do not fit the struct."""

    def __init__(self, indexes: Sequence[int]) -> None:
        self.indexes = indexes


class JsonDecoder:
    """Decodes JSON objects to one column for each field.

    :param declared: the types of columns by field name; a message with a value of another type is bad.
    """

    def __init__(self, declared: Mapping[str, pa.DataType]) -> None:
        self._declared = dict(declared)
        self._kinds: dict[str, str] = {}
        self._struct_decoder: msgspec.json.Decoder[Any] | None = None
        self._fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._empty: Any = None
        self._transposed: Callable[[Sequence[Any]], Sequence[list[Any]]] = lambda rows: ()
        if declared:
            self._learn({})

    def fields(self) -> list[pa.Field]:
        return [pa.field(name, type_) for name, type_ in self._declared.items()]

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        errors: dict[int, str] = {}
        rest = list(values)
        for _ in range(LEARNINGS):
            try:
                return Decoded(self._by_struct(rest), errors)
            except _MisfitError as misfit:
                if not self._learn_from(rest, misfit.indexes, errors):
                    break
            except (ValueError, OverflowError):  # of Arrow, for a declared column
                break
        return self._field_by_field(values)

    def _learn_from(self, values: list[bytes | None], indexes: Sequence[int], errors: dict[int, str]) -> bool:
        """Widen the struct so that it fits these messages, and remove bad ones from ``values``.

        :returns: whether anything changed.
        """
        kinds = dict(self._kinds)
        bad = self._field_by_field([values[index] for index in indexes]).errors
        for number, reason in bad.items():
            errors[indexes[number]] = reason
            values[indexes[number]] = None
        return bool(bad) or kinds != self._kinds

    def _by_struct(self, values: Sequence[bytes | None]) -> dict[str, pa.Array]:
        typed = self._typed()
        rows = self._structs(values)
        columns = {}
        for (name, (_, arrow)), column in zip(typed.items(), self._transposed(rows), strict=True):
            columns[name] = _json_texts(column) if arrow == JSON_TYPE else pa.array(column, arrow)
        self._check_digits(values, columns)
        return columns

    def _structs(self, values: Sequence[bytes | None]) -> list[Any]:
        """A struct for each message. Raises ``_MisfitError`` for messages that do not fit the struct."""
        if self._struct_decoder is None:
            raise _MisfitError([index for index, value in enumerate(values) if value is not None][:SAMPLE])
        decode, empty = self._struct_decoder.decode, self._empty
        try:
            try:
                return list(map(decode, values))  # type: ignore[arg-type]  # None raises TypeError
            except TypeError:
                return list(map(decode, [_NOTHING if value is None else value for value in values]))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            rows, misfits = [], []
        for index, value in enumerate(values):
            try:
                rows.append(empty if value is None else decode(value))
            except (msgspec.MsgspecError, ValueError, RecursionError):
                misfits.append(index)
        if misfits:
            raise _MisfitError(misfits)
        return rows

    def _check_digits(self, values: Sequence[bytes | None], columns: Mapping[str, pa.Array]) -> None:
        """Raise ``_MisfitError`` for messages with a number that the double of its column rounds."""
        names = [name for name, kind in self._kinds.items() if kind == "float"]
        if not names:
            return
        if not _may_be_long(b"".join(filter(None, values)), [columns[name] for name in names]):
            return
        long = pc.match_substring_regex(pa.array(values, pa.binary()), LONG_NUMBER)
        misfits = []
        for index in pc.indices_nonzero(long.fill_null(False)).to_pylist():
            value = values[index]
            assert value is not None  # only a value has digits
            raws = self._fields_decoder.decode(value)
            if not all(_is_double(_value(raws[name])) for name in names if name in raws):
                misfits.append(index)
        if misfits:
            raise _MisfitError(misfits)

    def _typed(self) -> dict[str, tuple[Any, pa.DataType]]:
        """The msgspec type and the Arrow type of each field by name, declared fields first."""
        declared = {name: (_python_type(arrow), arrow) for name, arrow in self._declared.items()}
        return declared | {name: _KINDS[kind] for name, kind in self._kinds.items()}

    def _learn(self, kinds: Mapping[str, str]) -> None:
        """Widen the struct. Raises ``ConfigurationError`` for a topic with too many fields."""
        changed = {
            name: _joined(self._kinds.get(name), kind) for name, kind in kinds.items() if name not in self._declared
        }
        self._kinds |= changed
        if len(self._kinds) > MAX_FIELDS:
            raise ConfigurationError(
                f"the values have more than {MAX_FIELDS:,} different fields, so field names are data here; "
                'write value = { format = "json", column = "value" }'
            )
        typed = self._typed()
        # a missing field is None, as is a null
        members = [(f"f{index}", _optional(python), None) for index, (python, _) in enumerate(typed.values())]
        names = {f"f{index}": name for index, name in enumerate(typed)}
        struct = msgspec.defstruct("Message", members, rename=names, forbid_unknown_fields=True, gc=False)
        self._struct_decoder, self._empty = msgspec.json.Decoder(struct), struct()
        self._transposed = _transposing(len(members))

    def _field_by_field(self, values: Sequence[bytes | None]) -> Decoded:
        rows: list[Mapping[str, Any]] = []
        raws: list[Mapping[str, msgspec.Raw]] = []
        errors: dict[int, str] = {}
        for index, value in enumerate(values):
            row, raw = {}, {}
            if value is not None:
                try:
                    raw = self._fields_decoder.decode(value)
                    row = self._checked(raw)
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    errors[index] = _reason(error)
            rows.append(row)
            raws.append(raw if row else {})
        names = dict.fromkeys([*self._declared, *self._kinds, *(name for row in rows for name in row)])
        columns, kinds = {}, {}
        for name in names:
            column = [row.get(name) for row in rows]
            if name in self._declared:
                columns[name] = _declared_column(name, column, self._declared[name], errors)
            else:
                columns[name], kinds[name] = _inferred_column(column, self._kinds.get(name))
                if kinds[name] == "json":  # the original text: 1e3 stays 1e3
                    columns[name] = _json_texts([raw.get(name) for raw in raws])
        self._learn(kinds)
        return Decoded(columns, errors)

    def _checked(self, row: dict[str, msgspec.Raw]) -> dict[str, Any]:
        """The fields as Python values: numbers keep all their digits, nested values stay JSON text."""
        checked = {}
        for name, raw in row.items():
            if name.startswith(RESERVED):
                raise ValueError(f"the field {name!r} begins with {RESERVED!r}, which is reserved for this source")
            name.encode()  # raises UnicodeError for half of a surrogate pair
            declared = self._declared.get(name)
            checked[name] = _value(raw) if declared is None else _declared_value(name, raw, declared)
        return checked


class WholeJsonDecoder:
    """Decodes whole JSON values of any kind to one column."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._decoder = msgspec.json.Decoder(msgspec.Raw)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        texts: list[str | None] = []
        errors = {}
        for index, value in enumerate(values):
            try:
                texts.append(None if value is None else bytes(self._decoder.decode(value)).decode())
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                texts.append(None)
                errors[index] = _reason(error)
        return Decoded({self._column: _as_json(texts)}, errors)

    def fields(self) -> list[pa.Field]:
        return [pa.field(self._column, JSON_TYPE)]


def _transposing(width: int) -> Callable[[Sequence[Any]], Sequence[list[Any]]]:
    """A function that returns the attributes of structs as columns.

    It is compiled from text, like the functions of named tuples: an attribute with a fixed name is read four times as
    fast as one whose name is a variable.
    """
    columns = "".join(f"[row.f{index} for row in rows]," for index in range(width))
    transposed: Callable[[Sequence[Any]], Sequence[list[Any]]] = eval(f"lambda rows: ({columns})")
    return transposed


def _may_be_long(texts: bytes, columns: Sequence[pa.Array]) -> bool:
    """Whether any message may have a number that a double rounds, judged from the bytes of all messages at once."""
    smallest = (pc.min(pc.abs(column)).as_py() for column in columns)
    if any(value is not None and value < TINY for value in smallest):
        digits = texts.translate(_DIGITS)
        return _LONG_RUN in digits or b"e-000" in digits
    return any(
        _LONG_RUN in texts[max(0, start - 16) : start + 28].translate(_DIGITS) for start in _runs_of_digits(texts)
    )


def _runs_of_digits(texts: bytes) -> Iterator[int]:
    """Yield where two of three successive four bytes are digits: in each run of sixteen digits with a point or without.

    Four bytes are one integer here, so that Arrow compares them at once. A byte is a digit if its high half is 3, and
    remains 3 if 6 is added.
    """
    words = pa.Array.from_buffers(pa.uint32(), len(texts) // 4, [None, pa.py_buffer(texts)])
    high = pc.bit_wise_and(pc.bit_wise_and(words, pc.add(words, _SIXES)), _HIGH_HALVES)
    digits = pc.equal(high, _THREES)
    if len(digits) < 3:
        return
    pairs = pc.and_(digits[:-2], pc.or_(digits[1:-1], digits[2:]))
    last = pc.and_(digits[-2], digits[-1]).as_py()
    if pc.any(pairs).as_py():
        yield from (4 * index for index in pc.indices_nonzero(pairs).to_pylist())
    if last:
        yield 4 * (len(digits) - 2)


def _python_type(arrow: pa.DataType) -> Any:
    if arrow == JSON_TYPE:
        return msgspec.Raw
    return next(python for matches, python in _DECLARED if matches(arrow))


def _optional(python: Any) -> Any:
    return python if python is None or python is msgspec.Raw else python | None


def _joined(known: str | None, new: str) -> str:
    """The kind that holds both kinds; a mixed column stays JSON."""
    if known in (None, "null", new):
        return new
    if new == "null":
        return str(known)
    return "float" if {known, new} == {"int", "float"} else "json"


class _Text(str):
    """The JSON text of a nested value, or of a number that no numeric column holds."""

    __slots__ = ()


def _value(raw: msgspec.Raw) -> Any:
    """The value of a field: ``_Text`` if it is nested. Raises ``ValueError`` for a value that no column holds."""
    text = bytes(raw).decode()
    first = text[0]
    if first in "{[":
        return _Text(text)
    if first in '"tfn':
        return msgspec.json.decode(raw)
    return _number(text)


def _number(text: str) -> Any:
    """An int, a float if it keeps every digit, otherwise a Decimal; checks the length before it converts."""
    if len(text) > 400:
        raise ValueError(f"a number with {len(text):,} characters; expected at most 400")
    if text.lstrip("-").isdigit():
        return int(text)
    number = JSON_NUMBERS["exact"](text)
    if isinstance(number, HugeNumber) or (type(number) is decimal.Decimal and not -400 < number.adjusted() < 400):
        raise ValueError(f"the number {text} is outside the range of numbers that a column holds")
    return number


def _declared_value(name: str, raw: msgspec.Raw, arrow: pa.DataType) -> Any:
    try:
        value = msgspec.json.decode(raw, type=_optional(_python_type(arrow)))
    except msgspec.ValidationError as error:
        raise ValueError(f"field {name!r}: {error}, the value is {_shortened(raw)}") from None
    return _json_text(value) if isinstance(value, msgspec.Raw) else value


def _declared_column(name: str, values: list[Any], arrow: pa.DataType, errors: dict[int, str]) -> pa.Array:
    if arrow == JSON_TYPE:
        return _as_json(values)
    return build_column(name, values, arrow, errors)


def _inferred_column(values: list[Any], known: str | None) -> tuple[pa.Array, str]:
    """The column, and the kind for the struct. Big integers and long fractions become decimals, mixed values JSON."""
    types = {type(value) for value in values if value is not None}
    kind = known
    for type_ in types:
        kind = _joined(kind, _kind_of(type_))
    if kind in ("int", "float") and decimal.Decimal in types | (
        {decimal.Decimal} if kind == "int" and _too_big(values) else set()
    ):
        column = infer_table([{"x": _plain(value)} for value in values]).column("x").combine_chunks()
        return column, kind
    if kind == "float" and int in types and any(type(value) is int and abs(value) > _EXACT for value in values):
        kind = "json"
    if kind == "json":
        return pa.nulls(len(values)), "json"  # the caller builds the column from the texts
    if kind is None or kind == "null":
        return pa.nulls(len(values)), "null"
    return pa.array(values, _KINDS[kind][1]), kind


def _kind_of(type_: type) -> str:
    if type_ is decimal.Decimal:
        return "float"
    return {bool: "bool", int: "int", float: "float", str: "str"}.get(type_, "json")


def _too_big(values: list[Any]) -> bool:
    return any(type(value) is int and not -(2**63) <= value < 2**63 for value in values)


def _is_double(value: Any) -> bool:
    """Whether a double holds a number with all its digits."""
    return value is None or type(value) is float or (type(value) is int and abs(value) <= _EXACT)


def _plain(value: Any) -> Any:
    """A float of a column with decimals as a decimal, so that all values have the same kind."""
    return exact_decimal(value) if type(value) is float else value


def _json_texts(values: Sequence[msgspec.Raw | None]) -> pa.Array:
    return _as_json([None if value is None else _json_text(value) for value in values])


def _json_text(raw: msgspec.Raw) -> str | None:
    """The original text of a value. Raises ``ValueError`` for a number or a text that no column holds."""
    text = bytes(raw).decode()
    if text[0] not in "{[":
        _value(raw)
    return None if text == "null" else text


def _as_json(texts: Sequence[str | None]) -> pa.Array:
    return pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(texts, pa.string()))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(error, UnicodeError):
        return "the JSON has a text that is not valid UTF-8, or half of a surrogate pair"
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        return f'the JSON is not an object: {text}; format = "json" with column = "NAME" lands any JSON in one column'
    return f"not valid JSON: {text}" if isinstance(error, msgspec.DecodeError) else text


def _shortened(raw: msgspec.Raw) -> str:
    text = bytes(raw)
    return text[:120].decode("utf-8", "replace") + ("…" if len(text) > 120 else "")
