"""Sources as sources of dlt, into DuckDB and into files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from conftest import MakePipeline
from scripted import Read, Stream, counting, source
from vdk.plugin.datasource_base import (
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourcePayload,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_dlt import dlt_source

Landed = Callable[[str], list[tuple[Any, ...]]]
KEYED = StreamSchema(pa.schema([("n", pa.int64()), ("v", pa.string())]), ("n",))


def yielding(*payloads: DataSourcePayload) -> Read:
    """All payloads after the state's, each with a state."""

    def read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number, payload in enumerate(payloads):
            if number >= state.get("next", 0):
                yield DataSourcePayload(
                    payload.data,
                    kind=payload.kind,
                    destination_table=payload.destination_table,
                    state={"next": number + 1},
                )

    return read


def rows(*data: Mapping[str, Any], **others: Any) -> DataSourcePayload:
    return DataSourcePayload(list(data), **others)


@pytest.mark.libraries
def test_partitions_continue_from_the_states_that_dlt_keeps(pipeline: MakePipeline, landed: Landed) -> None:
    """In dlt's working folder, and where that is lost in its destination; a second run has nothing to load."""
    streams = [Stream("t", {"a": counting(3), "b": counting(5, 3)})]
    first = pipeline()
    first.run(dlt_source(source(*streams)))
    first.run(dlt_source(source(*streams)))
    assert first.last_trace.last_normalize_info.row_counts.get("t", 0) == 0
    streams = [Stream("t", {"a": counting(3), "b": counting(7, 3)})]
    pipeline("another").run(dlt_source(source(*streams)))
    assert landed("SELECT n FROM t ORDER BY n") == [(n,) for n in range(7)]


@pytest.mark.libraries
def test_a_load_that_is_limited_goes_on(pipeline: MakePipeline, landed: Landed) -> None:
    """dlt's ``add_limit`` ends the reading between two items: the state is that of the rows that it has taken."""
    payloads = [rows({"n": number}) for number in range(4)]
    flow = {"batch_rows": 1}
    for _ in range(6):
        limited = dlt_source(flow_of(Stream("t", {"a": yielding(*payloads)}), **flow))
        pipeline().run(limited.add_limit(1))
    assert landed("SELECT n FROM t ORDER BY n") == [(n,) for n in range(4)]


def flow_of(*streams: Stream, **entry: Any) -> dict[str, Any]:
    source(*streams)
    return {
        "sources": {"src": {"name": "scripted"}},
        "destinations": {"lake": {"method": "dlt"}},
        "flows": [{"from": "src", "to": "lake", **entry}],
    }


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow files find the scripted source as they find an installed one."""
    from vdk.plugin.datasource_base.parts import Registry

    known = Registry.source

    def find(self: Registry, name: str, **others: Any) -> Any:
        from scripted import ScriptedSource

        return ScriptedSource if name == "scripted" else known(self, name, **others)

    monkeypatch.setattr(Registry, "source", find)


@pytest.mark.libraries
def test_the_last_operation_of_a_key_counts(pipeline: MakePipeline, landed: Landed) -> None:
    """Within a load and between loads: changed rows replace older ones, deletes delete, and a row may return."""
    first = [
        rows({"n": 1, "v": "a"}, {"n": 2, "v": "a"}, {"n": 3, "v": "a"}),
        rows({"n": 2, "v": "b"}),
        rows({"n": 3}, {"n": 1}, kind="deletes"),
        rows({"n": 1, "v": "c"}),
    ]
    second = [*first, rows({"n": 4, "v": "d"}), rows({"n": 2}, kind="deletes")]
    for payloads, left in ((first, [(1, "c"), (2, "b")]), (second, [(1, "c"), (4, "d")])):
        pipeline().run(dlt_source(source(Stream("t", {"": yielding(*payloads)}, KEYED))))
        assert landed("SELECT n, v FROM t ORDER BY n") == left


@pytest.mark.libraries
def test_a_stream_that_is_read_whole_replaces_its_table(pipeline: MakePipeline, landed: Landed) -> None:
    """Also with no rows at all."""
    for end in (3, 1, 0):
        whole = [{"n": number, "v": "x"} for number in range(end)]

        def read(state: Mapping[str, Any], whole: Any = whole) -> Iterator[DataSourcePayload]:
            yield DataSourcePayload(whole)

        pipeline().run(dlt_source(source(Stream("t", {"": read}, KEYED, incremental=False))))
        assert landed("SELECT count(*) FROM t") == [(end,)]


def test_values_keep_their_types(pipeline: MakePipeline, landed: Landed) -> None:
    table = pa.table(
        {
            "u8": pa.array([255], pa.uint8()),
            "u64": pa.array([2**64 - 1], pa.uint64()),
            "dec": pa.array([Decimal("12345678901234567890.10")], pa.decimal128(38, 2)),
            "zone": pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)], pa.timestamp("us", "Europe/Berlin")),
            "naive": pa.array([dt.datetime(2026, 1, 2)], pa.timestamp("us")),
            "day": pa.array([dt.date(2026, 1, 2)]),
            "at": pa.array([dt.time(1, 2, 3, 4)]),
            "long": pa.array([1500], pa.duration("ms")),
            "doc": pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(['{"a":1.10}'])),
            "bytes": pa.array([b"\x00\xff"]),
            "nan": pa.array([float("inf")]),
            "none": pa.nulls(1),
        }
    )
    pipeline().run(dlt_source(source(Stream("t", {"": yielding(DataSourcePayload(table))}))))
    types = {name: type_ for name, type_, *_ in landed("DESCRIBE t")}
    assert types == {
        "u8": "SMALLINT",
        "u64": "DECIMAL(20,0)",
        "dec": "DECIMAL(38,2)",
        "zone": "TIMESTAMP WITH TIME ZONE",
        "naive": "TIMESTAMP",
        "day": "DATE",
        "at": "TIME",
        "long": "VARCHAR",
        "doc": "JSON",
        "bytes": "BLOB",
        "nan": "DOUBLE",
    }
    values = landed("SELECT * EXCLUDE (zone), epoch_us(zone) FROM t")[0]
    assert values[:3] == (255, 2**64 - 1, Decimal("12345678901234567890.10"))
    assert values[3:7] == (dt.datetime(2026, 1, 2), dt.date(2026, 1, 2), dt.time(1, 2, 3, 4), "PT1.500S")
    assert values[7:] == ('{"a":1.10}', b"\x00\xff", float("inf"), 1767312000000000)


@pytest.mark.libraries
def test_a_value_that_does_not_fit_its_column_has_one_of_its_own(pipeline: MakePipeline, landed: Landed) -> None:
    """In the same load and in a later one. dlt would let the destination round 1.5 to 2."""
    first = [rows({"v": 1}), rows({"v": 1.5})]
    for payloads in (first, [*first, rows({"v": 2.5}), rows({"v": 3.0}), rows({"v": "x"})]):
        pipeline().run(dlt_source(flow_of(Stream("t", {"": yielding(*payloads)}), batch_rows=1)))
    assert landed("SELECT v, v__v_double, v__v_text FROM t ORDER BY ALL") == [
        (1, None, None),
        (3, None, None),
        (None, 1.5, None),
        (None, 2.5, None),
        (None, None, "x"),
    ]


@pytest.mark.libraries
def test_nothing_of_a_failed_load_is_kept(pipeline: MakePipeline, landed: Landed) -> None:
    """A source that breaks fails the load as a whole; the next one has everything, once."""
    broken = [True]

    def read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(state.get("next", 0), 3):
            if number == 2 and broken:
                raise DataSourceError("it broke")
            yield DataSourcePayload({"n": number}, state={"next": number + 1})

    streams = [Stream("t", {"": read}), Stream("u", {"": counting(2)})]
    with pytest.raises(PipelineStepFailed, match="it broke"):
        pipeline().run(dlt_source(source(*streams)))
    broken.clear()
    pipeline().run(dlt_source(source(*streams)))
    for table, end in (("t", 3), ("u", 2)):
        assert landed(f"SELECT n FROM {table} ORDER BY n") == [(n,) for n in range(end)]


@pytest.mark.libraries
def test_a_load_whose_destination_fails_is_completed(
    pipeline: MakePipeline, landed: Landed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run loads what is pending, and the one after it reads on."""
    away = pipeline(destination=dlt.destinations.duckdb(str(tmp_path / "missing" / "lake.duckdb")))
    with pytest.raises(PipelineStepFailed):
        away.run(dlt_source(source(Stream("t", {"": counting(3)}))))
    again = pipeline()
    again.run(dlt_source(source(Stream("t", {"": counting(5)}))))
    again.run(dlt_source(source(Stream("t", {"": counting(5)}))))
    assert landed("SELECT n FROM t ORDER BY n") == [(n,) for n in range(5)]


@pytest.mark.libraries
@pytest.mark.parametrize(
    ("payload", "options", "error"),
    [
        (rows({"n": 1}, kind="keys"), {}, r'deletes="skip"\) to keep the rows'),
        (rows({"n": 1}, kind="deletes"), {"deletes": "fail"}, r'write dlt_source\(…, deletes="delete"\)'),
        (rows({"x": 1}, destination_table="others"), {}, r'leave the stream out, as in dlt_source\(…, streams=\["!t"'),
        (DataSourcePayload(pa.table({"n": pa.nulls(1, pa.int64())})), {}, "the primary key is NULL"),
        (
            DataSourcePayload(pa.table({"n": [1], "at": pa.array([1], pa.timestamp("ns"))})),
            {},
            "has more digits than dlt's timestamp",
        ),
    ],
    ids=["sweep", "deletes", "routed", "null-key", "nanoseconds"],
)
def test_what_dlt_cannot_do_is_refused(
    payload: DataSourcePayload, options: Any, error: str, pipeline: MakePipeline
) -> None:
    open_schema = StreamSchema(KEYED.fields, KEYED.primary_key, open=True)
    stream = Stream("t", {"": yielding(rows({"n": 0}), payload)}, open_schema)
    with pytest.raises(PipelineStepFailed, match=error):
        pipeline().extract(dlt_source(source(stream), **options))


@pytest.mark.parametrize(
    ("entry", "options", "error"),
    [
        ({"verify": True}, {}, "remove verify"),
        ({"require": "exactly_once"}, {}, "require"),
        ({}, {"streams": ["tt"]}, "streams 'tt': no stream matches"),
        ({}, {"deletes": "hard"}, 'is not one of "delete"'),
        ({"destination_table": "one"}, {}, "one"),
    ],
)
def test_a_flow_that_dlt_cannot_load_is_refused(entry: Any, options: Any, error: str) -> None:
    streams = Stream("t", {"": counting(1)}), Stream("u", {"": counting(1)})
    with pytest.raises((ConfigurationError, DataSourceError), match=error):
        dlt_source(flow_of(*streams, **entry), **options)


@pytest.mark.libraries
def test_the_policy_and_the_tables_of_a_flow_apply(pipeline: MakePipeline, landed: Landed) -> None:
    """Rejected rows are log lines; a column that the policy drops never reaches dlt."""
    payload = rows({"n": 1, "v": "secret"}, {"n": "x", "v": "secret"})
    stream = Stream("t", {"": yielding(payload)}, KEYED)
    entry = {
        "columns": {"v": "drop"},
        "destination_table": "shop_{stream}",
        "on_bad_record": "reject",
        "max_rejected": 5,
    }
    pipeline().run(dlt_source(flow_of(stream, **entry)))
    assert landed("SELECT * EXCLUDE (_vdk_sequence, _vdk_deleted_at) FROM shop_t") == [(1,)]


@pytest.mark.libraries
def test_states_of_another_source_are_refused(pipeline: MakePipeline) -> None:
    pipeline().run(dlt_source(source(Stream("t", {"": counting(1)}))))
    with pytest.raises(PipelineStepFailed, match=r"was written for the source 'the data'.*refresh=\"drop_"):
        pipeline().run(dlt_source(source(Stream("t", {"": counting(1)}), identity="others")))


@pytest.mark.libraries
def test_an_unreachable_source_is_retried(pipeline: MakePipeline, landed: Landed) -> None:
    failures = [2]

    def read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from counting(1)(state)
        if failures[0]:
            failures[0] -= 1
            raise ConnectionFailedError("away")
        yield from counting(2)({"next": 1})

    pipeline().run(dlt_source(flow_of(Stream("t", {"": read}), retry_for="10s", batch_rows=1)))
    assert landed("SELECT n FROM t ORDER BY n") == [(0,), (1,)]


@pytest.mark.libraries
def test_files_get_the_same_rows(pipeline: MakePipeline, tmp_path: Path) -> None:
    """dlt cannot merge into files: every version of a row is there, and ``_vdk_sequence`` orders those of a load."""
    import pyarrow.parquet as pq

    files = pipeline(destination=dlt.destinations.filesystem((tmp_path / "lake").as_uri()))
    stream = Stream("t", {"": yielding(rows({"n": 1, "v": "a"}), rows({"n": 1, "v": "b"}))}, KEYED)
    for _ in range(2):
        files.run(dlt_source(flow_of(stream, batch_rows=1)), loader_file_format="parquet")
    found = [pq.read_table(path).to_pylist() for path in (tmp_path / "lake" / "landed" / "t").glob("*.parquet")]
    assert sorted((row["_vdk_sequence"], row["v"]) for part in found for row in part) == [(0, "a"), (1, "b")]
