"""The columns a table has once some rows have landed in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import SchemaChange, TableSpec

from ..sql.names import check_distinct, check_name
from .data_file import Columns, Rows
from .types import TEXT, candidates, last_resort, stored_type

Earlier = Callable[[], Iterable[Rows]]


def declared_columns(spec: TableSpec) -> Columns:
    """The declared columns that have a type. One of Arrow's null type waits for a value that shows one."""
    if spec.schema is None:
        return {}
    return {field.name: stored_type(field.type) for field in spec.schema if not pa.types.is_null(field.type)}


def settled(spec: TableSpec, columns: Columns, incoming: Sequence[Rows], landed: Earlier = tuple) -> Columns:
    """``columns`` and those of the incoming rows, each of the type that all rows fit.

    :param landed: gives the rows that have these columns already, looked through where a type is about to change.
    :raises DestinationError: where a type may not change, and for names that readers take for one.
    """
    result = dict(columns)
    for index, rows in enumerate(incoming):
        for name, type_ in rows.types.items():
            if name not in result:
                check_name(name, f"table {spec.name!r}: a column named")
                result[name] = type_
            elif result[name] != type_:
                earlier = _earlier(landed, incoming[:index])
                waits = set(columns.values()) == {TEXT} and not any(one.has_values() for one in earlier())
                result[name] = type_ if waits else _common(spec, name, result[name], rows, earlier)
    check_distinct(result, spec.name)
    return result


def changed_types(spec: TableSpec, before: Columns, after: Columns) -> list[SchemaChange]:
    return [
        SchemaChange(spec.name, name, str(before[name]), str(type_))
        for name, type_ in after.items()
        if before.get(name, type_) != type_
    ]


def _earlier(landed: Earlier, before: Sequence[Rows]) -> Earlier:
    return lambda: chain(landed(), before)


def _common(spec: TableSpec, name: str, existing: pa.DataType, rows: Rows, earlier: Earlier) -> pa.DataType:
    incoming = rows.types[name]
    possible = candidates(existing, incoming)
    if not spec.evolve:
        possible = [existing] if possible else []
    for type_ in possible:
        if rows.fits(name, type_) and (type_ == existing or all(one.fits(name, type_) for one in earlier())):
            return type_
    if not spec.evolve:
        raise DestinationError(
            f"table {spec.name!r}, column {name!r}: the column is {existing}, the rows bring {incoming}, and columns "
            "may not change their type here (on_schema_change = 'freeze'). Convert the values with a transform, or "
            "allow it with on_schema_change = 'evolve'"
        )
    return last_resort(existing, incoming)
