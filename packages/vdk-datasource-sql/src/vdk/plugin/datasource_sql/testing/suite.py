# SPDX-License-Identifier: Apache-2.0
"""The checks of every database: types, ties, NULLs, names, changes of the schema."""

from __future__ import annotations

import datetime as dt
import pickle
import threading
from typing import Any, ClassVar

import pytest

from vdk.plugin.datasource_base.contract import ConfigurationError, StateError, VerifiableStream
from vdk.plugin.datasource_base.parts import row_hashes
from vdk.plugin.datasource_base.testing import Landing

from ..stream import IncrementalStream
from .database import NAMES, START, SqlDatabase, TypeCase
from .landed import opened, run, run_part

TICK = dt.timedelta(minutes=1)
IDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)


class SqlConformance:
    """What every source of a database does.

    Subclass it as ``Test…``, and define ``types`` and the fixture ``database``.
    """

    types: ClassVar[tuple[TypeCase, ...]] = ()
    """Each type of the database that has a value, once at least."""

    @pytest.fixture
    def database(self) -> SqlDatabase:
        pytest.fail(f"{type(self).__name__} must define the fixture `database`: an SqlDatabase without tables")

    def test_every_type_lands_exactly(self, database: SqlDatabase) -> None:
        """A value that lands as another one is never found again; and NULL of each type lands as NULL."""
        assert self.types, "types must list the types of the database"
        columns = {f"c{number}": case.declared for number, case in enumerate(self.types)}
        database.create("t", {"id": database.integer, **columns})
        table = database.quoted("t")
        database.execute(f"INSERT INTO {table} VALUES (1, {', '.join(case.literal for case in self.types)})")
        database.execute(f"INSERT INTO {table} ({database.quoted('id')}) VALUES (2)")
        with opened(database.source(), "t") as stream:
            schema = stream.schema()
            landed = run(stream)
        assert schema is not None
        assert not landed.rejected
        full, empty = sorted(landed.rows, key=lambda row: row["id"])
        for name, case in zip(columns, self.types, strict=True):
            assert schema.fields.field(name).type == case.arrow, case
            assert full[name] == case.value, case
            assert empty[name] is None, case

    @pytest.mark.parametrize("index", [(), ("c",), ("c", "id")])
    def test_a_run_stops_and_continues_within_ties(self, database: SqlDatabase, index: tuple[str, ...]) -> None:
        """One statement gives a thousand rows the same time, and a page ends among them."""
        self._ties(database, index)
        for payloads in range(1, 6):
            with opened(self._by_cursor(database, page_rows=3), "t") as stream:
                first = run_part(stream, payloads)
                rest = run(stream, first.state)
                again = run(stream, rest.state)
            assert sorted(first.column("id") + rest.column("id")) == list(IDS), payloads
            assert again.rows == [], payloads

    @pytest.mark.parametrize("index", [(), ("c",), ("c", "id")])
    def test_a_row_at_the_highest_cursor_lands_later(self, database: SqlDatabase, index: tuple[str, ...]) -> None:
        """It was written in the same instant as the last one that was read."""
        self._ties(database, index)
        with opened(self._by_cursor(database, page_rows=5), "t") as stream:
            first = run(stream)
            database.insert("t", [(13, START + 2 * TICK)])
            assert run(stream, first.state).column("id") == [13]

    @pytest.mark.parametrize("index", [(), ("c",), ("c", "id")])
    def test_rows_without_a_cursor_land_once(self, database: SqlDatabase, index: tuple[str, ...]) -> None:
        """And again when they change; they are not lost, nor read as the first or last ones."""
        self._ties(database, index)
        database.insert("t", [(number, None) for number in range(20, 30)])
        with opened(self._by_cursor(database, page_rows=4), "t") as stream:
            for payloads in (1, 2, 3):
                first = run_part(stream, payloads)
                rest = run(stream, first.state)
                assert sorted(first.column("id") + rest.column("id")) == [*IDS, *range(20, 30)], payloads
            assert run(stream, rest.state).rows == []
            database.insert("t", [(30, None)])
            assert run(stream, rest.state).column("id") == [30]

    def test_a_range_lands_without_a_state(self, database: SqlDatabase) -> None:
        """``run --since … --until …``: from the first bound on and below the second, with all ties; NULL is in none."""
        self._ties(database, ())
        database.insert("t", [(20, None)])
        database.create("n", {"id": database.integer, "c": database.integer}, key="id")
        database.insert("n", [(number, number) for number in IDS])
        first, second = (f"{START + TICK * number:%Y-%m-%dT%H:%M:%S}" for number in (1, 2))
        source = database.source(tables={"t": {"cursor": "c"}, "n": {"cursor": "c"}, "p": {"cursor": False}})
        database.create("p", {"id": database.integer}, key="id")
        with opened(source, "t") as stream:
            for begin, end, ids in (
                (first, second, [6, 7, 8, 9, 10]),
                (f"{first}Z", None, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
                (None, first, [11, 12]),
            ):
                landed = run(stream.between(begin, end))
                assert (sorted(landed.column("id")), landed.state) == (ids, {}), (begin, end)
            assert stream.count_rows() == len(IDS) + 1
            for begin, end, problem in (("7 o'clock", None, "--since: .*does not fit"), (second, first, "is empty")):
                with pytest.raises(ConfigurationError, match=problem):
                    run(stream.between(begin, end))
            stream.check_state("", run(stream).state)
            with pytest.raises(StateError, match="not written by this source"):
                stream.check_state("", {"next": 1})
        with opened(source, "n") as stream:
            assert sorted(run(stream.between("3", "6")).column("id")) == [3, 4, 5]
        with opened(source, "p") as stream, pytest.raises(ConfigurationError, match=r"no cursor.*tables\.p\.cursor"):
            stream.between("1", None)

    @pytest.mark.parametrize("index", [(), ("c",), ("c", "id")])
    def test_a_cluster_reads_ranges(self, database: SqlDatabase, index: tuple[str, ...]) -> None:
        """In any number of parts, every row up to the end of a batch is read once, and none of an earlier batch.

        A row that comes between the plan of a batch and its reading, and is not above the end, is in the next one.
        """
        self._ties(database, index)
        database.insert("t", [(20, None), (21, None)])
        with opened(self._by_cursor(database, page_rows=2), "t") as stream:
            assert isinstance(stream, IncrementalStream)
            first = stream.end({})
            database.insert("t", [(number, START + TICK * (number - 20)) for number in range(30, 39)])
            database.insert("t", [(22, None), (40, START + 2 * TICK)])
            assert _in_parts(stream, {}, first, parts=3) == (4, [*IDS, 20, 21])
            assert _in_parts(stream, {}, first, parts=2) == (3, [*IDS, 20, 21])
            assert _in_parts(stream, {}, None, parts=20) == (14, [*IDS, 20, 21, 22, *range(30, 39), 40])
            for parts, min_rows in ((1, 2), (4, 100)):
                assert not stream.split({}, first, parts=parts, min_rows=min_rows)
            later = database.literal(START + 18 * TICK)
            database.execute(f"UPDATE {database.quoted('t')} SET {database.quoted('c')} = {later} WHERE id = 3")
            second = stream.end(first)
            count, ids = _in_parts(stream, first, second, parts=3)
            is_cut = bool(index and stream.plan.table.indexes)  # a source may name none
            assert (count, ids) == (4 if is_cut else 1, [3, 22, *range(30, 39), 40])
            assert stream.end(second) == second
            assert not stream.split(second, second, parts=3, min_rows=1)

    def test_a_cluster_reads_ranges_of_a_table_without_a_cursor(self, database: SqlDatabase) -> None:
        """By its key, of which each range has the same number of rows; a table without one is read as it is."""
        database.create("t", {"id": database.text, "c": database.integer}, key="id")
        database.insert("t", [(value, 1) for value in ("", "'", "%s", "\\", "a", "ö名😀", "b", "c", "d")])
        database.create("n", {"id": database.integer})
        database.insert("n", [(1,), (2,), (3,)])
        source = database.source(tables={"t": {"cursor": False}})
        with opened(source, "t") as stream:
            ranges = [run(part).column("id") for part in stream.split({}, parts=3, min_rows=2)]
            assert sorted(map(len, ranges)) == [2, 3, 4]
            assert sorted(value for part in ranges for value in part) == sorted(run(stream).column("id"))
        with opened(source, "n") as stream:
            assert not stream.split({}, parts=3, min_rows=1)

    @pytest.mark.parametrize("values", [False, True])
    def test_a_state_claims_what_has_landed(self, database: SqlDatabase, values: bool) -> None:
        """And neither what came since, nor what the next run reads again; a row that is lost is read by its key."""
        self._ties(database, ("c", "id"))
        database.insert("t", [(20, None)])
        with opened(self._by_cursor(database, page_rows=3), "t") as stream:
            assert isinstance(stream, VerifiableStream)
            states = {"": run(stream).state}
            database.insert("t", [(13, START + 3 * TICK), (14, START + 2 * TICK), (21, None)])
            claimed: dict[bool, list[int]] = {True: [], False: []}
            hashes: dict[int, int] = {}
            proof = stream.proof(states, values=values)
            for part in proof.rows:
                ids = part.data.column("id").to_pylist()
                claimed[part.claimed] += ids
                hashes |= zip(ids, row_hashes(part.data), strict=True)
            assert (sorted(claimed[True]), sorted(claimed[False])) == ([*IDS, 20], [13, 14, 21])
            assert len(set(hashes.values())) == len(hashes)
            again = run(stream.with_hashes({hashes[3], hashes[20]}, proof.columns))
            assert (sorted(again.column("id")), again.state) == ([3, 20], {})

    def test_names_of_every_character(self, database: SqlDatabase) -> None:
        """Quotes, percent signs, colons, backslashes and other alphabets are parts of names."""
        unknown = set(database.names) - set(NAMES)
        assert not unknown, f"names has {unknown}, which the suite does not know"
        columns = dict.fromkeys(database.names, database.integer)
        for table in database.names:
            database.create(table, columns, key=database.names[0])
            database.insert(table, [tuple(range(number, number + len(columns))) for number in (10, 20, 30)])
            tables = {table: {"cursor": database.names[1]}}
            with opened(database.source(tables=tables, page_rows=2), table) as stream:
                first = run_part(stream, 1)
                rest = run(stream, first.state)
            assert list(rest.rows[0]) == list(columns), table
            assert first.column(database.names[1]) + rest.column(database.names[1]) == [11, 21, 31], table

    def test_values_of_every_character(self, database: SqlDatabase) -> None:
        """In a key, by which the next page begins, and in a filter."""
        values = ["'", '"', "\\", "\\'", "%", "%s", "%(x)s", ":x", "?", "\t\r\n", "ö名😀", "a", ";--"]
        database.create("t", {"id": database.text, "c": database.time}, key="id")
        database.insert("t", [(value, START) for value in values])
        with opened(self._by_cursor(database, page_rows=1), "t") as stream:
            first = run_part(stream, 6)
            rest = run(stream, first.state)
        assert sorted(first.column("id") + rest.column("id")) == sorted(values)
        for value in values:
            condition = {"sql": f"{database.quoted('id')} = :value", "params": {"value": value}}
            with opened(database.source(tables={"t": {"cursor": False, "where": condition}}), "t") as stream:
                assert run(stream).column("id") == [value]

    def test_a_column_is_added(self, database: SqlDatabase) -> None:
        """The next run has it, with the rows that are new."""
        self._ties(database, ())
        with opened(self._by_cursor(database), "t") as stream:
            first = run(stream)
        database.execute(f"ALTER TABLE {database.quoted('t')} ADD COLUMN x {database.integer}")
        database.insert("t", [(13, START + 3 * TICK, 7)])
        with opened(self._by_cursor(database), "t") as stream:
            second = run(stream, first.state)
            third = run(stream, second.state)
        assert {row["id"]: row["x"] for row in second.rows}[13] == 7
        assert third.rows == []

    def test_a_column_is_dropped(self, database: SqlDatabase) -> None:
        """The next run is without it."""
        database.create("t", {"id": database.integer, "c": database.time, "x": database.integer}, key="id")
        database.insert("t", [(number, START, number) for number in IDS])
        with opened(self._by_cursor(database), "t") as stream:
            first = run(stream)
        database.execute(f"ALTER TABLE {database.quoted('t')} DROP COLUMN x")
        database.insert("t", [(13, START + TICK)])
        with opened(self._by_cursor(database), "t") as stream:
            second = run(stream, first.state)
            third = run(stream, second.state)
        assert {tuple(row) for row in second.rows} == {("id", "c")}
        assert 13 in second.column("id")
        assert third.rows == []

    def test_a_column_is_dropped_while_a_source_is_connected(self, database: SqlDatabase, landing: Landing) -> None:
        """The run fails and says so, or lands what there is; the next run has every row."""
        self._ties(database, ())
        source = self._by_cursor(database)
        with opened(source, "t") as stream:
            database.execute(f"ALTER TABLE {database.quoted('t')} DROP COLUMN c")
            with pytest.raises(Exception, match=r"\bc\b"):
                run(stream)
        landing.run(database.source)
        assert sorted(row["id"] for row in landing.tables["t"]) == list(IDS)

    def test_two_sources_read_at_once(self, database: SqlDatabase) -> None:
        """They share nothing that one of them could break."""
        self._ties(database, ("c", "id"))
        landed: list[list[int]] = []

        def read() -> None:
            with opened(self._by_cursor(database, page_rows=1), "t") as stream:
                landed.append(sorted(run(stream).column("id")))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert landed == [list(IDS)] * 4

    @pytest.fixture
    def landing(self) -> Any:
        """A memory destination for one test."""
        with Landing.fresh() as landing:
            yield landing

    def _ties(self, database: SqlDatabase, index: tuple[str, ...]) -> None:
        """Twelve rows of three times; the groups are larger than a page, and the key runs against the time."""
        database.create("t", {"id": database.integer, "c": database.time}, key="id")
        if index:
            database.index("t", *index)
        database.insert("t", [(number, START + TICK * (2 - (number - 1) // 5)) for number in reversed(IDS)])

    def _by_cursor(self, database: SqlDatabase, **options: Any) -> Any:
        return database.source(tables={"t": {"cursor": "c"}}, **options)


def _in_parts(stream: Any, state: Any, end: Any, *, parts: int) -> tuple[int, list[int]]:
    """In how many parts a stream is read, and the ids that they have, in order."""
    split = stream.split(state, end, parts=parts, min_rows=2)
    landed = [run(pickle.loads(pickle.dumps(part))) for part in split] or [run(stream, state, end)]
    return len(landed), sorted(row["id"] for part in landed for row in part.rows)
