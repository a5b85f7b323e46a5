"""The readers as Spark calls them, without a JVM: what is read, what is refused, what is pickled."""

from __future__ import annotations

import hmac
import sqlite3
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark import cloudpickle
from pyspark.sql.datasource import EqualTo, Filter, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual
from pyspark.sql.streaming.datasource import ReadAllAvailable
from pyspark.sql.types import StructType

from made_source import TYPES
from vdk.plugin.datasource_base.contract import BadRecordError, ConfigurationError, DataSourceError, StateError
from vdk.plugin.datasource_spark import VdkDataSource, offsets
from vdk.plugin.datasource_spark.filters import range_of
from vdk.plugin.datasource_spark.splits import MAX_BYTES, Split

CURSOR = 'cursor_columns = ["updated_at"]'
ALL = ReadAllAvailable()
Row = dict[str, Any]


def dumps(value: object) -> bytes:
    """A pickle as Spark makes it."""
    pickled: bytes = cloudpickle.dumps(value)  # type: ignore[no-untyped-call]  # it has no types
    return pickled


def loads(pickled: bytes) -> Any:
    return cloudpickle.loads(pickled)


def rows_of(reader: Any, splits: Iterable[Any]) -> list[Row]:
    return [row for split in splits for batch in reader.read(split) for row in batch.to_pylist()]


def made(stream: str, **options: Any) -> VdkDataSource:
    texts = {name: str(value) for name, value in options.items()}
    return VdkDataSource({"source": "made", "stream": stream, **texts})


def read(source: VdkDataSource) -> list[Row]:
    """The rows of a batch read. The reader crosses to an executor, as in Spark."""
    reader = source.reader(source.schema())
    splits = [loads(dumps(split)) for split in reader.partitions()]
    reader = loads(dumps(reader))
    return rows_of(reader, splits)


def shop(folder: Path, **options: str) -> Callable[..., VdkDataSource]:
    database = folder / "shop.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at TIMESTAMP NOT NULL)")
        rows = [(number, f"2026-01-{number:02} 00:00:00") for number in range(1, 11)]
        connection.executemany("INSERT INTO orders VALUES (?, ?)", rows)
    connection.close()
    base = {"source": "sqlite", "stream": "orders", "config": f"database = {str(database)!r}", **options}
    return lambda **more: VdkDataSource({**base, **more})


def test_every_type_has_one_of_spark_that_keeps_its_values() -> None:
    (row,) = read(made("types"))
    for name, (_, _, expected) in TYPES.items():
        value = row[name].replace(tzinfo=None) if name == "zoned" else row[name]
        assert value == expected, name


@pytest.mark.parametrize(
    ("stream", "options", "expected"),
    [
        ("deletes", {"deletes": "skip"}, [{"id": 1, "name": "one"}]),
        (
            "deletes",
            {"deletes": "column"},
            [{"id": 1, "name": "one", "_vdk_deleted": False}, {"id": 2, "name": None, "_vdk_deleted": True}],
        ),
        ("sweep", {"deletes": "skip"}, [{"id": 1, "name": "one"}]),
        ("routed", {"table": "routed"}, [{"id": 1, "name": "one"}]),
        ("routed", {"table": "other"}, [{"x": 1}]),
        ("numbers", {"columns": "number", "config": "partitions = 1\nrows = 2"}, [{"number": 0}, {"number": 1}]),
        ("numbers", {"config": '{"partitions": 2, "rows": 1}'}, [{"part": 0, "number": 0}, {"part": 1, "number": 0}]),
        ("inferred", {"sample_rows": 1}, [{"id": 1, "name": "one"}, {"id": 2, "name": None}]),
        (
            "inferred",
            {"sample_rows": 1, "extra": "column"},
            [
                {"id": 1, "name": "one", "_vdk_extra": None},
                {"id": 2, "name": None, "_vdk_extra": '{"late":"[1]"}'},
            ],
        ),
        ("inferred", {}, [{"id": 1, "name": "one", "late": None}, {"id": 2, "name": None, "late": "[1]"}]),
    ],
)
def test_rows_are_read_as_the_options_ask_for(stream: str, options: Row, expected: list[Row]) -> None:
    rows = read(made(stream, **options))
    assert sorted(map(str, rows)) == sorted(map(str, expected))


def test_a_column_policy_applies_before_spark_has_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data frame has the columns that are left; each executor resolves the salt."""
    monkeypatch.setenv("SALT", SALT := "0123456789abcdef")
    source = made("numbers", policy='number = "hash"', salt="${env:SALT}", config="partitions = 1\nrows = 2")
    digests = [hmac.digest(SALT.encode(), str(number).encode(), "sha256").hex() for number in range(2)]
    assert read(source) == [{"part": 0, "number": digest} for digest in digests]
    assert SALT.encode() not in dumps(source.reader(source.schema()))
    assert read(made("inferred", policy='{"*": "drop", "id": "keep"}')) == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "id = 'hash'"}, "option policy: 'id' is hashed, and hashes without a salt"),
        ({"policy": "id = 'hash'", "salt": "0123456789abcdef"}, "salt is written out, and Spark shows options"),
        ({"policy": "id = 'drop'"}, "option policy: 'id' is the key .* in its stored states"),
        ({"policy": "updated_at = 'mask'", "config": CURSOR}, "'updated_at' is the cursor"),
        ({"policy": "idd = 'mask'"}, "did you mean 'id'"),
        ({"policy": "id = "}, "option policy: it is neither TOML nor JSON"),
    ],
)
def test_a_policy_that_is_wrong_is_refused(tmp_path: Path, options: dict[str, str], message: str) -> None:
    make = shop(tmp_path)
    if config := options.pop("config", None):
        options["config"] = f"database = {str(tmp_path / 'shop.db')!r}\n{config}"
    with pytest.raises(ConfigurationError, match=message):
        read(make(**options))


def test_a_rejected_row_is_a_row_with_its_error() -> None:
    rows = read(made("bad", on_bad_record="column", max_rejected="100%"))
    assert [row["id"] for row in rows] == [1, None]
    assert rows[0]["_vdk_error"] is None
    assert '"row":{"id":"x","name":"two"}' in rows[1]["_vdk_error"]
    assert "no number" in rows[1]["_vdk_error"]


@pytest.mark.parametrize(
    ("stream", "options", "error", "text"),
    [
        ("deletes", {}, DataSourceError, '"deletes", "column"'),
        ("sweep", {"deletes": "column"}, DataSourceError, '"deletes", "skip"'),
        ("routed", {}, DataSourceError, '"table", "other"'),
        ("bad", {}, BadRecordError, "no number"),
        ("fine", {}, BadRecordError, "'at'.* does not fit timestamp"),
        ("numbrs", {}, ConfigurationError, "option stream: .*did you mean 'numbers'"),
        ("numbers", {"colums": "x"}, ConfigurationError, "unknown option 'colums'; did you mean 'columns'"),
        ("numbers", {"columns": "nmber"}, ConfigurationError, "no column 'nmber'; did you mean 'number'"),
        ("numbers", {"config": "rows = x"}, ConfigurationError, "option config: it is neither TOML nor JSON"),
        ("numbers", {"config": "row = 1"}, ConfigurationError, "option config: unknown option 'row'"),
        ("numbers", {"deletes": "no"}, ConfigurationError, "options: .*deletes"),
        ("numbers", {"source": "mode"}, ConfigurationError, "unknown source 'mode'"),
    ],
)
def test_what_has_no_place_in_a_data_frame_is_refused_by_name(
    stream: str, options: Row, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        read(made(stream, **options))


def test_a_schema_of_the_user_casts_and_needs_the_columns_of_the_options() -> None:
    source = made("deletes", deletes="column")
    names = StructType().add("id", "string")
    with pytest.raises(ConfigurationError, match=r"\.schema\(\) lacks .* add: _vdk_deleted boolean"):
        source.reader(names)
    reader = source.reader(names.add("_vdk_deleted", "boolean"))
    rows = rows_of(reader, reader.partitions())
    assert rows == [{"id": "1", "_vdk_deleted": False}, {"id": "2", "_vdk_deleted": True}]


@pytest.mark.parametrize("stream", ["types", "deletes"])
def test_a_stream_without_ends_is_read_in_batches_only(stream: str) -> None:
    reader = made(stream).streamReader(made(stream).schema())
    with pytest.raises(ConfigurationError, match=r"cannot be read by readStream.*spark\.read"):
        reader.latestOffset(reader.initialOffset(), ALL)


def test_a_batch_between_two_offsets_is_read_again_alike(tmp_path: Path) -> None:
    def config(rows: int) -> VdkDataSource:
        (tmp_path / "upto").write_text(str(rows))
        return made("numbers", config=f"folder = {str(tmp_path)!r}", partitions=2)

    def rows_between(start: Row, end: Row) -> list[tuple[int, int]]:
        reader = made("numbers", config=f"folder = {str(tmp_path)!r}", partitions=2).streamReader(schema)
        splits = reader.partitions(start, end)
        assert len(splits) <= 2
        return sorted((row["part"], row["number"]) for row in rows_of(reader, splits))

    source = config(2)
    schema = source.schema()
    reader: Any = source.streamReader(schema)
    reader.prepareForTriggerAvailableNow()
    start = reader.initialOffset()
    first = reader.latestOffset(start, ALL)
    config(4)
    assert reader.latestOffset(first, ALL) == first, "availableNow does not run after a source that grows"
    later = config(4).streamReader(schema)
    second = later.latestOffset(first, ALL)
    assert rows_between(start, first) == [(part, number) for part in range(3) for number in range(2)]
    assert rows_between(first, second) == [(part, number) for part in range(3) for number in (2, 3)]
    assert rows_between(start, first) == [(part, number) for part in range(3) for number in range(2)]
    assert later.latestOffset(second, ALL) == second
    assert later.partitions(second, second) == []


def test_a_table_is_read_in_as_many_ranges_as_the_cluster_has_partitions(tmp_path: Path) -> None:
    """The number may change between two batches, and between two attempts of one."""
    make = shop(tmp_path, range_rows="2")
    schema = make().schema()

    def stream(partitions: int) -> Any:
        return make(partitions=str(partitions)).streamReader(schema)

    def ids_of(partitions: int, *between: Row) -> tuple[int, list[int]]:
        reader = stream(partitions)
        splits = [loads(dumps(split)) for split in reader.partitions(*between)]
        return len(splits), sorted(row["id"] for row in rows_of(reader, splits))

    reader = make(partitions="3").reader(schema)
    splits = reader.partitions()
    assert (len(splits), len(rows_of(reader, splits))) == (3, 10)
    start = stream(3).initialOffset()
    first = stream(3).latestOffset(start, ALL)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("CREATE INDEX by_time ON orders (updated_at)")
        connection.executemany("INSERT INTO orders VALUES (?, '2026-01-20 00:00:00')", [(11,), (12,)])
        connection.executemany("INSERT INTO orders VALUES (?, '2026-01-21 00:00:00')", [(13,), (14,), (15,)])
    assert [ids_of(count, start, first) for count in (4, 1, 2)] == [(n, [*range(1, 11)]) for n in (4, 1, 2)]
    second = stream(5).latestOffset(first, ALL)
    assert ids_of(2, first, second) == (2, [11, 12, 13, 14, 15])
    assert ids_of(8, first, second) == (3, [11, 12, 13, 14, 15]), "rows with one cursor are in one range"
    assert stream(2).latestOffset(second, ALL) == second


def test_an_offset_of_another_source_is_refused() -> None:
    offset = offsets.encode({"0": {"next": 2}}, "made://a")
    assert offsets.decode(offset, "made://a") == {"0": {"next": 2}}
    with pytest.raises(StateError, match=r"written for the source 'made://a'.*checkpointLocation"):
        offsets.decode(offset, "made://b")
    for damaged in ({"v": 2, "s": "{}"}, {"v": 1, "s": "[]"}, {"v": 1}, {"v": 1, "s": '{"a": 1}'}):
        with pytest.raises(StateError, match="checkpointLocation"):
            offsets.decode(damaged)


def test_pickles_are_small_and_have_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_TOKEN", "planted-4711")
    source = made("numbers", config='partitions = 10000\nrows = 1\ntoken = "${env:MADE_TOKEN}"', partitions=8)
    reader = source.reader(source.schema())
    splits = reader.partitions()
    assert len(splits) == 8
    assert sum(split.count for split in splits if isinstance(split, Split)) == 10_000
    for value in [reader, source, *splits]:
        assert len(dumps(value)) < MAX_BYTES
        assert b"planted" not in dumps(value)
    small = made("numbers", config="partitions = 100\nrows = 1", partitions=1)
    reader = small.reader(source.schema())
    (batch,) = [batch for split in reader.partitions() for batch in reader.read(split)]
    assert isinstance(batch, pa.RecordBatch)
    assert batch.num_rows == 100, "Spark pays for every batch"


def test_a_pickle_that_is_too_large_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdk.plugin.datasource_spark.splits.MAX_BYTES", 1_000)
    source = made("numbers", config="partitions = 40\nrows = 1", partitions=2)
    reader = source.reader(source.schema())
    splits = [split for split in reader.partitions() if isinstance(split, Split)]
    assert len(splits) > 2
    assert sorted(row["part"] for row in read(source)) == list(range(40))


def test_an_error_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_TOKEN", "planted-4711")
    source = made("leaky", config='token = "${env:MADE_TOKEN}"', retry_for="0s")
    with pytest.raises(DataSourceError, match="token ") as caught:
        read(source)
    assert "planted" not in str(caught.value)


def test_an_executor_with_other_secrets_or_packages_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_TOKEN", "planted-4711")
    source = made("numbers", config='token = "${env:MADE_TOKEN}"')
    reader = source.reader(source.schema())
    splits = reader.partitions()
    monkeypatch.setenv("MADE_TOKEN", "planted-4712")
    with pytest.raises(ConfigurationError, match=r"executor '.*': the secrets of the options .* set the same"):
        rows_of(reader, splits)
    monkeypatch.setitem(sys.modules, "made_source", None)
    monkeypatch.setenv("MADE_TOKEN", "planted-4711")
    with pytest.raises(ConfigurationError, match=r"executor '.*': .*made.* cannot be imported.*install"):
        rows_of(reader, splits)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([GreaterThanOrEqual(("n",), 3), LessThan(("n",), 9), LessThan(("n",), 7)], ("3", "7")),
        ([EqualTo(("n",), 3)], ("3", None)),
        ([GreaterThan(("n",), 3), GreaterThan(("n",), 4)], ("4", None)),
        ([LessThanOrEqual(("n",), 3), GreaterThan(("other",), 3), GreaterThan(("n",), "text")], (None, None)),
    ],
)
def test_filters_become_a_range_with_every_row_that_passes(filters: list[Any], expected: tuple[Any, Any]) -> None:
    assert range_of(filters, "n") == expected


def test_only_the_range_of_a_filter_is_read(tmp_path: Path) -> None:
    import datetime as dt

    source = shop(tmp_path, pushdown="true")()
    reader = source.reader(source.schema())
    filters: list[Filter] = [GreaterThanOrEqual(("updated_at",), dt.datetime(2026, 1, 9))]
    assert list(reader.pushFilters(filters)) == filters
    assert [row["id"] for row in rows_of(reader, reader.partitions())] == [9, 10]


def test_a_range_is_read_in_a_batch_and_refused_for_a_stream(tmp_path: Path) -> None:
    source = shop(tmp_path)(since="2026-01-02", until="2026-01-04")
    assert [row["id"] for row in read(source)] == [2, 3]
    with pytest.raises(ConfigurationError, match=r"option since: it is for spark\.read"):
        source.streamReader(source.schema())
