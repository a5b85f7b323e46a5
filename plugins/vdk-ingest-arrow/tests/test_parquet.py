"""The Parquet target: tables as folders of files, landed in and read back by others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from landing import APPEND, KEY, REPLACE, UPSERT, deletes, partition, rows, unit
from parquet_landing import dataset, files, ids, land, left_over, opened, query, states
from vdk.plugin.datasource_base.contract import ConcurrentRunError, ConfigurationError, DestinationError
from vdk.plugin.datasource_base.parts import Destination, TableBatch, TableSnapshot, TableSpec
from vdk.plugin.ingest_arrow.targets import arrow_destination


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_appended_rows_are_files_that_others_read(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [3, 1, 3], "x": ["a", None, "c"]}))
    land(lake, rows(APPEND, {"id": [4], "x": ["d"]}))
    assert ids(lake) == [1, 3, 3, 4]
    assert len(files(lake)) == 2
    assert left_over(lake) == []


def test_a_commit_is_one_file_for_each_table(lake: Path) -> None:
    lines = replace(APPEND, name="lines")
    land(lake, rows(APPEND, {"id": [1]}), rows(lines, {"id": [7]}), rows(APPEND, {"id": [2], "x": [1.5]}))
    assert (len(files(lake)), len(files(lake, "lines"))) == (1, 1)
    assert dataset(lake).to_pylist() == [{"id": 1, "x": None}, {"id": 2, "x": 1.5}]


def test_a_slice_without_rows_makes_its_table(lake: Path) -> None:
    schema = pa.schema({"id": pa.int64(), "at": pa.timestamp("us", "UTC"), "what": pa.null()})
    land(lake, TableBatch(replace(APPEND, schema=schema), "rows", schema.empty_table()))
    assert query(lake, "SELECT * FROM orders") == []
    assert dataset(lake).schema == schema.remove(2)
    assert opened(lake).has_table("orders")
    assert opened(lake).has_table("others") is False


def test_a_folder_with_a_foreign_file_alone_is_no_table(lake: Path) -> None:
    destination = opened(lake)
    (lake / "orders").mkdir()
    pq.write_table(pa.table({"id": ["theirs"]}), lake / "orders" / "theirs.parquet")
    assert destination.has_table("orders") is False
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    assert [pq.read_schema(lake / "orders" / name).field("id").type for name in files(lake)] == [
        pa.int64(),
        pa.string(),
    ]


def test_rows_without_columns_are_not_dropped_silently(lake: Path) -> None:
    table = pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))])
    destination = opened(lake)
    for act in (lambda: destination.commit(unit(rows(APPEND, table))), lambda: stage(destination, table)):
        with pytest.raises(DestinationError, match="without any column"):
            act()


def stage(destination: Destination, data: pa.Table, key: str = "") -> None:
    destination.stage(partition(key), [rows(REPLACE, data)], "run-1")


def publish(destination: Destination, *specs: TableSpec, partitions: tuple[str, ...] = ("",)) -> list[int]:
    return destination.publish(TableSnapshot(specs or (REPLACE,), [unit(key=partition(name)) for name in partitions]))


def test_rows_whose_every_value_is_missing_are_rows(lake: Path) -> None:
    nothing = pa.table({"a": pa.nulls(2)})
    land(lake, rows(APPEND, nothing))
    assert dataset(lake).to_pylist() == [{"a": None}] * 2
    land(lake, rows(APPEND, {"a": ["x"]}))
    land(lake, rows(APPEND, nothing))
    assert query(lake, "SELECT count(*), count(a) FROM orders") == [(5, 1)]
    destination = opened(lake)
    stage(destination, nothing)
    publish(destination)
    assert dataset(lake).to_pylist() == [{"a": None}] * 2


def test_a_column_without_a_value_waits_for_one(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1], "seen": pa.nulls(1)}))
    assert dataset(lake).schema.names == ["id"]
    land(lake, rows(APPEND, {"id": [2], "seen": [1.5]}))
    land(lake, rows(APPEND, {"id": [3], "seen": pa.nulls(1)}))
    assert query(lake, "SELECT id, seen FROM orders ORDER BY id") == [(1, None), (2, 1.5), (3, None)]


def test_rows_set_aside_are_not_seen_until_their_state_comes(lake: Path) -> None:
    destination = opened(lake)
    for number in range(3):
        destination.stage(KEY, [rows(APPEND, {"id": [number]})], "run-1")
    assert not (lake / "orders").exists()
    assert not [*lake.rglob("*.parquet")]
    assert destination.commit(unit(rows(APPEND, {"id": [3]}), state={"n": 1})) == 1
    assert ids(lake) == [0, 1, 2, 3]
    assert len(files(lake)) == 2
    assert left_over(lake) == []


def test_staged_files_end_at_the_rows_that_are_asked_for(lake: Path) -> None:
    destination = opened(lake, "?file_rows=4")
    for number in range(5):
        destination.stage(KEY, [rows(APPEND, {"id": [number * 2, number * 2 + 1]})], "run-1")
    destination.commit(unit())
    assert ids(lake) == [*range(10)]
    assert [pq.read_metadata(lake / "orders" / name).num_rows for name in files(lake)] == [2, 4, 4]


@pytest.mark.parametrize("name", ["a", "*"])
def test_discarded_rows_never_land(lake: Path, name: str) -> None:
    """Those of an earlier run neither."""
    for _ in range(2):
        destination = opened(lake)
        destination.stage(partition("a"), [rows(APPEND, {"id": [1]})], "run-1")
        destination.close()
    destination.discard(partition(name))
    assert left_over(lake) == []
    destination.commit(unit(rows(APPEND, {"id": [2]}), key=partition("a")))
    assert ids(lake) == [2]


def test_discarding_one_partition_leaves_the_others(lake: Path) -> None:
    destination = opened(lake)
    destination.stage(partition("a"), [rows(APPEND, {"id": [1]})], "run-1")
    destination.stage(partition("b"), [rows(APPEND, {"id": [2]})], "run-1")
    destination.discard(partition("a"))
    destination.commit(unit(key=partition("b")))
    assert ids(lake) == [2]


def test_rows_that_another_run_dropped_are_missed(lake: Path) -> None:
    mine, other = opened(lake), opened(lake)
    mine.stage(KEY, [rows(APPEND, {"id": [1]})], "run-1")
    other.discard(partition("*"))
    with pytest.raises(ConcurrentRunError, match="were dropped by another run of the same source"):
        mine.commit(unit(state={"n": 1}))
    assert other.load_states("shop") == []


def test_a_generation_takes_the_place_of_the_one_before(lake: Path) -> None:
    destination = opened(lake)
    for snapshot in ([1, 2], [3]):
        for one in snapshot:
            stage(destination, pa.table({"id": [one], "x": [f"{one}"]}))
        publish(destination)
    assert dataset(lake).to_pylist() == [{"id": 3, "x": "3"}]
    assert len(files(lake)) == 1
    assert left_over(lake) == []


def test_a_generation_that_is_published_again_is_refused(lake: Path) -> None:
    """Whoever does not know that it was done must not find an empty table for it."""
    destination = opened(lake)
    stage(destination, pa.table({"id": [1]}))
    publish(destination)
    with pytest.raises(ConcurrentRunError):
        publish(destination)
    destination.close()
    assert query(lake, "SELECT id FROM orders") == [(1,)]


def test_until_it_is_published_the_old_generation_is_seen(lake: Path) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    stage(destination, pa.table({"id": [2]}))
    assert ids(lake) == [1]
    publish(destination)
    assert ids(lake) == [2]


def test_the_partitions_of_a_generation_become_visible_together(lake: Path) -> None:
    destination = opened(lake)
    stage(destination, pa.table({"id": [2], "x": ["b"]}), "b")
    stage(destination, pa.table({"id": [1], "y": [1.5]}), "a")
    assert publish(destination, partitions=("a", "b", "empty")) == [0, 0, 0]
    assert query(lake, "SELECT id, x, y FROM orders ORDER BY id") == [(1, None, 1.5), (2, "b", None)]
    assert {*dataset(lake).schema.names} == {"id", "x", "y"}


def test_a_generation_without_rows_is_an_empty_table_of_the_declared_columns(lake: Path) -> None:
    spec = replace(REPLACE, schema=pa.schema({"id": pa.int64(), "amount": pa.decimal128(10, 2), "later": pa.null()}))
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1], "was": ["x"]})))
    publish(destination, spec)
    assert dataset(lake).schema == pa.schema({"id": pa.int64(), "amount": pa.decimal128(10, 2)})
    assert dataset(lake).num_rows == 0


def test_without_declared_columns_an_empty_generation_keeps_those_there_were(lake: Path) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1], "x": ["x"], "_vdk_run_id": ["r"]})))
    publish(destination)
    assert dataset(lake).schema == pa.schema({"id": pa.int64(), "x": pa.string()})
    publish(destination, replace(REPLACE, name="never"))
    assert not (lake / "never").exists()


def test_a_generation_brings_its_own_types_unless_they_are_frozen(lake: Path) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    stage(destination, pa.table({"id": ["x"]}))
    with pytest.raises(DestinationError, match="on_schema_change = 'freeze'"):
        publish(destination, replace(REPLACE, evolve=False))
    assert ids(lake) == [1]
    publish(destination)
    assert ids(lake) == ["x"]


def test_foreign_files_outlive_every_generation(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    foreign = {"_SUCCESS": b"", ".notes.txt": b"mine", "_part-1.parquet": b"no data"}
    for name, content in foreign.items():
        (lake / "orders" / name).write_bytes(content)
    (lake / "orders" / "more").mkdir()
    destination = opened(lake)
    for number in (2, 3):
        stage(destination, pa.table({"id": [number]}))
        publish(destination)
    destination.commit(unit(rows(APPEND, {"id": ["text"]})))
    assert {name: (lake / "orders" / name).read_bytes() for name in foreign} == foreign
    assert (lake / "orders" / "more").is_dir()
    (lake / "orders" / "_part-1.parquet").unlink()
    assert ids(lake) == ["3", "text"]


def test_where_folders_cannot_be_exchanged_the_old_one_is_moved_away_first(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vdk.plugin.ingest_arrow.parquet.file_moves.exchange", lambda first, second: False)
    test_foreign_files_outlive_every_generation(lake)
    assert left_over(lake) == []


@pytest.mark.parametrize("spec", [UPSERT, replace(UPSERT, soft_deletes=True)])
def test_upserts_and_deletes_are_refused(lake: Path, spec: TableSpec) -> None:
    destination = opened(lake)
    assert destination.write_modes == {"append", "replace"}
    assert not destination.deletes
    with pytest.raises(DestinationError, match='cannot upsert rows: use write_mode = "append"'):
        destination.commit(unit(rows(spec, {"id": [1]})))
    with pytest.raises(DestinationError, match="cannot delete rows by key: append the deletes"):
        destination.commit(unit(deletes(spec, {"id": [1]})))
    assert not (lake / "orders").exists()


NAMES = [
    "a/b",
    "..",
    ".",
    "../../escaped",
    "con",
    "LPT1.txt",
    'a"; drop table orders',
    "año",
    "表",
    "_hidden",
    ".hidden",
    "dot.",
    "key=value",
    "100%",
    "%2F",
    "a*b?[c]{d}",
    "with space",
    " around ",
    "back\\slash",
    "new\nline",
    "e\u0301",
    "x" * 255,
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_folder_within_the_target_that_tells_the_name(lake: Path, name: str) -> None:
    land(lake, rows(replace(APPEND, name=name), {"id": [1]}))
    (folder,) = (path for path in lake.iterdir() if path.name != "_vdk")
    assert unquote(folder.name) == name
    assert folder.name[0] not in "_."
    assert opened(lake).has_table(name)
    assert ds.dataset(folder).to_table().to_pylist() == [{"id": 1}]
    with duckdb.connect() as connection:
        found = connection.execute("SELECT * FROM read_parquet(?)", [f"{folder}/*.parquet"]).fetchall()
    assert found == [(1,)]
    assert [path.name for path in lake.parent.iterdir()] == ["lake"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("x" * 256, "256 bytes.*destination_table"),
        ("表" * 90, "270"),
        ("\ud800", "UTF-8 cannot encode the name"),
    ],
)
def test_a_name_that_no_folder_can_have_is_an_error(lake: Path, name: str, problem: str) -> None:
    with pytest.raises(DestinationError, match=problem):
        land(lake, rows(replace(APPEND, name=name), {"id": [1]}))


@pytest.mark.parametrize(("one", "other"), [("Orders", "orders"), ("é", "e\u0301"), ("STRASSE", "straße")])
def test_names_that_the_file_system_takes_for_one_are_an_error(lake: Path, one: str, other: str) -> None:
    opened(lake).close()
    if not (lake / "_VDK").exists():
        (lake / "_VDK").symlink_to("_vdk")  # by which a file system shows that it ignores case
    land(lake, rows(replace(APPEND, name=one), {"id": [1]}))
    with pytest.raises(DestinationError, match="differ in upper and lower case or in the form of their accents"):
        land(lake, rows(replace(APPEND, name=other), {"id": [1]}))
    land(lake, rows(replace(APPEND, name=one), {"id": [2]}))


def test_columns_that_differ_in_case_only_are_an_error(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    with pytest.raises(DestinationError, match="'id' and 'ID'"):
        land(lake, rows(APPEND, {"ID": [1]}))


def test_a_schema_is_a_folder_with_states_of_its_own(lake: Path) -> None:
    destination = opened(lake, "?schema=raw data")
    destination.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
    assert states(lake / "raw data") == [("", 1, {"n": 1})]
    assert opened(lake).load_states("shop") == []
    assert opened(lake / "raw data").identity() == destination.identity()
    with pytest.raises(DestinationError, match="is a Parquet target itself"):
        land(lake, rows(replace(APPEND, name="raw data"), {"id": [1]}))


def test_the_folder_of_a_table_is_no_target(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    with pytest.raises(ConfigurationError, match="name its parent"):
        opened(lake / "orders")
    assert not (lake / "orders" / "_vdk").exists()


def test_small_files_are_merged_where_that_is_asked_for(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth commit finds four of them; a file that is no more small is let alone."""
    monkeypatch.setattr("vdk.plugin.ingest_arrow.parquet.table.SMALL", 100_000)
    destination = opened(lake, "?merge_files=4")
    large = [*range(100, 30_100)]
    destination.commit(unit(rows(APPEND, {"id": large, "was": [f"{number * 7919 % 2**32}" for number in large]})))
    (first,) = files(lake)
    counts = []
    for number in range(9):
        destination.commit(unit(rows(APPEND, {"id": [number], f"c{number % 2}": [number]})))
        counts.append(len(files(lake)))
    assert counts == [2, 3, 4, 5, 3, 4, 5, 3, 4]
    assert ids(lake) == [*range(9), *large]
    assert query(lake, "SELECT sum(c0), sum(c1), count(was) FROM orders") == [(20, 16, 30_000)]
    assert first in files(lake)
    merged = pq.read_metadata(lake / "orders" / files(lake)[2])
    assert (merged.num_rows, merged.num_row_groups) == (7, 1)


def test_a_commit_without_rows_adds_no_file(lake: Path) -> None:
    """A run that finds nothing new makes sure that its table is there, and it is."""
    spec = replace(APPEND, schema=pa.schema({"id": pa.int64()}))
    for _ in range(3):
        land(lake, rows(spec, pa.table({"id": pa.array([], pa.int64())})))
    assert len(files(lake)) == 1
    land(lake, rows(spec, {"id": [1]}))
    # type ignored: it has one
    land(lake, rows(replace(spec, schema=spec.schema.append(pa.field("b", pa.string()))), {"id": [2]}))  # type: ignore[union-attr]
    land(lake, rows(spec, {"id": []}))
    assert len(files(lake)) == 3
    assert ids(lake) == [1, 2]


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "brotli", "none"])
def test_files_are_compressed_as_asked_for(lake: Path, compression: str) -> None:
    land(lake, rows(APPEND, {"id": [1] * 1000}), options=f"?compression={compression}")
    (name,) = files(lake)
    used = pq.read_metadata(lake / "orders" / name).row_group(0).column(0).compression
    assert used == ("UNCOMPRESSED" if compression == "none" else compression.upper())


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("parquet://lake", "three slashes"),
        ("parquet:///", "three slashes"),
        ("parquet:///lake?compression=zip", "'compression' is 'zip', and must be one of zstd"),
        ("parquet:///lake?file_rows=0", "'file_rows' is '0'"),
        ("parquet:///lake?file_rows=1e6", "'file_rows' is '1e6'"),
        ("parquet:///lake?lock_timeout=soon", "'lock_timeout'"),
        ("parquet:///lake?schema=", "'schema' is not a folder name"),
        ("parquet:///lake?mode=x", "unknown option 'mode'.*schema, compression, file_rows, merge_files"),
    ],
)
def test_a_target_that_cannot_be_read_is_an_error(tmp_path: Path, target: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        arrow_destination(target, folder=tmp_path)


def test_the_identity_is_the_folder_however_it_is_written(lake: Path, tmp_path: Path) -> None:
    lake.mkdir()
    (tmp_path / "link").symlink_to(lake)
    targets = ["parquet:///lake", f"parquet:///{lake}", "PARQUET:///./lake?compression=none", "parquet:///link"]
    assert {arrow_destination(target, folder=tmp_path).identity() for target in targets} == {f"arrow parquet:///{lake}"}
