"""Types of a database: what Arrow columns become, and what a column becomes when another type comes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import TableSpec

from ..values import is_json, plain_type

Columns = dict[str, str]
"""Column name → type, spelled as the database's catalog spells it, in the table's order."""


class Types(ABC):
    """The types of one database; they are called by the names its catalog gives them."""

    database: ClassVar[str]
    """What errors call it."""
    plain: ClassVar[Mapping[pa.DataType, str]]
    """Arrow types that become one type, whatever their parameters."""
    uuid: ClassVar[str]
    text: ClassVar[str]
    """Takes every value, as text that reads back as the same value."""
    json: ClassVar[str]
    zoned: ClassVar[str]
    """An instant; ``_vdk_deleted_at`` is one."""
    big: ClassVar[str]
    """Integers of 64 bits."""
    decimal: ClassVar[str]
    """The name in front of ``(precision,scale)``."""
    digits: ClassVar[int] = 38
    """The largest precision."""
    integers: ClassVar[Mapping[str, tuple[bool, int]]]
    """Whether it has a sign, and how many bits the largest value has."""
    floats: ClassVar[Sequence[str]]
    """From the narrowest to the one of 64 bits."""
    ladders: ClassVar[Sequence[Sequence[str]]] = ()
    """The same kind of value, each finer than the one before it (and of a smaller range: values are checked).
    A date is the coarsest of the timestamps without a zone."""

    def of_arrow(self, type_: pa.DataType) -> str | None:
        """What a column of a plain Arrow type becomes; None for Arrow's null type: the column waits for a value.

        :raises DestinationError: for a type that cannot land.
        """
        if (name := self.plain.get(type_)) is not None:
            return name
        if pa.types.is_null(type_):
            return None
        if is_json(type_) or pa.types.is_nested(type_):
            return self.json
        if isinstance(type_, pa.UuidType):
            return self.uuid
        if pa.types.is_decimal(type_):
            return f"{self.decimal}({type_.precision},{type_.scale})"
        if (name := self.of_time(type_)) is not None:
            return name
        raise DestinationError(
            f"the Arrow type {type_} cannot land in {self.database}: convert the column with a transform"
        )

    @abstractmethod
    def of_time(self, type_: pa.DataType) -> str | None:
        """What a timestamp, a time of a day or a duration becomes; None for what is none, or cannot land."""

    @abstractmethod
    def converted(self, expression: str, source: str, target: str) -> str:
        """SQL for a value of one type as another, where it survives. As text, it reads back as the same value."""

    @abstractmethod
    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        """SQL for a value as another type, NULL where it does not survive."""

    def declared(self, spec: TableSpec) -> Columns:
        """The declared columns that have a type. One of Arrow's null type waits for a value that shows one."""
        if spec.schema is None:
            return {}
        landing = {field.name: self.of_arrow(plain_type(field.type)) for field in spec.schema}
        return {name: type_ for name, type_ in landing.items() if type_ is not None}

    def candidates(self, existing: str, incoming: str) -> list[str]:
        """The types that both may become if every value survives, best first. Else it is ``last_resort``."""
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
            return [f"{self.decimal}({min(self.digits, max(left[0], right[0]) + scale)},{scale})"]
        for ladder in self.ladders:
            if existing in ladder and incoming in ladder:
                return [ladder[max(ladder.index(existing), ladder.index(incoming))]]
        return [] if self.is_own(existing) else [existing]

    def last_resort(self, existing: str, incoming: str) -> str:
        """The type that takes every value of both."""
        return self.json if self.json in (existing, incoming) else self.text

    def is_exact(self, source: str, target: str) -> bool:
        """Whether every value of one type is a value of the other, by the types alone."""
        if source == target or target in (self.text, self.json):
            return True
        if source in self.integers and target in self.integers:
            (signed, bits), (wanted_sign, wanted_bits) = self.integers[source], self.integers[target]
            return bits <= wanted_bits and (wanted_sign or not signed)
        if target == self.floats[-1]:
            return source in self.floats or (source in self.integers and self.integers[source][1] <= 53)
        left, right = self._digits(source), self._decimals.fullmatch(target)
        if left is not None and right is not None:
            return left[1] <= int(right[2]) and left[0] <= int(right[1]) - int(right[2])
        return False

    def is_own(self, type_: str) -> bool:
        """Whether columns get such a type here. Any other is a person's choice, and kept while values fit; so is
        that of UUIDs, which text may be.
        """
        steps = (step for ladder in self.ladders for step in ladder)
        named = {*self.integers, *self.floats, *steps, *self.plain.values(), self.text, self.json, self.zoned}
        return type_ in named or self._decimals.fullmatch(type_) is not None

    @cached_property
    def _decimals(self) -> re.Pattern[str]:
        return re.compile(rf"{self.decimal}\((\d+),(\d+)\)")

    def _digits(self, type_: str) -> tuple[int, int] | None:
        """Digits before and behind the point that a decimal or integer type may need."""
        if match := self._decimals.fullmatch(type_):
            return int(match[1]) - int(match[2]), int(match[2])
        if type_ in self.integers:
            return len(str(2 ** self.integers[type_][1])), 0
        return None

    def _common_integer(self, left: str, right: str) -> str | None:
        fitting = [name for name in self.integers if self.is_exact(left, name) and self.is_exact(right, name)]
        return min(fitting, key=lambda name: self.integers[name][1], default=None)
