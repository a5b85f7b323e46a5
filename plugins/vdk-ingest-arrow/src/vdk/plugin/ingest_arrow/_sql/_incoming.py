"""Rows on their way into a DuckDB table, from Arrow or from another table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from vdk.plugin.datasource_base.parts import TableSpec

from ._arrow_types import plain_type
from ._duckdb_types import TEXT, arrow_expression, duckdb_type
from ._sql import quoted

Columns = dict[str, str]
"""Column name → DuckDB type, in the table's order."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """Rows to land: a relation, and for each column its type and the SQL that selects it.

    :param waiting: columns without any value yet, which become columns when one comes.
    """

    relation: str
    types: Columns
    expressions: Mapping[str, str]
    waiting: tuple[str, ...] = ()

    @classmethod
    def of_arrow(cls, relation: str, schema: pa.Schema) -> Incoming:
        """A view of a plain Arrow table."""
        types = {field.name: duckdb_type(field.type) for field in schema}
        return cls(
            relation,
            {name: type_ for name, type_ in types.items() if type_ is not None},
            {field.name: arrow_expression(quoted(field.name), field.type) for field in schema},
            tuple(name for name, type_ in types.items() if type_ is None),
        )

    @classmethod
    def of_table(cls, relation: str, columns: Columns) -> Incoming:
        """A table of the same database."""
        return cls(relation, columns, {name: quoted(name) for name in columns})


def declared_columns(spec: TableSpec) -> Columns:
    """The declared columns. One declared without a type is text: it may never bring a value that shows one."""
    if spec.schema is None:
        return {}
    return {field.name: duckdb_type(plain_type(field.type)) or TEXT for field in spec.schema}
