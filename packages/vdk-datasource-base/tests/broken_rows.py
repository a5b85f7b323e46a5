"""Sources whose streams and rows contradict their schemas."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import pyarrow as pa

from broken import caught_by
from reference_shop import Orders, ShopSource, Whole
from vdk.plugin.datasource_base import BadRecordError, DataSourcePayload, DataSourceStream, StreamSchema

_calls = count()


@caught_by("test_stream_names_are_unique")
class Alike(ShopSource):
    def streams(self) -> Sequence[DataSourceStream]:
        return [*super().streams(), Whole(self.config, "Prices")]


@caught_by("test_streams_are_the_same_each_time")
class Shuffled(ShopSource):
    def streams(self) -> Sequence[DataSourceStream]:
        streams = super().streams()
        return streams if next(_calls) % 2 else streams[::-1]


@caught_by("test_keys_and_cursors_can_be_compared")
class ByTruth(Orders):
    def schema(self, table: str | None = None) -> StreamSchema | None:
        schema = super().schema(table)
        return replace(schema, cursor="paid") if schema is not None else None


@caught_by("test_column_names_can_land")
class Loud(Whole):
    def schema(self, table: str | None = None) -> StreamSchema | None:
        return StreamSchema(pa.schema([("article", pa.string()), ("cents", pa.int64()), ("CENTS", pa.int64())]))


@caught_by("test_every_stream_lands")
class Misfit(Whole):
    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {"article": values[0], "cents": "many"}


@caught_by("test_rows_have_declared_columns_only")
class Surprising(Whole):
    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {**super().row(values), "margin": 0.5}


@caught_by("test_keys_are_never_null")
class Keyless(Whole):
    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {"article": None, "cents": values[1]}


@caught_by("test_keys_are_unique")
class Merging(Orders):
    def schema(self, table: str | None = None) -> StreamSchema | None:
        schema = super().schema(table)
        return replace(schema, primary_key=("changed",)) if schema is not None else None


@caught_by("test_values_land_as_they_were_read")
class Local(Orders):
    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        row = super().row(values)
        return {**row, "changed": row["changed"] and row["changed"].replace(tzinfo=None)}


@caught_by("test_the_expected_rows_land")
class Rounding(Whole):
    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        article, cents = values
        return {"article": article, "cents": int(float(cents)) if cents is not None else None}


@caught_by("test_an_empty_stream_lands_an_empty_table")
class Undefined(Whole):
    def schema(self, table: str | None = None) -> StreamSchema | None:
        return None


@caught_by("test_the_source_is_only_read")
class Marking(Whole):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from super().read(state)
        with closing(sqlite3.connect(self.config.database)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS seen (name TEXT)")
            connection.commit()


@caught_by("test_a_stream_with_states_declares_that_it_is_incremental")
class Undeclared(Orders):
    def schema(self, table: str | None = None) -> StreamSchema | None:
        schema = super().schema(table)
        return replace(schema, cursor=None) if schema is not None else None


@caught_by("test_a_row_that_cannot_land_is_named")
class Anonymous(Whole):
    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        article, cents = values
        return {"article": article, "cents": int(cents) if cents is not None else None}


@caught_by("test_a_row_that_cannot_land_is_rejected_alone")
class Stumbling(Whole):
    """Raises for a row, which ends the generator."""

    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        if isinstance(values[1], str):
            raise BadRecordError("this is not a number", key=values[0], value=values[1])
        return super().row(values)
