"""A table keeps the rows that are not a stream's own, unless somebody has confirmed that they may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import QUICK, Lab, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import ConfigurationError, DataSourcePayload, FlowFailedError
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.parts import StateKey, TableBatch, TableSpec, infer_table
from vdk.plugin.datasource_base.parts.destination import CommitUnit
from vdk.plugin.datasource_base.runtime import execute
from vdk.plugin.datasource_base.runtime.scope import RunScope
from vdk.plugin.datasource_base.runtime.stored.adoption import Former, adopt_states
from vdk.plugin.datasource_base.testing import MemoryDestination

YES = RunScope(confirmed=True)


def whole(*rows: int, name: str = "t") -> Whole:
    """A stream that is read whole."""
    return Whole(name, lambda state: [payload(*({"n": n} for n in rows))])


def routed(tables: dict[str, list[int]], *, incremental: bool = False) -> Whole:
    """A stream whose rows go to several tables."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for table, rows in tables.items():
            yield payload(*({"n": n} for n in rows), destination_table=table)
        if incremental:
            yield payload(state={"seen": True})

    return Whole("t", read, incremental=incremental)


def run(lab: Lab, *streams: Whole, source: str, scope: RunScope | None = None, **entry: Any) -> None:
    lab.script(*streams, source=source).identity = f"the data of {source}"
    execute(lab.flow(source=source, **entry), lab.environment(QUICK, scope=scope or RunScope()))


def refused(lab: Lab, *streams: Whole, source: str, match: str, **entry: Any) -> None:
    """The run is refused before a row is read, and all tables stay."""
    before = {name: list(rows) for name, rows in lab.tables.items()}
    with pytest.raises(ConfigurationError, match=match):
        run(lab, *streams, source=source, **entry)
    assert lab.tables == before


class TestRowsOfAnotherSource:
    @pytest.mark.parametrize("mode", ["replace", "append"])
    def test_its_table_is_refused_and_the_remedies_help(self, lab: Lab, mode: str) -> None:
        run(lab, whole(1, 2), source="east", write_mode=mode)
        remedy = "add --yes" if mode == "replace" else "shared_table = true"
        match = (
            rf"table 't' has rows of stream 't' of source 'east' \(the data of east\), and stream 't' of source 'west' "
            rf'.*, write destination_table = "west_{{table}}", or, .*{remedy}'
        )
        refused(lab, whole(3), source="west", write_mode=mode, match=match)
        run(lab, whole(3), source="west", write_mode=mode, destination_table="west_{table}")
        assert (lab.numbers("t"), lab.numbers("west_t")) == ([1, 2], [3])
        if mode == "replace":
            run(lab, whole(4), source="west", write_mode=mode, scope=YES)
            assert lab.numbers("t") == [4]
            refused(lab, whole(1, 2), source="east", write_mode=mode, match="rows of stream 't' of source 'west'")
        else:
            run(lab, whole(4), source="west", write_mode=mode, shared_table=True)
            run(lab, whole(5), source="west", write_mode=mode)  # it has rows there now
            assert lab.numbers("t") == [1, 2, 4, 5]
            refused(lab, whole(9), source="east", write_mode="replace", match="rows of stream 't' of source 'west'")

    def test_one_id_for_two_sets_of_data_does_not_join_them(self, lab: Lab) -> None:
        run(lab, whole(1), source="shop")
        lab.script(whole(2), source="shop").identity = "the data elsewhere"
        match = r'\(the data elsewhere\) would replace them\..* destination_table = "shop_elsewhere_{table}"'
        with pytest.raises(ConfigurationError, match=match):
            execute(lab.flow(source="shop"), lab.environment(QUICK))
        assert lab.numbers("t") == [1]

    def test_a_table_that_was_dropped_is_free(self, lab: Lab) -> None:
        run(lab, whole(1), source="east", write_mode="append")
        MemoryDestination(lab.target).rows.pop("t")
        run(lab, whole(2), source="west", write_mode="append")
        assert lab.numbers("t") == [2]
        refused(lab, whole(1), source="east", write_mode="append", match="rows of stream 't' of source 'west'")

    @pytest.mark.parametrize("mode", ["replace", "append"])
    def test_a_table_that_rows_are_routed_to_is_refused_too(self, lab: Lab, mode: str) -> None:
        run(lab, whole(1, name="lines"), source="east")
        with pytest.raises(FlowFailedError, match="table 'lines' has rows of stream 'lines' of source 'east'"):
            run(lab, routed({"t": [1], "lines": list(range(40))}), source="west", write_mode=mode)
        assert lab.numbers("lines") == [1]


class TestRowsOfNobody:
    def test_they_are_replaced_only_if_that_is_confirmed(self, lab: Lab) -> None:
        """A job's own ingestion, or somebody's own table. Rows may be appended to it, and an empty one is replaced."""
        destination = MemoryDestination(lab.target)
        for name, count in {"t": 3, "u": 0}.items():
            rows = infer_table([{"n": n} for n in range(3)]).slice(0, count)
            batch = TableBatch(TableSpec(name, "append"), "rows", rows)
            destination.commit(CommitUnit(StateKey("", "", "", "", name), [batch], None, 0, ""))
        destination.owners.clear()
        run(lab, whole(7, name="u"), source="src")
        match = r'table \'t\' has 3 rows in memory .* that no run has landed .*destination_table = "src_{table}"'
        refused(lab, whole(8), source="src", match=match)
        run(lab, whole(8), source="src", write_mode="append")
        assert lab.numbers("t") == [0, 1, 2, 8]
        run(lab, whole(9), source="src")  # the table has rows of the stream now
        assert (lab.numbers("t"), lab.numbers("u")) == ([9], [7])

    def test_confirmed(self, lab: Lab) -> None:
        MemoryDestination(lab.target).rows.update({"t": [{"n": 1}]})
        run(lab, whole(2), source="src", scope=YES)
        assert lab.numbers("t") == [2]


class TestTablesWithoutRows:
    @pytest.mark.parametrize("full_refresh", [False, True])
    def test_a_routed_table_that_gets_no_row_becomes_empty(self, lab: Lab, full_refresh: bool) -> None:
        """Those of the same flow: not what it landed when its tables had other names, and no table that is shared."""
        mode: dict[str, Any] = {} if full_refresh else {"write_mode": "replace"}
        make = {"t": [1], "lines": [2], "kept": [3]}
        run(lab, routed(make, incremental=full_refresh), source="src", destination_table="old_{table}", **mode)
        run(lab, routed(make, incremental=full_refresh), source="src", **mode)
        if full_refresh:
            run(lab, whole(4, name="kept"), source="other", write_mode="append", shared_table=True)
        scope = RunScope(full_refresh=full_refresh)
        now = routed({"t": [5], **({} if full_refresh else {"kept": [3]})}, incremental=full_refresh)
        if full_refresh:
            lab.script(now, source="src").identity = "the data of src"
            with pytest.raises(FlowFailedError, match="delete 1 rows that the source does not have any more"):
                execute(lab.flow(source="src"), lab.environment(QUICK, scope=scope))
            assert lab.numbers("lines") == [2]
            scope = RunScope(full_refresh=True, confirmed=True)
        run(lab, now, source="src", scope=scope, **mode)
        assert (lab.numbers("t"), lab.tables["lines"], lab.numbers("old_lines")) == ([5], [], [2])
        assert lab.numbers("kept") == ([3, 4] if full_refresh else [3])

    def test_rejected_rows_of_somebody_else_stay(self, lab: Lab) -> None:
        rows = whole(1, name="t__rejected")
        run(lab, rows, source="other")
        run(lab, Whole("t", lambda state: [payload(*numbers(0, 3))]), source="src", on_bad_record="reject")
        assert lab.numbers("t__rejected") == [1]


def test_a_stream_with_states_of_an_earlier_release_keeps_its_table(lab: Lab) -> None:
    """Its rows landed before owners were recorded, or it has adopted the states."""
    run(lab, Whole("t", counting(3)), source="src")
    MemoryDestination(lab.target).owners.clear()
    run(lab, Whole("t", counting(5)), source="src", scope=RunScope(full_refresh=True))
    assert lab.numbers("t") == [0, 1, 2, 3, 4]


def test_a_stream_that_adopts_states_has_the_rows_before_them(lab: Lab) -> None:
    """Those of the former name belong to nobody else, so that a full refresh replaces them."""
    run(lab, Whole("t", counting(3)), source="old")
    lab.script(Whole("t", counting(5)), source="new").identity = "the data of old"
    adopt_states(lab.flow(source="new"), lab.environment(QUICK), Former(source="old"))
    for scope in (RunScope(), RunScope(full_refresh=True)):
        execute(lab.flow(source="new"), lab.environment(QUICK, scope=scope))
    assert lab.numbers("t") == [0, 1, 2, 3, 4]
