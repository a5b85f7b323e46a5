# SPDX-License-Identifier: Apache-2.0
"""Typed configuration: the options of a source, validated before anything connects."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, dataclass_transform

import msgspec

from .errors import shortened


class KeywordOnlyMeta(msgspec.StructMeta):
    """Makes every subclass keyword-only too; msgspec does not inherit that option."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        options.setdefault("kw_only", True)
        return super().__new__(mcls, name, bases, namespace, **options)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class DataSourceConfig(msgspec.Struct, metaclass=KeywordOnlyMeta, frozen=True, forbid_unknown_fields=True):
    """The options of a source, as typed fields; unknown options and wrong types are errors.

    Describe a field with ``Annotated[int, Meta(ge=1, description="…")]``. Besides the types that msgspec knows,
    a field may be a ``Secret``, a ``Duration`` or a ``pathlib.Path`` (relative to the flow file).
    Define the class at module level, where its annotations are resolved.
    """


class Secret:
    """A value that is never shown: not in logs, errors, ``repr``, states or payloads.

    ``reveal()`` returns it to the code that uses it. Equal secrets compare equal.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(dt.timedelta):
    """A length of time in a configuration: ``"500ms"``, ``"30s"``, ``"5m"``, ``"2h"``, ``"1d"``, or ISO 8601."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Raises ``ValueError`` for text that is not a duration."""
        try:
            if match := _NUMBER_AND_UNIT.fullmatch(text):
                return cls(**{_UNITS[match[2]]: float(match[1])})
            return cls(seconds=msgspec.convert(text, dt.timedelta).total_seconds())
        except (msgspec.ValidationError, OverflowError):
            raise ValueError(
                f'{shortened(text)} is not a duration: write a number and ms, s, m, h or d ("5m"), or ISO 8601 ("PT5M")'
            ) from None
