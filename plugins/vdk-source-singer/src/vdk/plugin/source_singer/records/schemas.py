# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a Singer stream as columns: an Arrow type for each property."""

from __future__ import annotations

import decimal
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import JSON_TYPE

TIMESTAMP = pa.timestamp("us", tz="UTC")
_MAX_DIGITS = 38
"""Digits of the widest decimal that every destination has."""
_MAX_DEPTH = 20
"""References and alternatives within each other; a deeper schema, such as one that refers to itself, is JSON."""
_FORMATS = {"date-time": TIMESTAMP, "date": pa.date32(), "time": pa.time64("us")}
_TEXTS = {pa.string(), *_FORMATS.values()}
_COMBINING = ("anyOf", "oneOf", "allOf")


def columns_of(schema: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """The Arrow type of each property of an object, in their order."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {name: type_of(property_, schema) for name, property_ in properties.items()}


def type_of(schema: Any, root: Mapping[str, Any]) -> pa.DataType:
    """The type that holds each value of a schema exactly; JSON for what is nested, mixed or unknown.

    :param root: the schema to which references ``#/…`` lead.
    """
    types = list(dict.fromkeys(_scalar_type(variant) for variant in _variants(schema, root, 0)))
    if len(types) == 1:
        return types[0]
    if set(types) == {pa.int64(), pa.float64()}:
        return pa.float64()
    if types and set(types) <= _TEXTS:  # the idiom of taps whose times may be wrong: a time, or else any text
        return pa.string()
    return JSON_TYPE


def _variants(schema: Any, root: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """The schema as alternatives with one type each, without that of null. ``{}``: anything."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        yield {}
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield from _variants(_resolved(reference, root), root, depth + 1)
        return
    for combining in _COMBINING:
        members = schema.get(combining)
        if not isinstance(members, list) or not members:
            continue
        if combining == "allOf" and len(members) > 1:
            yield {}
            return
        rest = {name: value for name, value in schema.items() if name not in (combining, "type")}
        for member in members:
            merged = {**rest, **member} if isinstance(member, Mapping) else member
            yield from _variants(merged, root, depth + 1)
        return
    types = schema.get("type")
    for type_ in types if isinstance(types, list) else [types]:
        if type_ != "null":
            yield {**schema, "type": type_ if type_ is not None else _type_of_values(schema)}


def _resolved(reference: str, root: Mapping[str, Any]) -> Any:
    """What a reference within the schema leads to (RFC 6901); None: it leads elsewhere."""
    if not reference.startswith("#/"):
        return None
    target: Any = root
    for step in reference[2:].split("/"):
        target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target


def _type_of_values(schema: Mapping[str, Any]) -> str | None:
    """The type of a schema that only lists its values."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list) and (texts := [value for value in values if value is not None]):
        return "string" if all(isinstance(value, str) for value in texts) else None
    return None


def _scalar_type(schema: Mapping[str, Any]) -> pa.DataType:
    match schema.get("type"):
        case "boolean":
            return pa.bool_()
        case "integer":
            return _integer_type(schema)
        case "number":
            return _number_type(schema)
        case "string":
            return _FORMATS.get(str(schema.get("format")), pa.string())
        case _:
            return JSON_TYPE


def _integer_type(schema: Mapping[str, Any]) -> pa.DataType:
    bounds = [bound for name in ("minimum", "maximum") if (bound := _decimal(schema.get(name))) is not None]
    if all(-(2**63) <= bound < 2**63 for bound in bounds):
        return pa.int64()
    return _decimal_type(max(bound.adjusted() + 1 for bound in bounds), 0)


def _number_type(schema: Mapping[str, Any]) -> pa.DataType:
    """A decimal with the digits of ``multipleOf``; else a double."""
    step = _decimal(schema.get("multipleOf"))
    if step is None or step <= 0:
        return pa.float64()
    scale = max(0, -int(step.normalize().as_tuple().exponent))
    whole = [digits for name in ("minimum", "maximum") if (digits := _whole_digits(schema, name)) is not None]
    return _decimal_type((max(whole) if len(whole) == 2 else _MAX_DIGITS - scale) + scale, scale)


def _whole_digits(schema: Mapping[str, Any], name: str) -> int | None:
    """The most digits before the point within a bound; None: there is no bound."""
    exclusive = schema.get(f"exclusive{name.capitalize()}")
    bound = _decimal(exclusive) if _decimal(exclusive) is not None else _decimal(schema.get(name))
    if bound is None:
        return None
    digits = max(bound.adjusted() + 1, 0)
    excluded = exclusive is True or _decimal(exclusive) is not None
    return digits - 1 if excluded and digits and abs(bound) == decimal.Decimal(10) ** (digits - 1) else digits


def _decimal_type(precision: int, scale: int) -> pa.DataType:
    """JSON keeps the text of numbers with more digits than a decimal has."""
    fits = 0 < precision <= _MAX_DIGITS and scale <= _MAX_DIGITS
    return pa.decimal128(precision, scale) if fits else JSON_TYPE


def _decimal(value: Any) -> decimal.Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal)):
        return None
    try:
        number = decimal.Decimal(repr(value)) if isinstance(value, float) else decimal.Decimal(value)
    except (decimal.InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None
