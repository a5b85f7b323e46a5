"""Rows and deletes of one commit unit: few batches, however they alternate, with the last operation per key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from support import FaultyDestination, Lab, Whole, payload
from vdk.plugin.datasource_base import DataSourcePayload, FlowFailedError, StreamSchema
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.parts import CommitUnit, StateKey, TableBatch
from vdk.plugin.datasource_base.runtime import Options

KEYED = StreamSchema(pa.schema([("id", pa.int64()), ("v", pa.string())]), primary_key=("id",), cursor="id")
LARGE = Options(max_rejected="100%")
DELETED_AT = "_vdk_deleted_at"


class Recorded(FaultyDestination):
    """Remembers the batches of each call."""

    commits: ClassVar[list[list[tuple[str, str, int]]]] = []
    stages: ClassVar[list[list[tuple[str, str, int]]]] = []

    def commit(self, unit: CommitUnit) -> int:
        self.commits.append(_shape(unit.batches))
        return super().commit(unit)

    def stage(self, key: StateKey, batches: Any, run_id: str) -> None:
        self.stages.append(_shape(batches))
        super().stage(key, batches, run_id)


def _shape(batches: Sequence[TableBatch]) -> list[tuple[str, str, int]]:
    return [(batch.table.name, batch.kind, batch.data.num_rows) for batch in batches]


@pytest.fixture(autouse=True)
def recorded(lab: Lab) -> Iterator[None]:
    lab.registry.add_destination("recorded", f"{__name__}:Recorded")
    yield
    Recorded.commits.clear()
    Recorded.stages.clear()


def run(lab: Lab, *payloads: DataSourcePayload, schema: StreamSchema | None = KEYED, **flow: Any) -> Any:
    stream = Whole("t", lambda state: list(payloads), schema, incremental=True)
    return lab.run(stream, method="recorded", **{"options": LARGE, **flow})


def row(id: Any, v: str = "", **others: Any) -> DataSourcePayload:
    return payload({"id": id, "v": v}, **others)


def gone(*ids: Any, **others: Any) -> DataSourcePayload:
    return payload(*({"id": id_} for id_ in ids), kind="deletes", **others)


def keys(*ids: int) -> DataSourcePayload:
    return payload(*({"id": id_} for id_ in ids), kind="keys", state={"at": "sweep"})


def values(lab: Lab, table: str = "t") -> dict[Any, Any]:
    return {one["id"]: one.get("v") for one in lab.tables[table]}


def alternating(count: int) -> list[DataSourcePayload]:
    """Of five messages one is a delete; keys come again and again."""
    return [
        gone(n * 7 % 97, state={"n": n}) if n % 5 == 4 else row(n * 7 % 97, f"v{n}", state={"n": n})
        for n in range(count)
    ]


def spread(count: int, tables: Sequence[str]) -> list[DataSourcePayload]:
    """Rows and deletes of a few keys, for one table after the other."""
    routed = [tables[n % len(tables)] for n in range(count)]
    return [
        gone(n % 5, destination_table=table) if n % 3 == 2 else row(n % 5, f"v{n}", destination_table=table)
        for n, table in enumerate(routed)
    ]


def replayed(payloads: Sequence[DataSourcePayload]) -> dict[Any, Any]:
    rows: dict[Any, Any] = {}
    for one in payloads:
        data: Any
        for data in one.data or ():  # type: ignore[union-attr]  # these are rows, and not batches
            if one.kind == "rows":
                rows[data["id"]] = data["v"]
            else:
                rows.pop(data["id"], None)
    return rows


def test_rows_and_deletes_that_alternate_land_as_two_slices(lab: Lab) -> None:
    """A destination does the same work for five thousand messages as for two."""
    payloads = alternating(5000)
    summary = run(lab, *payloads)
    (commit,) = Recorded.commits
    assert [kind for _, kind, _ in commit] == ["rows", "deletes"]
    assert sum(count for _, _, count in commit) == 97, "one operation for each key"
    assert values(lab) == replayed(payloads)
    assert summary.streams[0].rows_read == 5000


def test_appended_rows_and_deletes_land_as_one_slice_with_every_operation_in_its_order(lab: Lab) -> None:
    """Under append nothing is reduced: a log stays a log."""
    payloads = alternating(1000)
    run(lab, *payloads, write_mode="append")
    assert Recorded.commits == [[("t", "rows", 1000)]]
    landed = [(table["id"], table.get("v"), table.get(DELETED_AT) is not None) for table in lab.tables["t"]]
    data: list[tuple[str, Any]] = [(one.kind, one.data[0]) for one in payloads if isinstance(one.data, list)]
    assert landed == [(one["id"], one.get("v"), kind == "deletes") for kind, one in data]


def test_metadata_that_differs_from_payload_to_payload_makes_no_slice_each(lab: Lab) -> None:
    """Each row has the metadata of its own payload, also where rows are rejected between them."""
    payloads = [
        payload({"id": n if n != 5 else "five", "v": "x"}, metadata={"offset": n}, state={"n": n}) for n in range(100)
    ]
    run(lab, *payloads, metadata_columns=["offset"], write_mode="append", on_bad_record="reject")
    assert Recorded.commits == [[("t", "rows", 99), ("t__rejected", "rows", 1)]]
    assert [(table["id"], table["_vdk_offset"]) for table in lab.tables["t"]] == [(n, n) for n in range(100) if n != 5]


def test_metadata_of_batches_and_of_rows_stays_with_them(lab: Lab) -> None:
    """Arrow batches, lists of rows and deletes, each with metadata, of which the last per key lands."""
    run(
        lab,
        DataSourcePayload(pa.table({"id": [1, 2], "v": ["a", "b"]}), metadata={"offset": 0}),
        payload({"id": 2, "v": "c"}, {"id": 3, "v": "d"}, metadata={"offset": 1}),
        gone(1, metadata={"offset": 2}),
        DataSourcePayload(pa.table({"id": [4, 1], "v": ["e", "f"]}), metadata={"offset": 3}, state={"n": 1}),
        metadata_columns=["offset"],
    )
    landed = {table["id"]: (table["v"], table["_vdk_offset"]) for table in lab.tables["t"]}
    assert landed == {2: ("c", 1), 3: ("d", 1), 4: ("e", 3), 1: ("f", 3)}
    ((rows,),) = Recorded.commits
    assert rows == ("t", "rows", 4)


@pytest.mark.parametrize(
    ("operations", "landed"),
    [
        ([gone(1), row(1, "again")], {1: "again"}),
        ([row(1, "a"), gone(1)], {}),
        ([row(1, "a"), gone(1), row(1, "b"), gone(1)], {}),
        ([row(1, "a"), gone(1), row(1, "b")], {1: "b"}),
        ([gone(2), gone(2), row(1, "a")], {1: "a"}),
        ([row(1, "a"), row(1, "b")], {1: "b"}),
        ([gone(0)], {}),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_the_last_operation_of_a_key_holds(
    lab: Lab, operations: list[DataSourcePayload], landed: dict[int, str], before: bool
) -> None:
    """Whether the table has the key already or not."""
    if before:
        run(lab, row(1, "old"), row(0, "zero", state={"n": 0}))
    run(lab, *operations, payload(state={"n": 1}))
    expected = ({1: "old", 0: "zero"} if before else {}) | landed
    for operation in operations:
        # type ignored: these are rows, and not batches
        if operation.kind == "deletes" and operation.data[0]["id"] not in landed:  # type: ignore[index]
            expected.pop(operation.data[0]["id"], None)  # type: ignore[index]  # these are rows, and not batches
    assert values(lab) == expected


def test_a_soft_delete_marks_the_last_row_before_it_and_a_later_row_clears_the_mark(lab: Lab) -> None:
    """A row that comes and goes within one commit is there afterwards, with its last values, and says that it went."""
    run(lab, row(1, "a"), gone(1), row(2, "b"), gone(2), row(2, "c"), row(3, "d"), row(3, "e"), gone(3, state={"n": 1}),
        deletes="soft")  # fmt: skip
    marked = {table["id"]: (table["v"], table.get(DELETED_AT) is not None) for table in lab.tables["t"]}
    assert marked == {1: ("a", True), 2: ("c", False), 3: ("e", True)}
    assert [kind for _, kind, _ in Recorded.commits[0]] == ["rows", "deletes"]


def test_a_sweep_stands_between_what_came_before_and_what_came_after_it(lab: Lab) -> None:
    """Rows before it that are not among its keys go, rows after it stay."""
    run(lab, row(1, "a"), row(2, "b"), gone(1), row(3, "c"), keys(2), row(3, "d"), row(1, "e"), gone(2),
        row(4, "f", state={"n": 1}))  # fmt: skip
    assert values(lab) == {3: "d", 1: "e", 4: "f"}


def test_units_of_several_batches_keep_their_order(lab: Lab) -> None:
    """Batches that are staged before a state comes are reduced each, and land one after the other."""
    payloads = [
        *(gone(n % 7) if n % 3 == 2 else row(n % 7, f"v{n}") for n in range(100)),
        payload(state={"n": 1}),
    ]
    run(lab, *payloads, options=Options(batch_rows=10))
    assert values(lab) == replayed(payloads)
    assert all(len(batches) <= 2 for batches in Recorded.stages)
    assert len(Recorded.stages) >= 9


def test_routed_tables_are_reduced_each_for_itself(lab: Lab) -> None:
    """The same key in two tables is two keys."""
    tables = ["a", "b"]
    payloads = spread(200, tables)
    run(lab, *payloads, payload(state={"n": 1}), destination_table="{table}")
    for table in tables:
        assert values(lab, table) == replayed([one for one in payloads if one.destination_table == table])
    assert len(Recorded.commits[0]) == 4


def test_payloads_of_several_tables_that_land_in_one_keep_their_order(lab: Lab) -> None:
    """However often they alternate."""
    payloads = spread(200, ["part0", "part1"])
    run(lab, *payloads, payload(state={"n": 1}), destination_table="all")
    assert values(lab, "all") == replayed(payloads)
    assert len(Recorded.commits[0]) <= 2


def test_batches_whose_columns_alternate_land_together(lab: Lab) -> None:
    """A column that a batch lacks is NULL in its rows."""
    batches = [
        DataSourcePayload(pa.table({"id": [n], "v": [f"v{n}"], **({"more": [n]} if n % 2 else {})}), state={"n": n})
        for n in range(100)
    ]
    run(lab, *batches)
    assert Recorded.commits == [[("t", "rows", 100)]]
    assert {table["id"]: table.get("more") for table in lab.tables["t"]} == {
        n: n if n % 2 else None for n in range(100)
    }


def test_batches_of_types_that_do_not_mix_keep_their_order(lab: Lab) -> None:
    """Where a column is of two types, appended rows land in the order they came all the same."""
    batches = [
        DataSourcePayload(pa.table({"n": [n, n], "x": ["text", "text"] if n % 2 else [1.5, 2.5]}), state={"n": n})
        for n in range(6)
    ]
    run(lab, *batches, schema=None)
    assert [table["n"] for table in lab.tables["t"]] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_transform_that_changes_the_type_of_a_key_keeps_the_order(lab: Lab) -> None:
    """The keys of rows and of deletes cannot be compared then, and land one after the other."""

    def as_text(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "id": str(one["id"])} for one in rows]

    run(lab, row(1, "a"), row(1, "b"), gone(2), row(2, "c"), row(1, "d", state={"n": 1}), transform=as_text)
    assert sorted((table["id"], table["v"]) for table in lab.tables["t"]) == [("1", "d"), ("2", "c")]


def test_a_transform_that_drops_and_adds_rows_leaves_each_in_its_turn(lab: Lab) -> None:
    """What it makes of a payload lands between what came before and after that payload."""

    def changed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "v": one["v"] + again} for one in rows if one["v"] != "drop" for again in ("", "!")]

    run(lab, row(1, "a"), gone(1), row(1, "drop"), row(2, "b"), gone(2), row(2, "c", state={"n": 1}), transform=changed)
    assert values(lab) == {2: "c!"}


def test_keys_that_are_equal_once_converted_are_one_key(lab: Lab) -> None:
    """The destination has one row for them, so the last operation holds whichever way its key was spelled."""
    schema = StreamSchema(pa.schema([("id", pa.timestamp("us", "UTC")), ("v", pa.string())]), ("id",), "id")
    run(lab, row("2026-01-01T00:00:00Z", "a"), row("2026-01-01T01:00:00+01:00", "b"), row("2026-01-02T00:00:00Z", "c"),
        gone(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), state={"n": 1}), schema=schema)  # fmt: skip
    assert values(lab) == {dt.datetime(2026, 1, 1, tzinfo=dt.UTC): "b"}


@pytest.mark.parametrize("bad", [row(None, "x"), gone(None), gone("one"), row("one", "x")])
def test_an_operation_without_a_key_is_a_bad_record(lab: Lab, bad: DataSourcePayload) -> None:
    """It fails its stream, or is set aside while what stands around it lands in its order."""
    operations = [row(1, "a"), gone(1), bad, row(1, "b"), row(2, "c"), gone(2, state={"n": 1})]
    with pytest.raises(FlowFailedError, match=r"primary key|does not fit"):
        run(lab, *operations)
    assert "t" not in lab.tables
    summary = run(lab, *operations, on_bad_record="reject")
    assert values(lab) == {1: "b"}
    assert summary.streams[0].rows_rejected == len(lab.tables["t__rejected"]) == 1


def test_a_bad_key_of_a_sweep_is_never_set_aside(lab: Lab) -> None:
    """Its row would be deleted: the stream fails, and nothing goes."""
    run(lab, row(1, "a"), row(2, "b", state={"n": 0}))
    sweep = payload({"id": 1}, {"id": None}, kind="keys", state={"n": 1})
    with pytest.raises(FlowFailedError, match="primary key"):
        run(lab, sweep, on_bad_record="reject")
    assert values(lab) == {1: "a", 2: "b"}


@pytest.mark.parametrize("kind", ["deletes", "keys"])
def test_a_batch_of_keys_without_the_key_names_the_column(lab: Lab, kind: Any) -> None:
    """Not with an error of Arrow's."""
    with pytest.raises(FlowFailedError, match=r"column of the primary key is missing"):
        run(lab, DataSourcePayload(pa.table({"other": [1]}), kind=kind, state={"n": 1}))


def test_a_dict_that_is_yielded_twice_is_two_rows(lab: Lab) -> None:
    """Also where another row is rejected."""
    same = {"id": 1, "v": "a"}

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload([same, {"id": "bad", "v": "x"}, same], state={"n": 1})

    lab.run(Whole("t", read, KEYED), method="recorded", options=LARGE, write_mode="append", on_bad_record="reject")
    assert [table["id"] for table in lab.tables["t"]] == [1, 1]
