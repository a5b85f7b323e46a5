"""What only the target refuses is a bad record with its key: it fails its stream, or is rejected alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from lakes import Lake
from landing import APPEND, UPSERT, opened, query, rows, unit
from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.contract import FlowFailedError
from vdk.plugin.datasource_base.parts import RefusedRowsError, Registry
from vdk.plugin.datasource_base.runtime import Environment, execute

LAST = 2**63 - 1


def json(text: str) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array([text], pa.string()))


def bytes_as_text(content: bytes) -> pa.Array:
    """Text that is not UTF-8, as a careless reader makes it."""
    offsets = pa.array([0, len(content)], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(content)])


DATABASES = ("duckdb", "sqlite", "postgresql")
BAD: dict[str, tuple[pa.Array, tuple[str, ...]]] = {
    "a NUL": (pa.array(["a\0b"]), ("postgresql",)),
    "not UTF-8": (bytes_as_text(b"\xff\xfe"), (*DATABASES, "parquet")),
    "a NUL in JSON": (json('{"a": "\\u0000"}'), ("postgresql",)),
    "half a surrogate pair in JSON": (json('{"a": "\\ud800"}'), ("duckdb", "postgresql")),
    "a number in JSON": (json('{"a": 1e999999}'), ("postgresql",)),
    "no JSON": (json('{"a": '), DATABASES),
    "a late time": (pa.array([LAST], pa.timestamp("us")), ("duckdb", "sqlite")),
    "an early time": (pa.array([-LAST], pa.timestamp("us")), DATABASES),
    "a time in seconds": (pa.array([2**50], pa.timestamp("s")), DATABASES),
    "a time in nanoseconds": (pa.array([1], pa.timestamp("ns")), ("postgresql",)),
    "a late date": (pa.array([2**31 - 1], pa.date32()), DATABASES),
    "a long duration": (pa.array([2**60], pa.duration("s")), DATABASES),
    "a short duration": (pa.array([1], pa.duration("ns")), DATABASES),
    "a time of no day": (pa.array([-1], pa.time64("us")), (*DATABASES, "parquet")),
    "a NaN": (pa.array([float("nan")]), ("sqlite",)),
}
CASES = [(name, kind) for name, (_, kinds) in BAD.items() for kind in kinds]
# What the mode changes does not depend on the value.
MODES = [(*case, "append") for case in CASES] + [("not UTF-8", kind, "replace") for kind in (*DATABASES, "parquet")]


class Refusable(DataSourceStream):
    """Ten batches; the fifth row of the fourth has the value."""

    name = "orders"
    value: ClassVar[pa.Array]
    incremental = True

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(pa.schema([("id", pa.int64())]), ("id",), open=True)

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(10):
            ids = pa.array(range(number * 10, number * 10 + 10), pa.int64())
            value: Any = pa.nulls(10, self.value.type)
            if number == 3:
                value = pa.chunked_array([value.slice(0, 4), self.value, value.slice(5)], self.value.type)
            yield DataSourcePayload(pa.table({"id": ids, "value": value}), state={"n": number})


class RefusableConfig(DataSourceConfig):
    case: str


@data_source(name="refusable", config=RefusableConfig)
class RefusableSource(DataSource[RefusableConfig]):
    def streams(self) -> list[DataSourceStream]:
        Refusable.value = BAD[self.config.case][0]
        return [Refusable()]


def run(lake: Lake, case: str, **entry: Any) -> None:
    registry = Registry()
    registry.add("refusable", f"{__name__}:RefusableSource")
    execute(
        {
            "sources": {"shop": {"name": "refusable", "config": {"case": case}}},
            "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
            "flows": [{"from": "shop", "to": "lake", **entry}],
        },
        Environment(registry=registry),
    )


@pytest.mark.heavy
@pytest.mark.parametrize(("case", "lake", "mode"), MODES, indirect=["lake"])
def test_a_value_that_the_target_refuses_is_rejected_alone(lake: Lake, case: str, mode: str) -> None:
    run(lake, case, write_mode=mode, on_bad_record="reject", batch_rows=25)
    assert sorted(query(lake, "SELECT id FROM orders")) == [(n,) for n in range(100) if n != 34]
    ((column, reason, row),) = query(lake, 'SELECT "column", reason, "row" FROM orders__rejected')
    assert column == "value"
    assert "'id': 34" in reason
    assert '"id":34' in row


@pytest.mark.parametrize(("case", "lake"), CASES, indirect=["lake"])
def test_a_value_that_the_target_refuses_is_named_with_its_key(lake: Lake, case: str) -> None:
    with pytest.raises(FlowFailedError, match=r"BadRecordError: stream 'orders', column 'value', key \{'id': 34\}"):
        run(lake, case, write_mode="append", batch_rows=25)


def test_rows_that_are_refused_are_counted_from_their_slice(lake: Lake) -> None:
    bad = {
        "duckdb": pa.array([LAST], pa.timestamp("us")),
        "sqlite": pa.array([float("nan")]),
        "postgresql": pa.array(["a\0b"]),
    }[lake.kind]
    values = pa.concat_arrays([pa.nulls(2, bad.type), bad, bad])
    fine, several = rows(UPSERT, {"id": [1, 2]}), rows(UPSERT, pa.table({"id": [3, 4, 5, 6], "v": values}))
    destination = opened(lake)
    with pytest.raises(RefusedRowsError) as caught:
        destination.commit(unit(fine, several))
    assert [(row.batch, row.row, row.column) for row in caught.value.rows] == [(1, 2, "v"), (1, 3, "v")]
    assert "orders" not in lake.all_tables()
    destination.commit(unit(fine))
    destination.close()


def test_a_number_that_overflows_a_column_widens_it(lake: Lake) -> None:
    destination = opened(lake)
    for number, amount in enumerate(["1.50", "12345678901234567890.25"]):
        destination.commit(unit(rows(APPEND, {"id": pa.array([number], pa.int64()), "n": [Decimal(amount)]})))
    destination.close()
    assert [str(n) for (n,) in query(lake, "SELECT n FROM orders ORDER BY id")] == ["1.50", "12345678901234567890.25"]
