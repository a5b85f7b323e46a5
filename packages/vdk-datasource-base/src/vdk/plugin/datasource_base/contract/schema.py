# SPDX-License-Identifier: Apache-2.0
"""Columns, primary key and cursor of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from .errors import ConfigurationError
from .records import RecordColumns, Resolver, columns_of


@dataclasses.dataclass(frozen=True, slots=True)
class StreamSchema:
    """What a table looks like.

    :param fields: the columns, in order. A column of Arrow's null type is declared by name only, such as a key of
        unknown type: its type is inferred from the rows.
    :param primary_key: columns that identify a row; empty: the rows have no key.
    :param cursor: the column that grows with every change; None: the stream is read whole.
    :param open: the rows may have further columns, whose types are inferred, as the records of a JSON API do.
    :param child_depth: the lists in rows land in tables of their own, by the primary key of their row and the position
        in it, down to so many levels of objects and lists; 0: they are JSON.
    :param record: how the records of a class become rows; set by ``of``.
    """

    fields: pa.Schema
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    open: bool = False
    child_depth: int = 0
    record: RecordColumns | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        names = self.fields.names
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ConfigurationError(f"columns named more than once in a schema: {doubled}")
        object.__setattr__(self, "primary_key", _names(self.primary_key))
        named = [*self.primary_key, *([self.cursor] if self.cursor is not None else [])]
        if missing := [name for name in named if name not in names]:
            raise ConfigurationError(
                f"the primary key or cursor names {missing}, which are not columns; the columns are {names}"
            )

    @classmethod
    def of(
        cls,
        record: type,
        *,
        primary_key: Sequence[str] = (),
        cursor: str | None = None,
        skip: Collection[str] = (),
        rename: Mapping[str, str] | None = None,
        types: Mapping[str, pa.DataType] | None = None,
        resolve: Mapping[str, Resolver] | None = None,
    ) -> StreamSchema:
        """The schema of a dataclass, ``msgspec.Struct``, attrs class or ``TypedDict``, field by field.

        ``int`` is 64 bits, ``datetime`` is UTC in microseconds, ``Decimal`` is ``decimal(38, 9)``;
        ``Annotated[Decimal, pa.decimal128(10, 2)]`` declares another Arrow type, and ``Annotated[datetime,
        Meta(tz=False)]`` a time without a zone; a ``datetime`` without one is UTC in a column that has one. Lists,
        mappings and records are JSON. A field that may be None or ``UNSET`` is nullable. Instances of the class are
        rows: the data of a payload may be one of them, or a list of them.

        :param skip: fields that become no column.
        :param rename: field → column; default: the name under which the field is encoded.
        :param types: column → Arrow type, in place of the one of the annotation.
        :param resolve: column → where its value comes from: the path of a field (``"address.city"``; None where a
            step is None), or a function of the record. A path has the type of its field, a function the one of its
            return annotation, else that of its values. A function that raises makes its record a bad record.
        :raises ConfigurationError: naming the class, the field and the remedy.
        """
        fields, columns = columns_of(record, skip=skip, rename=rename or {}, types=types or {}, resolve=resolve or {})
        return cls(pa.schema(fields), _names(primary_key), cursor, record=columns)


def _names(primary_key: Sequence[str]) -> tuple[str, ...]:
    if isinstance(primary_key, str):  # of which each letter would be a column
        raise ConfigurationError(
            f"primary_key = {primary_key!r} is one text, expected the names of columns; write primary_key = "
            f"({primary_key!r},)"
        )
    return tuple(primary_key)
