"""The types of MySQL and MariaDB, for the suite of all databases."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa

from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_sql.testing import TypeCase

LOCAL, UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")
WKB = b"\x01\x01\x00\x00\x00" + b"\x00\x00\x00\x00\x00\x00\xf0?" + b"\x00\x00\x00\x00\x00\x00\x00@"
NINES = "9" * 65
LONG = "1234567890123456789012345678.0123456789"
TYPES = (
    TypeCase("tinyint", "-128", pa.int8(), -128),
    TypeCase("tinyint(1)", "2", pa.int8(), 2),
    TypeCase("boolean", "true", pa.int8(), 1),
    TypeCase("tinyint unsigned", "255", pa.uint8(), 255),
    TypeCase("smallint", "-32768", pa.int16(), -32768),
    TypeCase("smallint unsigned", "65535", pa.uint16(), 65535),
    TypeCase("mediumint", "-8388608", pa.int32(), -8388608),
    TypeCase("mediumint unsigned zerofill", "7", pa.uint32(), 7),
    TypeCase("int", "-2147483648", pa.int32(), -2147483648),
    TypeCase("int unsigned", "4294967295", pa.uint32(), 4294967295),
    TypeCase("bigint", "-9223372036854775808", pa.int64(), -(2**63)),
    TypeCase("bigint unsigned", "18446744073709551615", pa.uint64(), 2**64 - 1),
    TypeCase("float", "16777216", pa.float32(), 16777216.0),
    TypeCase("float", "1.17549435e-38", pa.float32(), 1.1754943508222875e-38),
    TypeCase("double", "0.1", pa.float64(), 0.1),
    TypeCase("double", "-1.7976931348623157e308", pa.float64(), -1.7976931348623157e308),
    TypeCase("double unsigned", "3", pa.float64(), 3.0),
    TypeCase(
        "decimal(38,10)",
        "1234567890123456789012345678.0123456789",
        pa.decimal128(38, 10),
        Decimal("1234567890123456789012345678.0123456789"),
    ),
    TypeCase("decimal(5,2)", "-1.50", pa.decimal128(5, 2), Decimal("-1.50")),
    TypeCase("decimal(5,2) unsigned zerofill", "1.5", pa.decimal128(5, 2), Decimal("1.50")),
    TypeCase("decimal(65,0)", NINES, pa.string(), NINES),
    TypeCase("bit(1)", "b'1'", pa.bool_(), True),
    TypeCase("bit(64)", "b'" + "1" * 64 + "'", pa.uint64(), 2**64 - 1),
    TypeCase("varchar(20)", "'ö 100% \U0001f600 '", pa.string(), "ö 100% \U0001f600 "),
    TypeCase("varchar(20) character set latin1", "'ö€'", pa.string(), "ö€"),
    TypeCase("varchar(20) character set sjis", "'日本'", pa.string(), "日本"),
    TypeCase("varchar(9) character set ucs2", "'ö'", pa.string(), "ö"),
    TypeCase("char(5)", "'ab  '", pa.string(), "ab"),
    TypeCase("text", "'a\\nb\"c\\0\\'\\\\'", pa.string(), "a\nb\"c\0'\\"),
    TypeCase("longtext", "''", pa.string(), ""),
    TypeCase("binary(3)", "'a'", pa.binary(), b"a\0\0"),
    TypeCase("varbinary(4)", "x'00ff0a22'", pa.binary(), b'\x00\xff\n"'),
    TypeCase("blob", "x'80'", pa.binary(), b"\x80"),
    TypeCase("enum('x-small','small')", "'small'", pa.string(), "small"),
    TypeCase("set('a','b')", "'b,a'", pa.string(), "a,b"),
    TypeCase("date", "'9999-12-31'", pa.date32(), dt.date(9999, 12, 31)),
    TypeCase("date", "'1000-01-01'", pa.date32(), dt.date(1000, 1, 1)),
    TypeCase("datetime", "'2026-01-01 10:00'", LOCAL, dt.datetime(2026, 1, 1, 10)),
    TypeCase("datetime(6)", "'2026-01-01 10:00:00.123456'", LOCAL, dt.datetime(2026, 1, 1, 10, 0, 0, 123456)),
    TypeCase("timestamp(3) null", "'2026-01-01 10:00:00.123'", UTC, dt.datetime(2026, 1, 1, 10, 0, 0, 123000, dt.UTC)),
    TypeCase("time", "'-838:59:59'", pa.duration("us"), -dt.timedelta(hours=838, minutes=59, seconds=59)),
    TypeCase("time(6)", "'00:00:00.000001'", pa.duration("us"), dt.timedelta(microseconds=1)),
    TypeCase("year", "2026", pa.int16(), 2026),
    TypeCase("json", "'{\"a\":  1.50}'", JSON_TYPE, '{"a":  1.50}'),
    TypeCase("point", "ST_GeomFromText('POINT(1 2)')", pa.binary(), WKB),
    TypeCase("geometry", "ST_GeomFromText('POINT(1 2)')", pa.binary(), WKB),
    TypeCase("uuid", "'00000000-0000-7000-8000-000000000001'", pa.string(), "00000000-0000-7000-8000-000000000001"),
    TypeCase("inet6", "'::1'", pa.string(), "::1"),
)
