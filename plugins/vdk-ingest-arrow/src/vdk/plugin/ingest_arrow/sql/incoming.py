"""Rows on their way into a table, from Arrow or from another table of the same database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from vdk.plugin.datasource_base.parts import quoted

from .types import Columns, Types


@dataclass(frozen=True, slots=True)
class Incoming:
    """Rows to land: for each column its type and the SQL that selects it from a relation.

    :param relation: gives a relation that has (at least) the columns named. Asked for at the last moment, and
        within the transaction: a database that cannot select from Arrow has to load them first.
    :param waiting: columns without any value yet, which become columns when one comes.
    :param arrow: the rows themselves, where they are not in the database yet and may be loaded as they are.
    """

    relation: Callable[[Sequence[str]], str]
    types: Columns
    expressions: Mapping[str, str]
    waiting: tuple[str, ...] = ()
    arrow: pa.Table | None = None

    @classmethod
    def of_arrow(
        cls,
        table: pa.Table,
        types: Types,
        relation: Callable[[Sequence[str]], str],
        expression: Callable[[str, pa.DataType], str] = lambda name, type_: name,
        *,
        loadable: bool = False,
    ) -> Incoming:
        """A plain Arrow table that ``relation`` makes selectable.

        :param expression: SQL for a quoted name of that relation as the type that the column becomes.
        """
        landing = {field.name: types.of_arrow(field.type) for field in table.schema}
        return cls(
            relation,
            {name: type_ for name, type_ in landing.items() if type_ is not None},
            {field.name: expression(quoted(field.name), field.type) for field in table.schema},
            tuple(name for name, type_ in landing.items() if type_ is None),
            table if loadable else None,
        )

    @classmethod
    def loaded(cls, table: pa.Table, types: Types, load: Callable[[pa.Table, Columns], str]) -> Incoming:
        """A plain Arrow table of which columns are loaded when they are selected from, each set of them once.

        :param load: makes a relation of a table, with the types its columns become; a table may have no column.
        """
        landing = {field.name: type_ for field in table.schema if (type_ := types.of_arrow(field.type)) is not None}
        relations: dict[tuple[str, ...], str] = {}

        def relation(names: Sequence[str]) -> str:
            typed = tuple(name for name in names if name in landing)
            if typed not in relations:
                relations[typed] = load(table.select(typed), {name: landing[name] for name in typed})
            return relations[typed]

        return cls.of_arrow(table, types, relation, loadable=True)

    @classmethod
    def of_table(cls, path: str, columns: Columns) -> Incoming:
        """A table of the same database."""
        return cls(lambda names: path, columns, {name: quoted(name) for name in columns})
