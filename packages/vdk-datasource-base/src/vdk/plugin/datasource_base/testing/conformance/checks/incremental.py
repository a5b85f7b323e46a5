# SPDX-License-Identifier: Apache-2.0
"""Incremental streams: the checks, and how a plugin lets the suite change the data that its source reads."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pytest

from ....contract import BoundedPartition, DataSourcePayload
from ..base import Conformance
from ..capabilities import Level, needs
from ..harness.landing import STOPS, Landing
from ..harness.reading import MakeSource, opened, plain_rows, read, read_tables, rows_of, watched
from ..levels import NOT_APPLICABLE
from .rows import counted


class StreamEditor(ABC):
    """Writes rows into the data of one incremental stream, as the system that owns the data does.

    The suite identifies a row by a *number*, which becomes the primary key, and its cursor by a *tick*: a step in the
    unit of the cursor, such as a second. Tick 1 is above every cursor that exists at first, and the first hundred
    thousand ticks are in the past. For a table of a database::

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
    """The rows per page of the source. Configure a few: the suite writes groups of ties that are larger."""
    number_column: str = "id"
    """The column that holds a row's number."""
    lookback: int = 0
    """How many ticks below the highest cursor a row may still appear and be read, as the source documents it."""
    null_cursor: Literal["include", "exclude", "fail", "impossible"] = "impossible"
    """What the source does with rows without a cursor; ``impossible``: every row has one."""
    far_future: int | None = None
    """A tick years after now; None: the cursor is not a time, so no value is too high."""

    NEW: ClassVar[int] = 1_000_000
    """The data contains no numbers from this one on at first."""

    @abstractmethod
    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        """Insert the rows of these numbers with the cursor of ``tick``, or set the cursor of existing rows.

        None: without a cursor. The rows are committed when this returns.
        """

    def number(self, row: Mapping[str, Any]) -> int:
        """The number that a row was written with."""
        return int(row[self.number_column])


NEW = StreamEditor.NEW


@needs("incremental")
class IncrementalConformance(Conformance):
    """A stream with a cursor. Fixtures: ``source`` and ``editor``, over the same data."""

    overridable: ClassVar[tuple[str, ...]] = ("editor",)
    level: ClassVar[Level] = "beta"

    @pytest.fixture
    def editor(self) -> StreamEditor:
        """Changes the data that ``source`` reads."""
        pytest.fail(f"{type(self).__name__} must define the fixture `editor`: a StreamEditor of one incremental stream")

    def test_the_stream_yields_a_state(self, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
        """Without a state every run is a first run."""
        editor.write([NEW], 1)
        landing.run(source)
        assert any(stream == editor.stream for stream, _ in landing.states), (
            f"stream {editor.stream!r} yields no state: set the state of payloads, and name the cursor in the schema"
        )

    def test_a_rerun_reads_only_the_overlap_again(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Reading everything each night is correct, and takes longer each night."""
        step = editor.lookback + 1
        for number in range(10):
            editor.write([NEW + number], (number + 1) * step)
        landing.run(source)
        repeated = {number for number in _numbers_read(source, editor, landing) if NEW <= number < NEW + 9}
        assert not repeated, (
            f"a run without any change reads {len(repeated)} rows from before the lookback again: start at the state, "
            "less the lookback"
        )

    def test_a_rerun_after_one_more_row_reads_that_row_and_the_overlap(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A source that starts over as soon as there is a new row is slow on every working day."""
        step = editor.lookback + 1
        for number in range(10):
            editor.write([NEW + number], (number + 1) * step)
        landing.run(source)
        # Another partition has a position of its own, and reads the fixture's rows near it in each run.
        of_others = {number for number in _numbers_read(source, editor, landing) if number < NEW}
        editor.write([NEW + 10], 11 * step)
        numbers = _numbers_read(source, editor, landing)
        repeated = sorted(number for number in numbers if number not in {*of_others, NEW + 9, NEW + 10})
        assert NEW + 10 in numbers, "a run after one more row does not read that row: read everything after the state"
        assert not repeated, (
            f"a run after one more row reads {len(repeated)} rows from before the lookback again, such as "
            f"{repeated[0]}: start at the state, less the lookback"
        )

    def test_a_tie_group_larger_than_a_page_lands_whole(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A bulk update sets one time on thousands of rows; a page that starts with `>` skips the rest of them."""
        numbers = range(NEW, NEW + 3 * editor.page_rows + 1)
        editor.write(numbers, 50)
        landing.run(source)
        _assert_landed(numbers, editor, landing, "of one cursor value: order and page by (cursor, primary key)")

    def test_stopping_within_a_tie_group_loses_nothing(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Several frameworks store a state inside a group of equal cursors, and none resumes inside it."""
        numbers = range(NEW, NEW + 3 * editor.page_rows + 1)
        editor.write(numbers, 50)
        for payload in range(1, STOPS):
            with Landing.fresh() as stopped:
                ended = stopped.stop(source, after=payload, stream=editor.stream) is None
                stopped.run(source)
                _assert_landed(
                    numbers, editor, stopped,
                    f"of one cursor value after a stop at payload {payload}: store the key with the cursor in the "
                    "state, or change the state only when the cursor changes",
                )  # fmt: skip
            if ended:
                break

    def test_a_new_row_at_the_exact_boundary_lands(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Two frameworks lose a new row whose cursor equals the highest one that was read."""
        editor.write([NEW + 1], 50)
        landing.run(source)
        editor.write([NEW, NEW + 2], 50)
        landing.run(source)
        _assert_landed(
            [NEW, NEW + 2], editor, landing,
            "with the cursor of the last row of the run before: read from the stored cursor inclusively (`>=`)",
        )  # fmt: skip

    def test_a_late_row_inside_the_lookback_lands(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A transaction of a minute commits rows that are a minute old."""
        top = editor.lookback + 50
        editor.write([NEW], top)
        landing.run(source)
        editor.write([NEW + 1], top - editor.lookback)
        landing.run(source)
        _assert_landed([NEW + 1], editor, landing, "that came late: start at the stored cursor less the lookback")

    def test_a_changed_row_lands_again(self, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
        """An update raises the cursor of a row that has landed."""
        editor.write([NEW], 50)
        landing.run(source)
        before = _landed(editor, landing)[NEW]
        editor.write([NEW], 60 + editor.lookback)
        landing.run(source)
        after = _landed(editor, landing)[NEW]
        assert before != after, f"the changed row {after} did not land again: read by the cursor, not by the key"

    def test_rows_written_during_a_run_land_in_the_next(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Data changes while it is read: rows are added, and rows that were not read yet move."""
        numbers = range(NEW, NEW + 3 * editor.page_rows)
        editor.write(numbers, 10)
        written: list[str] = []

        def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
            if stream == editor.stream and not written:
                written.append(stream)
                editor.write([numbers[0], numbers[-1], NEW + 9999], 20)

        landing.run(watched(source, on_payload))
        landing.run(source)
        _assert_landed(
            [*numbers, NEW + 9999],
            editor,
            landing,
            "that were written during a run: fix the end of a run before its first page",
        )
        _assert_moved(NEW, NEW + 9999, source, editor, landing)

    def test_rows_written_between_a_stop_and_the_next_run_land(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """A killed run is resumed up to its own end; new rows are above or below it."""
        for number in range(3 * editor.page_rows):
            editor.write([NEW + number], number + 1)
        _stop_at(NEW, source, editor, landing)
        editor.write([NEW, NEW + 9998, NEW + 9999], 3 * editor.page_rows + 1)
        landing.run(source)
        landing.run(source)
        numbers = [*range(NEW, NEW + 3 * editor.page_rows), NEW + 9998, NEW + 9999]
        _assert_landed(
            numbers,
            editor,
            landing,
            "of a run that was stopped, and of the next two: read all rows below the run's end",
        )
        _assert_moved(NEW, NEW + 9999, source, editor, landing)

    def test_rows_without_a_cursor_follow_the_policy(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """In another framework, new rows without a cursor are skipped from the second run on, without an error."""
        policy = editor.null_cursor
        if policy == "impossible":
            pytest.skip(f'{NOT_APPLICABLE}editor.null_cursor is "impossible": every row has a cursor')
        landing.run(source)
        editor.write([NEW], None)
        error = landing.attempt(source)
        assert (error is not None) == (policy == "fail"), (
            f"null_cursor is {policy!r}, and a run with a row without a cursor gave {error!r}: raise an error only for "
            '"fail"'
        )
        landed = NEW in _landed(editor, landing)
        assert landed == (policy == "include"), (
            f"null_cursor is {policy!r}, and a row without a cursor {'landed' if landed else 'did not land'}: request "
            "such rows separately, since a comparison skips them"
        )

    def test_a_row_from_the_far_future_does_not_hide_later_rows(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """One row from the year 2999 moves the state to that year, and no row is new again."""
        if editor.far_future is None:
            schema = read_tables(source)[editor.stream].schema
            cursor = schema.cursor if schema is not None else None
            of_time = schema is not None and cursor and pa.types.is_temporal(schema.fields.field(cursor).type)
            assert not of_time, "the cursor is a time: set editor.far_future to a tick years ahead"
            pytest.skip(f"{NOT_APPLICABLE}editor.far_future is None: the cursor is not a time")
        editor.write([NEW], editor.far_future)
        first = landing.attempt(source)
        editor.write([NEW + 1], 50)
        second = landing.attempt(source)
        assert first or second or NEW + 1 in _landed(editor, landing), (
            "no row lands after a row from the far future: limit the run's end to now, or refuse such rows"
        )

    def test_a_read_stops_at_its_end(self, source: MakeSource, editor: StreamEditor) -> None:
        """A batch that is planned by its end, and read again after a failure, must have the same rows both times."""
        editor.write([NEW, NEW + 1, NEW + 2], 1)
        with opened(source) as made:
            stream = next(stream for stream in made.streams() if stream.name == editor.stream)
            for part in stream.partitions({}):
                if isinstance(part, BoundedPartition):
                    end = part.end({})
                    before = list(part.read({}, end))
                    editor.write([NEW + 3], editor.lookback + 2)
                    again = list(part.read({}, end))
                    numbers = [editor.number(row) for row in rows_of(again)]
                    assert NEW + 3 not in numbers, f"read(state, end) yields a row that was written after end {end}"
                    assert counted(rows_of(before)) == counted(rows_of(again)), (
                        f"read({{}}, {end}) yields other rows when it is asked again: read up to the end, no further"
                    )
                    state = next(payload.state for payload in reversed(again) if payload.state is not None)
                    assert NEW + 3 in [editor.number(row) for row in rows_of(read(part, state))], (
                        f"the row that was written after end {end} is not read from the last state either"
                    )


def _numbers_read(source: MakeSource, editor: StreamEditor, landing: Landing) -> list[int]:
    """The numbers of the rows that one more run reads."""
    numbers: list[int] = []

    def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == editor.stream:
            numbers.extend(editor.number(row) for row in plain_rows(payload))

    landing.run(watched(source, on_payload))
    return numbers


def _stop_at(number: int, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
    """A run that is stopped at the payload with a row."""
    stop = threading.Event()

    def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == editor.stream and number in [editor.number(row) for row in plain_rows(payload)]:
            stop.set()

    landing.attempt(watched(source, on_payload), stop=stop)


def _assert_moved(row: int, other: int, source: MakeSource, editor: StreamEditor, landing: Landing) -> None:
    """A row landed with its latest cursor, which is that of another row."""
    schema = read_tables(source)[editor.stream].schema
    landed, cursor = _landed(editor, landing), schema.cursor if schema is not None else None
    assert cursor is None or landed[row][cursor] == landed[other][cursor], (
        "a row that was changed after it was read keeps its old values: fix the end of a run before its first page, "
        "and start the next run there"
    )


def _landed(editor: StreamEditor, landing: Landing) -> dict[int, dict[str, object]]:
    return {editor.number(row): row for row in landing.tables.get(editor.stream, [])}


def _assert_landed(numbers: Sequence[int], editor: StreamEditor, landing: Landing, rule: str) -> None:
    """:param rule: which rows these are, a colon, and what to do."""
    missing = sorted(set(numbers) - set(_landed(editor, landing)))
    which, _, remedy = rule.partition(": ")
    rows = "1 row" if len(numbers) == 1 else f"{len(missing)} of {len(numbers)} rows"
    assert not missing, f"{rows} {which} did not land: {remedy}"
