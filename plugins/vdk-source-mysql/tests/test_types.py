"""Every type of MySQL lands exactly, or its row is rejected by name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa

from support import run, stream_of
from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.testing.mariadb import Server

UTC = pa.timestamp("us", "UTC")
WKB = b"\x01\x01\x00\x00\x00" + b"\x00\x00\x00\x00\x00\x00\xf0?" + b"\x00\x00\x00\x00\x00\x00\x00@"
NINES = "9" * 65
TYPES: list[tuple[str, str, pa.DataType, Any]] = [
    ("tinyint", "-128", pa.int8(), -128),
    ("tinyint(1)", "2", pa.int8(), 2),
    ("boolean", "true", pa.int8(), 1),
    ("tinyint unsigned", "255", pa.uint8(), 255),
    ("smallint", "-32768", pa.int16(), -32768),
    ("smallint unsigned", "65535", pa.uint16(), 65535),
    ("mediumint", "-8388608", pa.int32(), -8388608),
    ("mediumint unsigned zerofill", "7", pa.uint32(), 7),
    ("int", "-2147483648", pa.int32(), -2147483648),
    ("int unsigned", "4294967295", pa.uint32(), 4294967295),
    ("bigint", "-9223372036854775808", pa.int64(), -(2**63)),
    ("bigint unsigned", "18446744073709551615", pa.uint64(), 2**64 - 1),
    ("float", "16777216", pa.float32(), 16777216.0),
    ("float", "1.17549435e-38", pa.float32(), 1.1754943508222875e-38),
    ("double", "0.1", pa.float64(), 0.1),
    ("double", "-1.7976931348623157e308", pa.float64(), -1.7976931348623157e308),
    ("double unsigned", "3", pa.float64(), 3.0),
    ("decimal(38,10)", "1234567890123456789012345678.0123456789", pa.decimal128(38, 10), None),
    ("decimal(5,2)", "-1.50", pa.decimal128(5, 2), None),
    ("decimal(5,2) unsigned zerofill", "1.5", pa.decimal128(5, 2), Decimal("1.50")),
    ("decimal(65,0)", NINES, pa.string(), NINES),
    ("bit(1)", "b'1'", pa.bool_(), True),
    ("bit(64)", "b'" + "1" * 64 + "'", pa.uint64(), 2**64 - 1),
    ("varchar(20)", "'ö 100% \U0001f600 '", pa.string(), "ö 100% \U0001f600 "),
    ("varchar(20) character set latin1", "'ö€'", pa.string(), "ö€"),
    ("varchar(20) character set sjis", "'日本'", pa.string(), "日本"),
    ("varchar(9) character set ucs2", "'ö'", pa.string(), "ö"),
    ("char(5)", "'ab  '", pa.string(), "ab"),
    ("text", "'a\\nb\"c\\0\\'\\\\'", pa.string(), "a\nb\"c\0'\\"),
    ("longtext", "''", pa.string(), ""),
    ("binary(3)", "'a'", pa.binary(), b"a\0\0"),
    ("varbinary(4)", "x'00ff0a22'", pa.binary(), b'\x00\xff\n"'),
    ("blob", "x'80'", pa.binary(), b"\x80"),
    ("enum('x-small','small')", "'small'", pa.string(), "small"),
    ("set('a','b')", "'b,a'", pa.string(), "a,b"),
    ("date", "'9999-12-31'", pa.date32(), dt.date(9999, 12, 31)),
    ("date", "'1000-01-01'", pa.date32(), dt.date(1000, 1, 1)),
    ("datetime", "'2026-01-01 10:00'", pa.timestamp("us"), dt.datetime(2026, 1, 1, 10)),
    ("datetime(6)", "'2026-01-01 10:00:00.123456'", pa.timestamp("us"), dt.datetime(2026, 1, 1, 10, 0, 0, 123456)),
    ("timestamp(3) null", "'2026-01-01 10:00:00.123'", UTC, dt.datetime(2026, 1, 1, 10, 0, 0, 123000, dt.UTC)),
    ("time", "'-838:59:59'", pa.duration("us"), -dt.timedelta(hours=838, minutes=59, seconds=59)),
    ("time(6)", "'00:00:00.000001'", pa.duration("us"), dt.timedelta(microseconds=1)),
    ("year", "2026", pa.int16(), 2026),
    ("json", "'{\"a\":  1.50}'", JSON_TYPE, '{"a":  1.50}'),
    ("point", "ST_GeomFromText('POINT(1 2)')", pa.binary(), WKB),
    ("geometry", "ST_GeomFromText('POINT(1 2)')", pa.binary(), WKB),
    ("uuid", "'00000000-0000-7000-8000-000000000001'", pa.string(), "00000000-0000-7000-8000-000000000001"),
    ("inet6", "'::1'", pa.string(), "::1"),
]


def test_each_type_lands_exactly(server: Server) -> None:
    """And NULL of each type lands as NULL."""
    columns = ", ".join(f"c{number} {type_}" for number, (type_, *_) in enumerate(TYPES))
    server.query("shop", f"CREATE TABLE t (id int, {columns})")
    server.query("shop", f"INSERT INTO t VALUES (1, {', '.join(value for _, value, *_ in TYPES)})")
    server.query("shop", "INSERT INTO t (id) VALUES (2)")
    stream = stream_of(server)
    full, empty = run(stream).rows
    schema = stream.schema().fields
    for number, (type_, value, arrow, expected) in enumerate(TYPES):
        name = f"c{number}"
        assert schema.field(name).type == arrow, type_
        assert full[name] == (Decimal(value) if expected is None else expected), type_
        assert empty[name] is None, type_
