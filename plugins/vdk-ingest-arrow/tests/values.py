"""Rows of one value of each kind, made by hypothesis."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
from hypothesis import strategies as st

VALUES = st.fixed_dictionaries(
    {
        "whole": st.integers(-(2**63), 2**63 - 1),
        "unsigned": st.integers(0, 2**64 - 1),
        "real": st.floats(allow_nan=False),
        "exact": st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**20), max_value=10**20),
        "text": st.text(st.characters(exclude_categories=["Cs"])),
        "raw": st.binary(),
        "flag": st.booleans(),
        "day": st.dates(),
        "moment": st.datetimes(),
        "instant": st.datetimes(timezones=st.just(dt.UTC)),
        "clock": st.times(),
        "took": st.timedeltas(dt.timedelta(days=-100_000_000), dt.timedelta(days=100_000_000)),
    }
)
SCHEMA = pa.schema(
    {
        "whole": pa.int64(),
        "unsigned": pa.uint64(),
        "real": pa.float64(),
        "exact": pa.decimal128(38, 10),
        "text": pa.string(),
        "raw": pa.binary(),
        "flag": pa.bool_(),
        "day": pa.date32(),
        "moment": pa.timestamp("us"),
        "instant": pa.timestamp("us", "UTC"),
        "clock": pa.time64("us"),
        "took": pa.duration("us"),
    }
)
