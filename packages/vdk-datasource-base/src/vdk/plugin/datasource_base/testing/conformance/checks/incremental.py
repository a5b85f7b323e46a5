"""Incremental streams: the checks, and how a plugin lets the suite change the data that its source reads."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pytest

from ....contract import DataSourcePayload
from ..base import Conformance
from ..harness.landing import STOPS, Landing
from ..harness.reading import MakeSource, plain_rows, read_tables, watched


class StreamEditor(ABC):
    """Writes rows into one incremental stream's data, as the system that owns the data would.

    The suite knows rows by a *number*, which becomes the primary key, and their cursors by a *tick*: a step
    in the cursor's own unit, such as a second. Tick 1 is above every cursor that is there at first, and the
    first hundred thousand ticks are in the past. For a table of a database::

        class Orders(StreamEditor):
            stream = "orders"
            page_rows = 3
            null_cursor = "include"

            def write(self, numbers, tick):
                cursor = None if tick is None else f"{START + timedelta(seconds=tick):%Y-%m-%d %H:%M:%S}"
                execute("INSERT OR REPLACE INTO orders (id, updated_time) VALUES (?, ?)",
                        [(number, cursor) for number in numbers])
    """

    stream: str
    """The name of the stream."""
    page_rows: int
    """How many rows the source asks for at once; configure few, groups of ties are made larger than this."""
    number_column: str = "id"
    """The column that holds a row's number."""
    lookback: int = 0
    """How many ticks below the highest cursor a row may still appear and be found, by the source's documentation."""
    null_cursor: Literal["include", "exclude", "fail", "impossible"] = "impossible"
    """What becomes of rows without a cursor; ``impossible``: every row has one."""
    far_future: int | None = None
    """A tick that is years ahead of now; None: the cursor is no time, so that no value is too high."""

    NEW: ClassVar[int] = 1_000_000
    """Numbers from here on are not in the data at first."""

    @abstractmethod
    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        """Insert the rows of these numbers with the cursor of ``tick``, or set the cursor of those there are.

        None: without a cursor. What is written is committed when this returns.
        """

    def number(self, row: Mapping[str, Any]) -> int:
        """The number that a row was written with."""
        return int(row[self.number_column])


NEW = StreamEditor.NEW


class IncrementalConformance(Conformance):
    """What a stream with a cursor has to do. Fixtures: ``source`` and ``editor``, over the same data."""

    yours: ClassVar[tuple[str, ...]] = ("editor",)

    @pytest.fixture
    def editor(self) -> StreamEditor:
        """Changes the data that ``source`` reads."""
        pytest.fail(f"{type(self).__name__} must define the fixture `editor`: a StreamEditor of one incremental stream")

    def test_the_stream_yields_a_state(self, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
        """Without a state every run is the first."""
        editor.write([NEW], 1)
        landing.run(source)
        assert any(stream == editor.stream for stream, _ in landing.states), (
            f"stream {editor.stream!r} left no state: give payloads a state, and name the cursor in the schema"
        )

    def test_a_rerun_reads_only_the_overlap_again(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Reading everything each night is correct, and the reason why the nights get longer."""
        step = editor.lookback + 1
        for number in range(10):
            editor.write([NEW + number], (number + 1) * step)
        landing.run(source)
        again = {number for number in _read_by_run(source, editor, landing) if NEW <= number < NEW + 9}
        assert not again, (
            f"a run without any change reads {len(again)} rows again that are below the lookback: begin at the state, "
            "less the lookback"
        )

    def test_a_rerun_after_one_more_row_reads_that_row_and_the_overlap(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A source that begins at the start as soon as there is something new is slow on every working day."""
        step = editor.lookback + 1
        for number in range(10):
            editor.write([NEW + number], (number + 1) * step)
        landing.run(source)
        # another partition has a position of its own, near which it reads the fixture's rows in each run
        idle = {number for number in _read_by_run(source, editor, landing) if number < NEW}
        editor.write([NEW + 10], 11 * step)
        found = _read_by_run(source, editor, landing)
        again = sorted(number for number in found if number not in {*idle, NEW + 9, NEW + 10})
        assert NEW + 10 in found, "a run after one more row must read that row: ask for everything after the state"
        assert not again, (
            f"a run after one more row reads {len(again)} rows again that are below the lookback, such as "
            f"{again[0]}: begin at the state, less the lookback"
        )

    def test_a_tie_group_larger_than_a_page_lands_whole(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A bulk update gives thousands of rows one time; a page that begins with `>` drops the rest of them."""
        numbers = range(NEW, NEW + 3 * editor.page_rows + 1)
        editor.write(numbers, 50)
        landing.run(source)
        _all_there(numbers, editor, landing, "of one cursor value: order and go on by (cursor, primary key)")

    def test_stopping_within_a_tie_group_loses_nothing(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """No peer goes on inside a group of equal cursors; several store a state in the middle of one."""
        numbers = range(NEW, NEW + 3 * editor.page_rows + 1)
        editor.write(numbers, 50)
        for behind in range(1, STOPS):
            with Landing.fresh() as stopped:
                ended = stopped.stop(source, behind=behind, stream=editor.stream) is None
                stopped.run(source)
                _all_there(
                    numbers, editor, stopped,
                    f"of one cursor value after a stop behind payload {behind}: put the key beside the cursor in the "
                    "state, or move the state only when the cursor changes",
                )  # fmt: skip
            if ended:
                break

    def test_a_new_row_at_the_exact_boundary_lands(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Two peers lose a row that comes with exactly the highest cursor that was read before."""
        editor.write([NEW + 1], 50)
        landing.run(source)
        editor.write([NEW, NEW + 2], 50)
        landing.run(source)
        _all_there(
            [NEW, NEW + 2], editor, landing,
            "with the cursor of the last row that was read before: read from the stored cursor inclusively (`>=`)",
        )  # fmt: skip

    def test_a_late_row_inside_the_lookback_lands(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A transaction that takes a minute commits rows that are a minute old."""
        top = editor.lookback + 50
        editor.write([NEW], top)
        landing.run(source)
        editor.write([NEW + 1], top - editor.lookback)
        landing.run(source)
        _all_there([NEW + 1], editor, landing, "that came late: begin at the stored cursor less the lookback")

    def test_a_changed_row_lands_again(self, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
        """An update moves the cursor of a row that has landed before."""
        editor.write([NEW], 50)
        landing.run(source)
        before = _landed(editor, landing)[NEW]
        editor.write([NEW], 60 + editor.lookback)
        landing.run(source)
        after = _landed(editor, landing)[NEW]
        assert before != after, f"row {after} was changed and did not land again: read by the cursor, not by the key"

    def test_rows_written_during_a_run_land_in_the_next(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Data does not stand still while it is read: rows come, and rows that were not read yet move."""
        numbers = range(NEW, NEW + 3 * editor.page_rows)
        editor.write(numbers, 10)
        seen: list[str] = []

        def told(stream: str, partition: str, payload: DataSourcePayload) -> None:
            if stream == editor.stream and not seen:
                seen.append(stream)
                editor.write([numbers[0], numbers[-1], NEW + 9999], 20)

        landing.run(watched(source, told))
        landing.run(source)
        _all_there([*numbers, NEW + 9999], editor, landing, "that were written during a run: fix where it ends first")
        _moved(NEW, NEW + 9999, source, editor, landing)

    def test_rows_written_between_a_stop_and_the_next_run_land(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A run that was killed goes on at its own end; what came since is above or below it."""
        for number in range(3 * editor.page_rows):
            editor.write([NEW + number], number + 1)
        _stop_at(NEW, source, editor, landing)
        editor.write([NEW, NEW + 9998, NEW + 9999], 3 * editor.page_rows + 1)
        landing.run(source)
        landing.run(source)
        numbers = [*range(NEW, NEW + 3 * editor.page_rows), NEW + 9998, NEW + 9999]
        _all_there(numbers, editor, landing, "after a stop and the next two runs: keep the rows below the run's end")
        _moved(NEW, NEW + 9999, source, editor, landing)

    def test_rows_without_a_cursor_follow_the_policy(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """In a peer, new rows without a cursor vanish from the second run on, without a word."""
        policy = editor.null_cursor
        if policy == "impossible":
            pytest.skip("editor.null_cursor says that every row has a cursor")
        landing.run(source)
        editor.write([NEW], None)
        error = landing.attempt(source)
        assert (error is not None) == (policy == "fail"), f"null_cursor is {policy!r}, and the run gave {error!r}"
        there = NEW in _landed(editor, landing)
        assert there == (policy == "include"), (
            f"null_cursor is {policy!r}, and a row without a cursor {'landed' if there else 'did not land'}: ask for "
            "such rows by themselves, since a comparison leaves them out"
        )

    def test_a_row_from_the_far_future_does_not_hide_later_rows(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """One row from the year 2999 moves the state there, and nothing is ever new again."""
        if editor.far_future is None:
            schema = read_tables(source)[editor.stream].schema
            cursor = schema.cursor if schema is not None else None
            of_time = schema is not None and cursor and pa.types.is_temporal(schema.fields.field(cursor).type)
            assert not of_time, "the cursor is a time: say a tick that is years ahead as editor.far_future"
            pytest.skip("editor.far_future says that the cursor is no time")
        editor.write([NEW], editor.far_future)
        first = landing.attempt(source)
        editor.write([NEW + 1], 50)
        second = landing.attempt(source)
        assert first or second or NEW + 1 in _landed(editor, landing), (
            "behind a row from the far future nothing lands any more: cap the run's end at now, or refuse such rows"
        )


def _read_by_run(source: MakeSource, editor: StreamEditor, landing: Landing) -> list[int]:
    """The numbers of the rows that a further run reads."""
    found: list[int] = []

    def told(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == editor.stream:
            found.extend(editor.number(row) for row in plain_rows(payload))

    landing.run(watched(source, told))
    return found


def _stop_at(number: int, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
    """A run that is stopped behind the payload with a row."""
    stop = threading.Event()

    def told(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == editor.stream and number in [editor.number(row) for row in plain_rows(payload)]:
            stop.set()

    landing.attempt(watched(source, told), stop=stop)


def _moved(row: int, other: int, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
    """A row landed with the cursor it was given last, which is that of another row."""
    schema = read_tables(source)[editor.stream].schema
    landed, cursor = _landed(editor, landing), schema.cursor if schema is not None else None
    assert cursor is None or landed[row][cursor] == landed[other][cursor], (
        "a row that was changed after it was read kept its old values: fix where a run ends before its first page, "
        "and begin the next one there"
    )


def _landed(editor: StreamEditor, landing: Landing) -> dict[int, dict[str, object]]:
    return {editor.number(row): row for row in landing.tables.get(editor.stream, [])}


def _all_there(numbers: Sequence[int], editor: StreamEditor, landing: Landing, what: str) -> None:
    missing = sorted(set(numbers) - set(_landed(editor, landing)))
    assert not missing, f"{len(missing)} of {len(numbers)} rows did not land {what}"
