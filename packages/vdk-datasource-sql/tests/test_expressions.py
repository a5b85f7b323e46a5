"""The SQL that statements compile to, and the order of their values."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.sql import quoted_name

from vdk.plugin.datasource_sql import ONE, Expression, bound, compile_statement, last_row_values
from vdk.plugin.datasource_sql.config import SqlConfig
from vdk.plugin.datasource_sql.expressions import last_row, names_in, page_limit, user_condition
from vdk.plugin.datasource_sql.plans.planning import make_plan
from vdk.plugin.datasource_sql.plans.table_info import TableInfo
from vdk.plugin.datasource_sql.statements import ExpressionBuilder, TableQuery, rows_after

TABLE = sa.table(quoted_name("t", True), sa.column(quoted_name("a", True)), sa.column(quoted_name("b", True)))
A, B = TABLE.c.a, TABLE.c.b


def sql_of(statement: sa.Select[Any]) -> str:
    return " ".join(compile_statement(statement, pysqlite.dialect()).sql.split())


def test_values_are_bound_in_the_order_of_their_marks() -> None:
    """However deep they are in the statement."""
    statement = (
        sa.select(sa.case((bound(1) < A, bound(2)), else_=bound(3)), sa.func.f(bound(4)))
        .where(A.op("GLOB")(bound(5)), sa.not_(sa.or_(bound(6) >= A, A.is_(None))))
        .group_by(sa.func.g(bound(7)))
        .having(sa.func.count() > bound(8))
        .order_by(A.collate('NO"CASE').desc())
        .limit(9)
        .offset(10)
    )
    compiled = compile_statement(statement, pysqlite.dialect())
    assert compiled.parameters({}) == list(range(1, 11))
    assert compiled.sql.count("?") == 10
    assert 'ORDER BY "t"."a" COLLATE "NO""CASE" DESC' in compiled.sql


def test_one_compilation_serves_every_page() -> None:
    """The values of the last row and the limit are parameters with names of their own."""
    after = rows_after([A, B], [last_row(0), last_row(3)])
    statement = sa.select(A).where(bound("z") >= A, after).order_by(A, B).limit(page_limit())
    compiled = compile_statement(statement, pysqlite.dialect())
    assert compiled.parameters({"page_rows": 5, **last_row_values({0: "x", 3: 7})}) == ["z", "x", "x", 7, 5, 0]
    assert compiled.last_row_columns() == {1: 0, 2: 0, 3: 3}


def test_a_driver_that_takes_parameters_by_name_gets_them_so() -> None:
    """psycopg doubles no value and every percent sign of a name."""
    table = sa.table(quoted_name("100%", True), sa.column(quoted_name("a", True)))
    statement = sa.select(table.c.a).where(table.c.a > last_row(0)).limit(page_limit())
    # type ignored: SQLAlchemy has no types there
    compiled = compile_statement(statement, psycopg.dialect())  # type: ignore[no-untyped-call]
    assert '"100%%"' in compiled.sql
    assert compiled.names is None
    parameters = compiled.parameters({"page_rows": 5, **last_row_values({0: "x"})})
    assert isinstance(parameters, dict)
    assert parameters == {"page_rows": 5, "last_row_0": "x"}


def test_a_name_with_quotes_in_it_is_one_name() -> None:
    """Names are quoted whatever they contain."""
    name = 'a"; DROP TABLE t; --'
    table = sa.table(quoted_name(name, True), sa.column(quoted_name(name, True)))
    quoted = '"a""; DROP TABLE t; --"'
    assert sql_of(sa.select(table.c[name])) == f"SELECT {quoted}.{quoted} FROM {quoted}"


@pytest.mark.parametrize(
    ("text", "names", "sql"),
    [
        ("a = :x AND b > :y OR c = :x", {"x", "y"}, "a = ? AND b > ? OR c = ?"),
        ("a::text = :x", {"x"}, "a::text = ?"),
        (r"t = '10\:30' AND a = :x", {"x"}, "t = '10:30' AND a = ?"),
        ("t = '10:30'", set(), "t = '10:30'"),
        ("a = 1", set(), "a = 1"),
        ("a = :param_1 AND b LIKE '100%'", {"param_1"}, "a = ? AND b LIKE '100%'"),
        ("a = 1 -- a comment", set(), "a = 1 -- a comment"),
    ],
)
def test_a_users_condition_has_its_names_replaced(text: str, names: set[str], sql: str) -> None:
    """And no name of a user meets one of the statement's own."""
    assert names_in(text) == names
    condition = user_condition(text, {"x": 1, "y": 2, "param_1": 3})
    compiled = compile_statement(sa.select(A).where(condition, bound(9) < A), pysqlite.dialect())
    assert f"WHERE ({sql}\n) AND " in compiled.sql
    assert compiled.parameters({})[-1] == 9  # type: ignore[index]  # by position here


def test_rows_after_a_row_are_a_range_that_an_index_can_start_in() -> None:
    """The first column is compared alone, so that a planner begins in the middle of an index on it."""
    condition = rows_after([A, B], [bound(1), bound(2)])
    assert sql_of(sa.select(ONE).select_from(TABLE).where(condition)) == (
        'SELECT 1 FROM "t" WHERE "t"."a" >= ? AND ("t"."a" > ? OR "t"."b" > ?)'
    )


@pytest.mark.parametrize(
    ("compared", "level"),
    [
        (lambda column: column, "full"),
        (lambda column: column.collate("C"), "full"),
        (lambda column: column * sa.literal_column("1e0"), "none"),
        (lambda column: sa.cast(column, sa.Double), "none"),
    ],
)
def test_no_index_serves_a_cursor_that_is_computed(compared: Any, level: str) -> None:
    """Pages with LIMIT would each sort the table."""

    class Builder(ExpressionBuilder):
        def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
            return compared(column)  # type: ignore[no-any-return]  # SQLAlchemy's operators are Any

    table = TableInfo("t", {"c": "float"}, indexes=((("c", None),),))
    plan = make_plan(table, SqlConfig(cursor_columns=("c",)), None)
    assert TableQuery(plan, Builder()).index_level == level
