# SPDX-License-Identifier: Apache-2.0
"""The options of the source, and of one table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import Duration
from vdk.plugin.datasource_sql import SqlConfig, TableConfig

Decimals = Literal["exact", "round", "double"]
ColumnType = Literal["binary", "latin-1", "cp1252"]
DecimalsOption = Annotated[
    Decimals | dict[str, Decimals] | None,
    Meta(
        description="how numbers with more decimals than NUMERIC(p,s) declares land: exact (their rows are bad "
        "records), round (half to even, to s decimals) or double (all numbers of the column); for all such "
        'columns, or by name: { amount = "round" }. Default: exact'
    ),
]
ColumnsOption = Annotated[
    Mapping[str, list[str] | ColumnType] | None,
    Meta(
        description="which columns land: { include = [names] } (primary key and cursor always come along) or "
        '{ exclude = [names] }. And how text that is not UTF-8 lands: { NAME = "binary" } (as bytes), "latin-1" or '
        '"cp1252" (text that is not UTF-8 is in that encoding). Default: all columns'
    ),
]


class SqliteTableConfig(TableConfig):
    """Options of one table."""

    columns: ColumnsOption = None
    decimals: DecimalsOption = None


class SqliteConfig(SqlConfig):
    """A SQLite database and how its tables are read."""

    database: Annotated[Path, Meta(description="the database file; it is opened read-only and never created")]
    lock_timeout: Annotated[
        Duration, Meta(description="how long to wait for a process that writes to the database")
    ] = Duration(seconds=30)
    columns: ColumnsOption = None
    decimals: DecimalsOption = None
    tables: Annotated[Mapping[str, SqliteTableConfig], Meta(description="options per table, by its name")] = (
        msgspec.field(default_factory=dict)
    )
    table_type: ClassVar[type[TableConfig]] = SqliteTableConfig
    column_options: ClassVar[tuple[str, ...]] = ("decimals",)
