"""The types of PostgreSQL, for the suite of all databases; a value that no type holds is rejected by name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from support import run, stream_of
from vdk.plugin.datasource_base.contract import JSON_TYPE, ConfigurationError
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.datasource_sql.testing import TypeCase

UTC = pa.timestamp("us", "UTC")
SETUP = (
    "CREATE TYPE mood AS ENUM ('happy')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN price AS numeric(10,2)",
)
TYPES = (
    TypeCase("smallint", "-32768", pa.int16(), -32768),
    TypeCase("integer", "2147483647", pa.int32(), 2147483647),
    TypeCase("bigint", "-9223372036854775808", pa.int64(), -(2**63)),
    TypeCase("oid", "4294967295", pa.int64(), 4294967295),
    TypeCase("real", "0.1", pa.float32(), pytest.approx(0.1)),
    TypeCase("double precision", "0.1", pa.float64(), 0.1),
    TypeCase("double precision", "'-Infinity'", pa.float64(), float("-inf")),
    TypeCase(
        "numeric(38,10)",
        "1234567890123456789012345678.0123456789",
        pa.decimal128(38, 10),
        Decimal("1234567890123456789012345678.0123456789"),
    ),
    TypeCase("numeric(5,2)", "-1.50", pa.decimal128(5, 2), Decimal("-1.50")),
    TypeCase("numeric", "1e-30", pa.string(), "0.000000000000000000000000000001"),
    TypeCase("numeric(50,2)", "1.50", pa.string(), "1.50"),
    TypeCase("money", "'12.34'", pa.decimal128(19, 2), Decimal("12.34")),
    TypeCase("boolean", "true", pa.bool_(), True),
    TypeCase("text", "'ö 100% '", pa.string(), "ö 100% "),
    TypeCase("varchar(5)", "'ab'", pa.string(), "ab"),
    TypeCase("char(5)", "'ab'", pa.string(), "ab   "),
    TypeCase('"char"', "'x'", pa.string(), "x"),
    TypeCase("bytea", r"'\x00ff'", pa.binary(), b"\x00\xff"),
    TypeCase("uuid", "'00000000-0000-7000-8000-000000000001'", pa.string(), "00000000-0000-7000-8000-000000000001"),
    TypeCase("date", "'9999-12-31'", pa.date32(), dt.date(9999, 12, 31)),
    TypeCase(
        "timestamp", "'2026-01-01 10:00:00.123456'", pa.timestamp("us"), dt.datetime(2026, 1, 1, 10, 0, 0, 123456)
    ),
    TypeCase("timestamptz", "'2026-01-01 10:00+02'", UTC, dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC)),
    TypeCase("timestamptz(0)", "'0001-01-01 00:00+00'", UTC, dt.datetime(1, 1, 1, tzinfo=dt.UTC)),
    TypeCase("time", "'23:59:59.999999'", pa.time64("us"), dt.time(23, 59, 59, 999999)),
    TypeCase("timetz", "'10:00+02'", pa.string(), "10:00:00+02"),
    TypeCase("interval", "'1 year 2 days 3.5 seconds'", pa.string(), "P1Y2DT3.5S"),
    TypeCase("json", "'{\"a\":  1}'", JSON_TYPE, '{"a":  1}'),
    TypeCase("jsonb", "'{\"a\": 1.50}'", JSON_TYPE, '{"a": 1.50}'),
    TypeCase("int[]", "'{{1,2},{3,NULL}}'", JSON_TYPE, "[[1, 2], [3, null]]"),
    TypeCase("text[]", "'{\"a,b\"}'", JSON_TYPE, '["a,b"]'),
    TypeCase("pair", "ROW(1, 'x')", JSON_TYPE, '{"a": 1, "b": "x"}'),
    TypeCase("mood", "'happy'", pa.string(), "happy"),
    TypeCase("price", "1.5", pa.decimal128(10, 2), Decimal("1.50")),
    TypeCase("inet", "'192.168.0.1/24'", pa.string(), "192.168.0.1/24"),
    TypeCase("cidr", "'192.168.0.0/24'", pa.string(), "192.168.0.0/24"),
    TypeCase("macaddr", "'08:00:2b:01:02:03'", pa.string(), "08:00:2b:01:02:03"),
    TypeCase("bit(4)", "B'0101'", pa.string(), "0101"),
    TypeCase("int4range", "'[1,5)'", pa.string(), "[1,5)"),
    TypeCase("tsvector", "'a b'", pa.string(), "'a' 'b'"),
    TypeCase("point", "'(1,2)'", pa.string(), "(1,2)"),
    TypeCase("pg_lsn", "'16/B374D848'", pa.string(), "16/B374D848"),
)


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        ("timestamptz", "infinity", "infinity"),
        ("timestamp", "0044-03-15 BC", "0044-03-15 00:00:00 BC"),
        ("date", "10000-01-01", "10000-01-01"),
        ("time", "24:00", "24:00:00"),
        ("numeric(5,2)", "NaN", "NaN"),
    ],
)
def test_a_value_that_arrow_does_not_hold_is_rejected_or_lands_as_text(
    server: Server, type_: str, value: str, text: str
) -> None:
    """It is never another value."""
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, c {type_})")
    server.query("shop", f"INSERT INTO t VALUES (1, '{value}'), (2, NULL)")
    landed = run(stream_of(server))
    assert landed.column("id") == [2]
    ((row, error),) = landed.rejected
    assert row["c"] == text
    assert 'dynamic_types = "text"' in str(error)
    assert run(stream_of(server, dynamic_types="text")).column("c") == [text, None]


def test_domains_of_domains_are_their_base_type(server: Server) -> None:
    """With the digits, arrays and fields that it has."""
    server.query("shop", "CREATE TYPE pair AS (a int, b text); CREATE DOMAIN a AS int; CREATE DOMAIN b AS a")
    server.query("shop", "CREATE DOMAIN c AS numeric(10,2); CREATE DOMAIN d AS c; CREATE DOMAIN e AS pair")
    server.query("shop", "CREATE DOMAIN f AS a[]; CREATE DOMAIN g AS f")
    server.query("shop", "CREATE TABLE t (id b PRIMARY KEY, d d, e e, g g)")
    server.query("shop", "INSERT INTO t VALUES (1, 1.5, ROW(1, 'x'), '{1,2}')")
    landed = run(stream_of(server))
    assert landed.rows == [{"id": 1, "d": Decimal("1.50"), "e": '{"a": 1, "b": "x"}', "g": "[1, 2]"}]


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"columns": {"id": "latin-1"}}, "cannot be set.*leave it out"), ({"decimals": "round"}, "decimals")],
)
def test_an_option_for_dynamic_types_is_refused(server: Server, options: dict[str, Any], problem: str) -> None:
    """It would change nothing."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match=problem):
        run(stream_of(server, options=options))
