# SPDX-License-Identifier: Apache-2.0
"""Decodes the records of one stream to columns, by the types of its SCHEMA, without a dict for each record."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vdk.plugin.datasource_base import BadRecordError
from vdk.plugin.datasource_base.parts import infer_table, toml_value

from .columns import ARROW_ERRORS, build, build_each, is_exact, python_type, python_value

_LONG_NUMBER = r"[0-9.]{16}|[eE][-+]?[0-9]{3}"
"""Matches each number that a double may round: it keeps 15 digits (IEEE 754)."""
_DECODING_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)

Rejected = tuple[Mapping[str, Any], BadRecordError]


@dataclass
class Decoded:
    """Records as columns, and the records that do not fit, each with the reason."""

    batch: pa.RecordBatch
    rejected: Sequence[Rejected] = ()


@dataclass
class _Rows:
    """Values by column, as they were decoded one by one.

    :param indexes: the index of each row in what was decoded.
    """

    known: list[dict[str, Any]] = field(default_factory=list)
    further: list[dict[str, Any]] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)


class RecordDecoder:
    """Decodes records of one stream. Not thread-safe.

    :param columns: the declared columns. :param dropped: properties that do not become columns.
    :param keys: the primary key, by which an error names a record.
    """

    def __init__(
        self, stream: str, columns: Mapping[str, pa.DataType], dropped: Collection[str] = (), keys: Sequence[str] = ()
    ) -> None:
        self.stream, self.keys = stream, tuple(keys)
        self.columns = {name: type_ for name, type_ in columns.items() if not pa.types.is_null(type_)}
        self._dropped = {name for name in dropped if name not in self.columns}
        self._floats = [name for name, type_ in self.columns.items() if pa.types.is_floating(type_)]
        types = {name: python_type(type_) for name, type_ in self.columns.items()}
        # msgspec skips a raw value, so what is not selected costs nothing
        types |= dict.fromkeys(self._dropped, msgspec.Raw)
        members = [
            (f"f{index}", type_ if type_ is msgspec.Raw else type_ | None, None)
            for index, type_ in enumerate(types.values())
        ]
        names = {f"f{index}": name for index, name in enumerate(types)}
        struct = msgspec.defstruct("Record", members, rename=names, forbid_unknown_fields=True, gc=False)
        self._decode = msgspec.json.Decoder(struct).decode
        self._decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._decode_value = {name: msgspec.json.Decoder(type_ | None).decode for name, type_ in types.items()
                              if type_ is not msgspec.Raw}  # fmt: skip
        self._getters = [attrgetter(f"f{index}") for index in range(len(self.columns))]

    def decode(self, records: Sequence[msgspec.Raw | bytes]) -> Decoded:
        """The records as a batch, in their order, without those that do not fit."""
        try:
            rows = list(map(self._decode, records))
            columns = [
                build(list(map(value, rows)), type_)
                for value, type_ in zip(self._getters, self.columns.values(), strict=True)
            ]
            if not self._floats or not self._may_round(records):
                return Decoded(_batch(dict(zip(self.columns, columns, strict=True)), len(rows)))
        except (*_DECODING_ERRORS, *ARROW_ERRORS):
            pass
        return self._decode_each(records)

    def _may_round(self, records: Sequence[msgspec.Raw | bytes]) -> bool:
        """Whether the double of a column does not have all digits of its number."""
        long = pc.match_substring_regex(pa.array(map(bytes, records), pa.binary()), _LONG_NUMBER)
        for index in pc.indices_nonzero(long).to_pylist():
            raws = self._decode_raw(records[index])
            if not all(is_exact(raws[name]) for name in self._floats if name in raws):
                return True
        return False

    def _decode_each(self, records: Sequence[msgspec.Raw | bytes]) -> Decoded:
        rows, rejected = _Rows(), dict[int, Rejected]()
        for index, record in enumerate(records):
            try:
                raws = self._decode_raw(record)
                known = {name: self._value(name, raws[name]) for name in self.columns if name in raws}
                further = {
                    name: self._further(name, raw)
                    for name, raw in raws.items()
                    if name not in self.columns and name not in self._dropped
                }
            except BadRecordError as error:
                rejected[index] = self._rejected(record, error)
            except _DECODING_ERRORS as error:
                rejected[index] = self._rejected(record, BadRecordError(_reason(error), stream=self.stream))
            else:
                rows.known.append(known)
                rows.further.append(further)
                rows.indexes.append(index)
        columns, misfits = self._built(rows, records)
        rejected |= misfits
        keep = [row for row, index in enumerate(rows.indexes) if index not in rejected]
        batch = _batch(columns, len(rows.indexes))
        if len(keep) < len(rows.indexes):
            batch = batch.take(pa.array(keep, pa.int64()))
        return Decoded(batch, [rejected[index] for index in sorted(rejected)])

    def _built(
        self, rows: _Rows, records: Sequence[msgspec.Raw | bytes]
    ) -> tuple[dict[str, pa.Array], dict[int, Rejected]]:
        columns, rejected = {}, dict[int, Rejected]()
        for name, type_ in self.columns.items():
            columns[name], reasons = build_each([row.get(name) for row in rows.known], type_)
            for row, reason in reasons.items():
                index = rows.indexes[row]
                error = self._misfit(name, rows.known[row][name], reason)
                rejected.setdefault(index, self._rejected(records[index], error))
        if any(rows.further):
            inferred = infer_table(rows.further)
            columns |= {name: inferred.column(name).combine_chunks() for name in inferred.column_names}
        return columns, rejected

    def _value(self, name: str, raw: msgspec.Raw) -> Any:
        """Raises ``BadRecordError`` for a value of another type."""
        decode = self._decode_value.get(name)
        if decode is None:
            return raw
        try:
            value = decode(raw)
        except _DECODING_ERRORS as error:
            raise self._misfit(name, bytes(raw)[:200].decode("utf-8", "replace"), _reason(error)) from None
        if name in self._floats and not is_exact(raw):
            shown = bytes(raw)[:200].decode("utf-8", "replace")
            raise self._misfit(name, shown, "a double does not have all digits of the number", "decimal(38,9)")
        return value

    def _further(self, name: str, raw: msgspec.Raw) -> Any:
        try:
            return python_value(raw)
        except _DECODING_ERRORS as error:
            raise BadRecordError(_reason(error), stream=self.stream, column=name) from None

    def _misfit(self, name: str, value: Any, reason: str, type_: str = "json") -> BadRecordError:
        key = toml_value(f"{self.stream}.{name}")
        return BadRecordError(
            f"the value does not fit the column's type {self.columns[name]}, which the tap declares: {reason}; to land "
            f"such values, write types = {{ {key} = {toml_value(type_)} }}",
            stream=self.stream,
            column=name,
            value=value,
        )

    def _rejected(self, record: msgspec.Raw | bytes, error: BadRecordError) -> Rejected:
        """The whole record as it was sent, and its error with the key by which it is found."""
        text = bytes(record).decode("utf-8", "replace")
        try:
            row = json.loads(text, parse_float=str, parse_int=_integer)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            return {"record": text}, error
        key = {name: row.get(name) for name in self.keys} or None
        value = error.value if not isinstance(error.value, bytes) else None
        return row, BadRecordError(error.reason, stream=self.stream, column=error.column, key=key, value=value)


def _integer(text: str) -> int | str:
    return int(text) if len(text) < 20 else text


def _batch(columns: Mapping[str, pa.Array], count: int) -> pa.RecordBatch:
    if columns:
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    return pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct([])))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(error, UnicodeError):
        return "a text is not valid UTF-8, or has half of a surrogate pair"
    return str(error)
