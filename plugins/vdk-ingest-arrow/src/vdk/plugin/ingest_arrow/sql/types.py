# SPDX-License-Identifier: Apache-2.0
"""The types of a database: which one an Arrow column becomes, and what a column becomes when another type comes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import TableSpec

from ..values import fit_type, is_json

Columns = dict[str, str]
"""Column name → type, spelled as in the database's catalog, in the table's order."""


class Types(ABC):
    """The types of one database, named as in its catalog."""

    database: ClassVar[str]
    """The database's name, for errors."""
    simple_types: ClassVar[Mapping[pa.DataType, str]]
    """Arrow types that always become one type."""
    text: ClassVar[str]
    """Takes every value, as text that reads back as the same value."""
    json: ClassVar[str]
    timestamp_tz: ClassVar[str]
    """An instant, as in ``_vdk_deleted_at``."""
    bigint: ClassVar[str]
    """Integers of 64 bits."""
    decimal: ClassVar[str]
    """The name before ``(precision,scale)``."""
    max_precision: ClassVar[int] = 38
    integers: ClassVar[Mapping[str, tuple[bool, int]]]
    """Whether it is signed, and how many bits the largest value has."""
    floats: ClassVar[Sequence[str]]
    """From the narrowest to the one of 64 bits."""
    widening_chains: ClassVar[Sequence[Sequence[str]]] = ()
    """Types of the same kind of value, each finer than the one before it (and of a smaller range: values are checked).
    A date is the coarsest of the timestamps without a zone."""

    def from_arrow(self, type_: pa.DataType) -> str | None:
        """The type that an Arrow column becomes; None for Arrow's null type: the column waits for a value.

        :raises DestinationError: for a type that cannot land.
        """
        if (name := self.simple_types.get(type_)) is not None:
            return name
        if pa.types.is_null(type_):
            return None
        if is_json(type_):
            return self.json
        if pa.types.is_decimal(type_):
            return f"{self.decimal}({type_.precision},{type_.scale})"
        if (name := self.time_type(type_)) is not None:
            return name
        raise DestinationError(
            f"the Arrow type {type_} cannot land in {self.database}: convert the column with a transform"
        )

    @abstractmethod
    def time_type(self, type_: pa.DataType) -> str | None:
        """The type of a timestamp, a time of day or a duration; None for any other type, and if it cannot land."""

    @abstractmethod
    def cast_sql(self, expression: str, source: str, target: str) -> str:
        """SQL for a value of one type as another, where it survives. As text, it reads back as the same value."""

    @abstractmethod
    def exact_cast_sql(self, expression: str, source: str, target: str) -> str:
        """SQL for a value as another type, NULL where it does not survive."""

    def declared_columns(self, spec: TableSpec) -> Columns:
        """The declared columns that have a type. One of Arrow's null type waits for a value that shows its type."""
        if spec.schema is None:
            return {}
        landing = {field.name: self.from_arrow(fit_type(field.type)) for field in spec.schema}
        return {name: type_ for name, type_ in landing.items() if type_ is not None}

    def candidates(self, existing: str, incoming: str) -> list[str]:
        """The types that both may become if every value survives, best first. Else it is ``fallback_type``."""
        if existing == incoming:
            return [existing]
        if existing in self.integers and incoming in self.integers:
            common = self._common_integer(existing, incoming)
            mixed = self.integers[existing][0] != self.integers[incoming][0]
            return [*([existing] if mixed or common is None else []), *([common] if common is not None else [])]
        numbers = (*self.integers, *self.floats)
        if existing in numbers and incoming in numbers:
            return [self.floats[-1]]
        left, right = self._digits(existing), self._digits(incoming)
        if left is not None and right is not None:
            scale = max(left[1], right[1])
            return [f"{self.decimal}({min(self.max_precision, max(left[0], right[0]) + scale)},{scale})"]
        for chain in self.widening_chains:
            if existing in chain and incoming in chain:
                return [chain[max(chain.index(existing), chain.index(incoming))]]
        return [] if self.is_own(existing) else [existing]

    def fallback_type(self, existing: str, incoming: str) -> str:
        """The type that takes every value of both."""
        return self.json if self.json in (existing, incoming) else self.text

    def is_lossless(self, source: str, target: str) -> bool:
        """Whether every value of one type is a value of the other, by the types alone."""
        if source == target or target in (self.text, self.json):
            return True
        if source in self.integers and target in self.integers:
            (signed, bits), (target_signed, target_bits) = self.integers[source], self.integers[target]
            return bits <= target_bits and (target_signed or not signed)
        if target == self.floats[-1]:
            return source in self.floats or (source in self.integers and self.integers[source][1] <= 53)
        digits, decimal = self._digits(source), self._decimals.fullmatch(target)
        if digits is not None and decimal is not None:
            return digits[1] <= int(decimal[2]) and digits[0] <= int(decimal[1]) - int(decimal[2])
        return False

    def is_own(self, type_: str) -> bool:
        """Whether columns get this type here. Any other was chosen by a user, and stays while values fit."""
        return type_ in self._own or self._decimals.fullmatch(type_) is not None

    @cached_property
    def _own(self) -> frozenset[str]:
        """The types without parameters that ``is_own`` is true of. SQLite asks for each value that it converts."""
        chained = (name for chain in self.widening_chains for name in chain)
        named = (self.text, self.json, self.timestamp_tz)
        return frozenset((*self.integers, *self.floats, *chained, *self.simple_types.values(), *named))

    @cached_property
    def _decimals(self) -> re.Pattern[str]:
        return re.compile(rf"{self.decimal}\((\d+),(\d+)\)")

    def _digits(self, type_: str) -> tuple[int, int] | None:
        """The digits before and after the point that a decimal or integer type may need."""
        if match := self._decimals.fullmatch(type_):
            return int(match[1]) - int(match[2]), int(match[2])
        if type_ in self.integers:
            return len(str(2 ** self.integers[type_][1])), 0
        return None

    def _common_integer(self, left: str, right: str) -> str | None:
        fitting = [name for name in self.integers if self.is_lossless(left, name) and self.is_lossless(right, name)]
        return min(fitting, key=lambda name: self.integers[name][1], default=None)
