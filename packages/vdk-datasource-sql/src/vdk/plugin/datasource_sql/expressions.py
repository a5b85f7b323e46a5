# SPDX-License-Identifier: Apache-2.0
"""The SQLAlchemy expressions that all statements share, and their compilation for a driver's own cursor.

Statements are compiled here and executed by the driver: SQLAlchemy's engine would convert every value of every row.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Integer, Select, TextClause, bindparam, literal, literal_column, text
from sqlalchemy.types import NullType

Expression = ColumnElement[Any]
Condition = ColumnElement[Any] | TextClause
Statement = Select[Any]

ONE: Expression = literal_column("1")
PAGE_ROWS = "page_rows"
"""The parameter that limits the rows of a page."""
_LAST_ROW = "last_row_"
_USER_VALUE = "user_value_"
_PLACEHOLDERS = {"format": "%s", "qmark": "?"}
_PLACED = re.compile(r"%\(([^()%]+)\)s")
_NAME = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


def bound(value: Any) -> Expression:
    """A value that reaches the driver unchanged."""
    return literal(value, NullType())


def last_row(column: int) -> Expression:
    """In a statement for the next page: the value of one column of the last row. ``last_row_values`` supplies it."""
    return bindparam(f"{_LAST_ROW}{column}", None, type_=NullType())


def last_row_values(values: Mapping[int, Any]) -> dict[str, Any]:
    """The parameters for ``last_row``, by column."""
    return {f"{_LAST_ROW}{column}": value for column, value in values.items()}


def page_limit() -> Expression:
    return bindparam(PAGE_ROWS, None, type_=Integer())


def names_in(condition: str) -> set[str]:
    """The names of values in a user's SQL: ``:name``, but not ``::name``, ``a:name`` or ``\\:name``."""
    return set(_NAME.findall(condition))


def user_condition(condition: str, values: Mapping[str, Any]) -> TextClause:
    """A user's SQL with a value for each of ``names_in``. The values have names that no other value has."""
    clause = text(_NAME.sub(rf":{_USER_VALUE}\1", f"({condition}\n)"))  # a new line ends a comment at its end
    names = names_in(condition)
    return clause.bindparams(
        *(bindparam(f"{_USER_VALUE}{name}", values[name], type_=NullType()) for name in sorted(names))
    )


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """A statement in the SQL of one database.

    :param names: the parameters by position; None: the driver takes them by name.
    :param values: those that the statement itself has.
    """

    sql: str
    names: tuple[str, ...] | None
    values: dict[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> list[Any] | dict[str, Any]:
        """What the driver's ``execute`` takes; ``values`` are those that change from page to page."""
        known = self.values | dict(values)
        return known if self.names is None else [known[name] for name in self.names]

    def last_row_columns(self) -> dict[int, int]:
        """Positions of parameters that are values of the last row -> the column of each."""
        return {
            position: int(name.removeprefix(_LAST_ROW))
            for position, name in enumerate(self.names or ())
            if name.startswith(_LAST_ROW)
        }


def compile_statement(statement: Statement, dialect: Dialect) -> CompiledStatement:
    """Compiles with names, and puts the positions in afterwards for a driver that takes values by position.

    Up to 2.1, SQLAlchemy takes a ``%(x)s`` in the name of a column for a value when it does the same.
    """
    style = _PLACEHOLDERS.get(dialect.paramstyle)
    named = dialect if style is None else _by_name(dialect)
    compiled = statement.compile(dialect=named, compile_kwargs={"render_postcompile": True})
    values = dict(compiled.construct_params())
    if style is None:
        return CompiledStatement(compiled.string, _positions(compiled), values)
    names: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        names.append(match[1])
        return style

    return CompiledStatement(_PLACED.sub(placeholder, compiled.string), tuple(names), values)


def _by_name(dialect: Dialect) -> Dialect:
    # A copy keeps the rule of the original for percent signs: doubled for "format", not for "qmark".
    named = copy.copy(dialect)
    named.paramstyle, named.positional = "pyformat", False
    return named


def _positions(compiled: Any) -> tuple[str, ...] | None:
    names = getattr(compiled, "positiontup", None)
    return None if names is None else tuple(names)
