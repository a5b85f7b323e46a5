# SPDX-License-Identifier: Apache-2.0
"""Statements with their values in the text: ADBC returns everything in one batch for a statement with parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect

INT4, INT8 = 2**31, 2**63


class _LiteralCompiler(PGCompiler):
    """Writes values as the driver of the rows binds them: text without a type, numbers of the smallest one.

    SQLAlchemy's own writes NaN as the name of a column, and doubles backslashes.
    """

    def render_literal_value(self, value: Any, type_: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int):
            size = "int4" if -INT4 <= value < INT4 else "int8" if -INT8 <= value < INT8 else "numeric"
            return f"'{value}'::{size}"
        if isinstance(value, float):
            return f"'{value!r}'::float8"
        if isinstance(value, bytes):
            return f"'\\x{value.hex()}'::bytea"
        if isinstance(value, str) and "\0" not in value:
            return "'" + value.replace("'", "''") + "'"
        raise sa.exc.CompileError(f"{type(value).__name__} has no literal")


class _LiteralDialect(PGDialect):
    statement_compiler = _LiteralCompiler
    supports_statement_cache = False


_DIALECT = _LiteralDialect(paramstyle="qmark")  # type: ignore[no-untyped-call]  # which doubles no percent signs


def with_literals(statement: sa.Select[Any], values: Mapping[str, Any] | None = None) -> str:
    """The statement as SQL without parameters, for a session with ``standard_conforming_strings = on``.

    :raises sqlalchemy.exc.CompileError: for a value that has no literal.
    """
    filled = statement.params(dict(values)) if values else statement
    return str(filled.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
