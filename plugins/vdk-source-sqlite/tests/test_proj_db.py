"""The EPSG registry that ships in pyproj: a real database, read whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyproj
import pytest

from support import payloads, source_of

PROJ_DB = Path(pyproj.datadir.get_data_dir()) / "proj.db"


def expected(value: Any, kind: pa.DataType) -> Any:
    """What SQLite's value has to be in Arrow."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else repr(value)
    if pa.types.is_boolean(kind):
        return bool(value)
    return float(value) if pa.types.is_floating(kind) else value


def test_every_table_and_view_is_a_stream() -> None:
    with closing(sqlite3.connect(PROJ_DB)) as connection:
        names = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        }
    found = {stream.name for stream in source_of(PROJ_DB, views=["*"]).streams()}
    assert found == {name for name in names if not name.startswith("sqlite_")}


@pytest.mark.parametrize("stream", source_of(PROJ_DB, views=["*"]).streams(), ids=lambda stream: stream.name)
def test_every_value_is_what_sqlite_has(stream: Any) -> None:
    """Row by row and value by value; a column without a type SQLite knows keeps every value as text."""
    tables: list[Any] = [payload.data for payload in payloads(stream)]
    with closing(sqlite3.connect(PROJ_DB)) as connection:
        rows = connection.execute(f'SELECT * FROM "{stream.name}"').fetchall()
    landed = [row for table in tables for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]
    kinds = stream.schema().fields.types
    assert landed == [tuple(expected(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in rows]


def test_columns_that_hold_integers_or_text_land_as_text() -> None:
    """``INTEGER_OR_TEXT`` is no type SQLite knows: codes like 4326 and 'LATLON' both keep their digits and letters."""
    stream = next(one for one in source_of(PROJ_DB).streams() if one.name == "geodetic_crs")
    field = stream.schema().fields.field("code")
    assert field.type == pa.string()
    assert stream.schema().primary_key == ("auth_name", "code")
