"""The SQL that statements are made of."""

from __future__ import annotations

import pytest

from vdk.plugin.datasource_base.parts import quoted
from vdk.plugin.source_sqlite.sql._expression import (
    ONE,
    Expression,
    Select,
    all_of,
    any_of,
    call,
    case,
    count,
    names_in,
    negated,
    value,
    written,
)

column = Expression('t."a"')


def test_values_are_bound_in_the_order_of_their_marks() -> None:
    statement = (
        Select((case(column > value(1), value(2), value(3)).named("x"), call("f", value(4))), "t")
        .where(column.infix("GLOB", value(5)), negated(any_of(column <= value(6), column.is_null())))
        .group_by(call("g", value(7)))
        .having(count() > value(8))
        .order_by(column.collate('NO"CASE').descending())
        .limit(9, offset=10)
    )
    sql, values = statement.compiled()
    assert sql == (
        'SELECT (CASE WHEN (t."a" > ?) THEN ? ELSE ? END) AS "x", f(?) FROM t '
        'WHERE ((t."a" GLOB ?) AND (NOT ((t."a" <= ?) OR (t."a" IS NULL)))) '
        'GROUP BY g(?) HAVING (count(*) > ?) ORDER BY (t."a" COLLATE "NO""CASE") DESC LIMIT ? OFFSET ?'
    )
    assert values == list(range(1, 11))


def test_a_statement_is_not_changed_by_what_is_added_to_it() -> None:
    statement = Select((ONE,), "t")
    statement.where(column.is_not_null()).order_by(column).limit(1)
    assert statement.order_by().compiled() == ("SELECT 1 FROM t", [])


def test_a_name_with_quotes_in_it_is_one_name() -> None:
    assert quoted('a"; DROP TABLE t; --') == '"a""; DROP TABLE t; --"'


@pytest.mark.parametrize(
    ("text", "names", "sql"),
    [
        ("a = :x AND b > :y OR c = :x", {"x", "y"}, "a = ? AND b > ? OR c = ?"),
        ("a::text = :x", {"x"}, "a::text = ?"),
        (r"t = '10\:30' AND a = :x", {"x"}, "t = '10:30' AND a = ?"),
        ("t = '10:30'", set(), "t = '10:30'"),
        ("a = 1", set(), "a = 1"),
    ],
)
def test_what_a_person_wrote_has_its_names_replaced(text: str, names: set[str], sql: str) -> None:
    assert names_in(text) == names
    assert written(text, {"x": 1, "y": 2}).sql == sql


def test_conditions_keep_together() -> None:
    assert all_of(any_of(ONE, ONE), ONE).sql == "((1 OR 1) AND 1)"
