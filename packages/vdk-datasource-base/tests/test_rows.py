"""Rows on their way: rejected, transformed, given the columns of the framework, and counted in the summary."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import QUICK, AppendOnly, Lab, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    BadRecordError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourcePayload,
    FlowFailedError,
    RejectedRows,
    StreamSchema,
)
from vdk.plugin.datasource_base.runtime import Options, execute
from vdk.plugin.datasource_base.testing import MemoryDestination

KEYED = StreamSchema(pa.schema([("id", pa.int64()), ("v", pa.int64())]), primary_key=("id",), cursor="id")
BAD: list[dict[str, Any]] = [
    {"id": 1, "v": 1},
    {"id": 2, "v": "two"},
    {"id": 3, "v": 3},
    {"id": None, "v": 4},
    {"id": 5, "v": 5.5},
]


def bad(state: Any) -> list[DataSourcePayload]:
    return [payload(*BAD, state={"x": 1})]


SIMPLE = StreamSchema(pa.schema([("n", pa.int64())]))


def broken(rows: int, unfit: int) -> list[dict[str, Any]]:
    """So many rows, of which so many do not fit ``SIMPLE``."""
    return [{"n": "x" if number < unfit else number} for number in range(rows)]


def partly(rows: int, unfit: int) -> Whole:
    """A stream of such rows, read whole."""
    return Whole("t", lambda state: [payload(*broken(rows, unfit))], SIMPLE)


class TestRejected:
    def test_a_bad_record_fails_its_stream_by_default(self, lab: Lab) -> None:
        """Naming stream, column, key and value; no state is stored."""
        with pytest.raises(FlowFailedError, match=r"stream 't', column 'v', key \{'id': 2\}, value 'two'"):
            lab.run(Whole("t", bad, KEYED))
        assert lab.states == {}

    def test_rejected_rows_land_apart_with_the_reason(self, lab: Lab) -> None:
        """Whole, as JSON, with run and time; rows without a key among them; the others land."""
        report = lab.run(Whole("t", bad, KEYED), on_bad_record="reject").streams[0]
        assert [row["id"] for row in lab.tables["t"]] == [1, 3]
        assert (report.rows_read, report.rows_landed, report.rows_rejected) == (5, 2, 3)
        apart = lab.tables["t__rejected"]
        assert [json.loads(row["row"])["v"] for row in apart if row["column"] == "v"] == ["two", 5.5]
        assert {(row["source"], row["stream"], row["column"]) for row in apart} == {
            ("src", "t", "v"),
            ("src", "t", "id"),
        }
        assert all(isinstance(row["rejected_at"], dt.datetime) and row["run_id"] and row["reason"] for row in apart)
        assert [json.loads(row["row"]) for row in apart if row["column"] == "id"] == [{"id": None, "v": 4}]
        assert lab.states == {("t", ""): {"x": 1}}

    @pytest.mark.parametrize(("most", "fits"), [(3, True), (2, False)])
    def test_more_than_max_rejected_fails_the_stream(self, lab: Lab, most: int, fits: bool) -> None:
        """Before the rows that are too many land."""
        stream = Whole("t", bad, KEYED)
        if fits:
            lab.run(stream, on_bad_record="reject", max_rejected=most)
            return
        with pytest.raises(FlowFailedError, match="3 rows were rejected, more than max_rejected = 2"):
            lab.run(stream, on_bad_record="reject", max_rejected=most)
        assert lab.states == {}

    @pytest.mark.parametrize("mode", ["append", "replace"])
    @pytest.mark.parametrize(("bad", "fits"), [(2, True), (3, False)])
    def test_a_percentage_is_judged_at_the_end_of_a_short_stream(
        self, lab: Lab, mode: str, bad: int, fits: bool
    ) -> None:
        """5 % of 40 rows are 2. Where it is one unit, nothing of it lands; a later one begins anew."""
        stream = Whole("t", lambda state: [payload(*broken(40, bad), state={"x": 1})], SIMPLE)
        flow: dict[str, Any] = {"on_bad_record": "reject", "max_rejected": "5%", "write_mode": mode}
        if fits:
            assert lab.run(stream, options=Options(), **flow).streams[0].rows_rejected == bad
            return
        with pytest.raises(FlowFailedError, match=r"3 of 40 rows were rejected, more than max_rejected = 5%; the last"):
            lab.run(stream, options=Options(), **flow)
        assert not lab.tables.get("t")
        assert lab.states == {}

    @pytest.mark.parametrize(("bad", "fits"), [(10, True), (11, False)])
    def test_a_tenth_of_the_rows_may_be_rejected_by_default(self, lab: Lab, bad: int, fits: bool) -> None:
        """A stream that loses most of its rows has not succeeded. The message names the option."""
        stream = Whole("t", lambda state: [payload(*broken(100, bad))], SIMPLE)
        if fits:
            assert lab.run(stream, options=Options(), on_bad_record="reject").streams[0].rows_landed == 90
            return
        with pytest.raises(FlowFailedError, match=r"11 of 100 rows .* max_rejected = 10%; .* max_rejected = .100%"):
            lab.run(stream, options=Options(), on_bad_record="reject")
        assert lab.tables == {}
        lab.run(stream, options=Options(), on_bad_record="reject", max_rejected="100%")
        assert len(lab.tables["t"]) == 89

    def test_a_percentage_ends_a_long_stream_early(self, lab: Lab) -> None:
        """Once a thousand rows were read; before that the first rows say too little."""
        read = 0

        def rows(state: Any) -> Any:
            nonlocal read
            for page in range(100):
                read += 100
                yield payload(*broken(100, 20 if page else 100), state={"page": page})

        with pytest.raises(FlowFailedError, match=r"of \d+ rows were rejected, more than max_rejected = 10%"):
            lab.run(
                Whole("t", rows, SIMPLE), options=Options(batch_rows=100), on_bad_record="reject", max_rejected="10%"
            )
        assert 900 <= len(lab.tables["t"]) + len(lab.tables["t__rejected"]) < 1100

    def test_a_percentage_counts_all_partitions_and_no_row_twice(self, lab: Lab) -> None:
        """Rows that were read in vain do not make room for more; partitions are judged together, at the end."""
        failing = iter([True, True])

        def read(count: int, bad: int, fails: bool) -> Any:
            def rows(state: Any) -> Any:
                yield payload(*broken(count, bad))
                if fails and next(failing, False):
                    raise ConnectionFailedError("blip")

            return rows

        parts = {"worse": read(10, 4, True), "better": read(30, 0, False)}
        flow: dict[str, Any] = {"on_bad_record": "reject", "write_mode": "replace"}
        assert lab.run(Split("t", parts, SIMPLE), max_rejected="10%", **flow).streams[0].rows_rejected == 4
        failing = iter([True, True])
        with pytest.raises(FlowFailedError, match="4 of 40 rows"):
            lab.run(Split("t", parts, SIMPLE), max_rejected="9.9%", **flow)

    @pytest.mark.parametrize(
        ("limit", "message"),
        [
            ("many", r"max_rejected: 'many': it must be a number of rows .*, or a percentage"),
            ("0%", "a percentage must be more than 0%"),
            ("101%", "a percentage must be more than 0%"),
            ("-1", "it must be a number of rows"),
            ("1.5", "it must be a number of rows"),
            (0, 'max_rejected = "100%" to allow any number'),
        ],
    )
    def test_a_wrong_max_rejected_is_refused(self, lab: Lab, limit: Any, message: str) -> None:
        """Before anything is read, with what it can be."""
        with pytest.raises(ConfigurationError, match=message):
            lab.run(Whole("t", bad, KEYED), max_rejected=limit)

    def test_a_bound_without_rejection_is_reported(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        """It would hold for nothing."""
        lab.run(Whole("t", counting(1)), max_rejected="5%")
        assert "flows[0].max_rejected has no effect: the first bad row fails its stream" in caplog.text

    def test_rejected_rows_of_a_replaced_table_are_those_of_its_generation(self, lab: Lab) -> None:
        """A row that was mended has landed, so it is not among the rejected ones any more; appended ones stay."""
        flow: dict[str, Any] = {"on_bad_record": "reject", "write_mode": "replace"}
        for count in (3, 1, 0):
            lab.run(partly(5, count), **flow)
            assert (len(lab.tables["t"]), len(lab.tables["t__rejected"])) == (5 - count, count)
        for total in (2, 4):
            lab.run(partly(5, 2), on_bad_record="reject", write_mode="append")
            assert len(lab.tables["t__rejected"]) == total

    def test_a_stream_that_is_called_like_rejected_rows_keeps_its_table(self, lab: Lab) -> None:
        """It is not taken for rows that the other stream has rejected."""
        streams = [Whole(name, lambda state: [payload({"n": 2})]) for name in ("t__rejected", "t")]
        for _ in range(2):
            lab.run(*streams, write_mode="replace", max_parallel_partitions=1)
            assert lab.tables["t__rejected"] == [{"n": 2}]

    @pytest.mark.parametrize("names", [("t__rejected", "t"), ("t", "t__rejected")])
    def test_a_stream_that_lands_where_another_one_rejects_rows_is_refused(
        self, lab: Lab, names: tuple[str, str]
    ) -> None:
        """Before a row is read: later, rejected rows would be among its own. The line to write is in the error."""
        streams = [Whole(name, lambda state: [payload({"n": 2})]) for name in names]
        with pytest.raises(FlowFailedError, match=r"^1 of 2 streams failed") as caught:
            lab.run(*streams, on_bad_record="reject")
        assert "stream 't__rejected' lands its rows in table 't__rejected'" in str(caught.value)
        assert 'streams = ["t__rejected"]\ndestination_table = "t__rejected_rows"' in str(caught.value)
        assert set(lab.tables) == {names[0]}

    def test_the_keys_that_no_schema_declares_are_counted_for_each_table_of_a_run(self, lab: Lab) -> None:
        """Each becomes a column, whichever batch brings it."""

        def read(state: Any) -> Any:
            for batch in range(30):
                yield payload({f"key{batch}_{number}": 1 for number in range(100)}, state={"batch": batch})

        with pytest.raises(FlowFailedError, match="there are 2,100 different keys"):
            lab.run(Whole("t", read), write_mode="append", batch_rows=1)

    def test_rows_are_rejected_alike_wherever_they_are_found_unfit(self, lab: Lab) -> None:
        """By the source, by conversion, for want of a key, and behind a transform: the row, why, whence and when."""
        unfit = RejectedRows([({"id": 9, "v": 1}, BadRecordError("no good", stream="t"))])

        def read(state: Any) -> Any:
            yield DataSourcePayload(unfit)
            yield payload({"id": 1, "v": "x"}, {"id": None, "v": 2}, {"id": 3, "v": 3}, state={"x": 1})

        def keep(rows: Any) -> Any:
            return rows

        for transform, expected in ((None, [9, 1, None]), (keep, [9, None])):
            MemoryDestination.clear(lab.target)
            entry: dict[str, Any] = {"transform": transform} if transform is not None else {}
            lab.run(Whole("t", read, KEYED), on_bad_record="reject", write_mode="upsert", **entry)
            apart = lab.tables["t__rejected"]
            assert [json.loads(row["row"])["id"] for row in apart] == expected
            assert all(
                (row["source"], row["stream"]) == ("src", "t")
                and row["reason"]
                and row["run_id"]
                and row["rejected_at"]
                for row in apart
            )

    def test_rows_that_a_retry_reads_again_are_rejected_once(self, lab: Lab) -> None:
        """What a failed attempt rejected did not land, and does not count."""
        failing = iter([True, True])

        def read(state: Any) -> Any:
            yield payload(*BAD)
            if next(failing, False):
                raise ConnectionFailedError("blip")
            yield payload(state={"x": 1})

        report = lab.run(Whole("t", read, KEYED), on_bad_record="reject", max_rejected=3).streams[0]
        assert (report.rows_rejected, len(lab.tables["t__rejected"])) == (3, 3)

    @pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
    def test_a_source_may_reject_rows_itself(self, lab: Lab, mode: str) -> None:
        """The flow decides what becomes of them."""
        unfit = RejectedRows([({"id": 9, "v": b"\xff"}, BadRecordError("no text", stream="t", column="v"))])
        stream = Whole("t", lambda state: [payload({"id": 1, "v": 1}), DataSourcePayload(unfit)], KEYED)
        with pytest.raises(FlowFailedError, match="no text"):
            lab.run(stream, write_mode=mode)
        report = lab.run(stream, write_mode=mode, on_bad_record="reject").streams[0]
        assert (report.rows_landed, report.rows_rejected) == (1, 1)
        assert json.loads(lab.tables["t__rejected"][0]["row"]) == {"id": 9, "v": "/w=="}

    def test_a_source_that_raises_for_a_row_is_shown_how_to_reject_it(self, lab: Lab) -> None:
        """Under ``reject`` alone: elsewhere the row has to fail the stream."""

        def read(state: Any) -> Any:
            yield payload({"id": 1, "v": 1})
            raise BadRecordError("no good", key=9)

        with pytest.raises(FlowFailedError, match=r"key 9: no good.*DataSourcePayload\(RejectedRows\(\[\(row, error\)"):
            lab.run(Whole("t", read, KEYED), on_bad_record="reject")
        with pytest.raises(FlowFailedError, match="no good") as caught:
            lab.run(Whole("t", read, KEYED))
        assert "RejectedRows" not in str(caught.value)

    def test_a_table_of_the_source_may_end_in_rejected(self, lab: Lab) -> None:
        """Its rows are rows that landed."""
        report = lab.run(Whole("x__rejected", counting(5)), max_rejected=2).streams[0]
        assert (report.rows_landed, report.rows_rejected) == (5, 0)


class TestTransforms:
    def test_rows_change_on_their_way(self, lab: Lab) -> None:
        """Columns may come, go and change their type; what is dropped does not land; the state does."""

        def clean(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [{"n": row["n"], "text": str(row["n"])} for row in rows if row["n"] % 2]

        report = lab.run(Whole("t", counting(10)), transform=clean).streams[0]
        assert [row["text"] for row in lab.tables["t"]] == ["1", "3", "5", "7", "9"]
        assert (report.rows_read, report.rows_landed) == (10, 5)
        assert lab.states == {("t", ""): {"next": 10}}

    def test_one_that_drops_everything_still_moves_the_state(self, lab: Lab) -> None:
        """The rows were read and are not wanted."""
        lab.run(Whole("t", counting(10)), transform=lambda rows: None)
        assert lab.states == {("t", ""): {"next": 10}}

    def test_one_that_raises_fails_its_stream(self, lab: Lab) -> None:
        """With its own error."""

        def broken(rows: Any) -> Any:
            raise KeyError("missing")

        with pytest.raises(FlowFailedError, match="KeyError: 'missing'"):
            lab.run(Whole("t", counting(3)), transform=broken)
        assert lab.states == {}

    def test_one_that_is_not_found_stops_the_run_before_anything_connects(self, lab: Lab) -> None:
        """Also where it is the second flow's."""
        script = lab.script(Whole("t", counting(3)))
        flow = lab.flow()
        flow["flows"].append({"from": "src", "to": "lake", "transform": "no_such_module_x:f"})
        with pytest.raises(ConfigurationError, match=r"flows\[1\].transform.*the module .* does not exist"):
            execute(flow, lab.environment())
        assert script.calls == []


class TestMetadataColumns:
    def test_facts_of_the_run_and_metadata_of_the_payload(self, lab: Lab) -> None:
        """Each as ``_vdk_<name>``, also with deletes under append, and where a payload has none."""

        def read(state: Any) -> list[DataSourcePayload]:
            return [
                DataSourcePayload({"id": 1, "v": 1}, metadata={"page": 1, "etag": "a"}),
                DataSourcePayload({"id": 2, "v": 2}, metadata={"page": 2}),
                DataSourcePayload({"id": 1}, kind="deletes", state={"x": 1}),
            ]

        columns = ["synced_at", "run_id", "source", "stream", "page", "etag"]
        summary = lab.run(Whole("t", read, KEYED), metadata_columns=columns, write_mode="append")
        rows = lab.tables["t"]
        assert [(row.get("_vdk_page"), row.get("_vdk_etag")) for row in rows] == [(1, "a"), (2, None), (None, None)]
        assert {(row["_vdk_source"], row["_vdk_stream"], row["_vdk_run_id"]) for row in rows} == {
            ("src", "t", summary.run_id)
        }
        assert all(row["_vdk_synced_at"].tzinfo for row in rows)

    @pytest.mark.parametrize("columns", [["stream", "Stream"], ["deleted_at"]])
    def test_a_column_that_would_be_there_twice_is_refused(self, lab: Lab, columns: list[str]) -> None:
        """Before anything connects."""
        script = lab.script(Whole("t", counting(1)))
        with pytest.raises(ConfigurationError, match="metadata_columns"):
            lab.run(metadata_columns=columns)
        assert script.calls == []

    def test_a_column_that_no_payload_fills_is_reported(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        """It is most likely misspelt; one that some payloads fill is none of these."""

        def read(state: Any) -> Any:
            yield payload({"n": 1}, metadata={"page": 1})
            yield payload({"n": 2})

        lab.run(Whole("t", read), metadata_columns=["page", "sinced_at", "synced_at", "run_id"])
        assert "src.t: metadata_columns has 'sinced_at', which no payload has in its metadata" in caplog.text
        caplog.clear()
        lab.run(Whole("t", read), metadata_columns=["page"])
        assert "metadata_columns" not in caplog.text


class TestWriteModes:
    def test_an_upsert_needs_a_key(self, lab: Lab) -> None:
        """Asked for explicitly, it is refused before a row is read."""
        with pytest.raises(ConfigurationError, match="needs a primary key, and table 't' of stream 't' declares none"):
            lab.run(Whole("t", counting(3)), write_mode="upsert")
        assert lab.tables == {}

    def test_a_routed_table_without_a_key_refuses_an_upsert(self, lab: Lab) -> None:
        """The stream's own key is not that of another table."""

        class Routed(Whole):
            def schema(self, table: str | None = None) -> StreamSchema | None:
                return KEYED if table is None else None

        stream = Routed("t", lambda state: [payload({"id": 1}, destination_table="other", state={"x": 1})])
        with pytest.raises(FlowFailedError, match="table 'other' of stream 't' declares none"):
            lab.run(stream, write_mode="upsert")

    def test_a_destination_that_can_only_append_says_so_once(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        """It is warned about where nobody asked for it, and refuses what it cannot do."""
        assert AppendOnly.write_modes == {"append"}
        lab.run(Whole("t", counting(3)), Whole("u", counting(3)), method="AppendOnly")
        assert caplog.text.count("can only append") == 1
        caplog.clear()
        lab.run(method="AppendOnly", write_mode="append")
        assert "can only append" not in caplog.text
        with pytest.raises(ConfigurationError, match=r"does not support .*'replace'; write write_mode = .append"):
            lab.run(method="AppendOnly", write_mode="replace")

    @pytest.mark.parametrize(
        "template", ["{stram}", "{}", "{table", "{table!z}", "{table:{x}}", "{0}", "{table.x}", "{table:>9}"]
    )
    def test_a_wrong_destination_table_is_refused_before_anything_connects(self, lab: Lab, template: str) -> None:
        """With the placeholders there are."""
        script = lab.script(Whole("t", counting(1)))
        with pytest.raises(ConfigurationError, match="destination_table"):
            lab.run(destination_table=template)
        assert script.calls == []


KEYS = {
    "source", "destination", "stream", "table", "status", "partitions", "rows_read", "rows_landed", "rows_rejected",
    "bytes", "seconds", "retries", "state", "error",
}  # fmt: skip


class TestSummary:
    def test_it_tells_what_happened_stream_by_stream(self, lab: Lab, tmp_path: Path) -> None:
        """As JSON, for success and failure, with the state before and after."""
        lab.script(
            Whole("t", counting(12)),
            # type ignored: what the contract forbids
            Whole("bad", lambda state: [payload(*numbers(0, 3), state={"next": 3}), "garbage"]),  # type: ignore[list-item]
        )
        path = tmp_path / "summary.json"
        with pytest.raises(FlowFailedError) as caught:
            execute({**lab.flow(), "summary": str(path)}, lab.environment())
        summary = json.loads(path.read_text("utf-8"))
        assert summary == json.loads(json.dumps(caught.value.summary.as_dict()))
        assert {"status", "seconds", "streams"} <= summary.keys()
        assert summary["status"] == "failed"
        good, failed = summary["streams"]
        assert good.keys() >= KEYS
        assert failed.keys() >= KEYS
        assert good["state"] == {"before": {}, "after": {"": {"next": 12}}}
        assert (good["rows_read"], good["rows_landed"], good["partitions"], good["error"]) == (12, 12, 1, None)
        assert good["bytes"] > 0
        assert failed["status"] == "failed"
        assert failed["error"].startswith("DataSourceError: stream 'bad' yielded str")
        assert failed["state"]["after"] == {"": {"next": 3}}

    def test_a_source_may_count_what_matters_to_it(self, lab: Lab) -> None:
        """Counters of payloads are added up, never become columns, and cannot hide the runtime's own."""
        rows = [
            DataSourcePayload({"n": n}, metadata={"count:rows_held_back": 2, "count:rows_read": 90}) for n in range(3)
        ]
        report = lab.run(Whole("t", lambda state: rows)).streams[0]
        assert report.as_dict()["rows_held_back"] == 6
        assert report.as_dict()["rows_read"] == 3
        assert lab.tables["t"] == numbers(0, 3)

    def test_it_is_a_table_for_people(self, lab: Lab) -> None:
        """One line a stream; columns without anything in them are left out."""
        text = lab.run(Whole("t", counting(1234)), options=replace(QUICK, batch_rows=500)).table()
        assert "src.t" in text
        assert "1,234" in text
        assert "retries" not in text

    def test_a_summary_that_cannot_be_written_is_reported(self, lab: Lab, tmp_path: Path) -> None:
        """Before the first row moves, with a line to write; where it is found at the end only, the rows have landed."""
        lab.script(Whole("t", counting(2)))
        with pytest.raises(ConfigurationError, match=r"summary file .* it is a folder; write summary = .run\.json. or"):
            execute({**lab.flow(), "summary": str(tmp_path)}, lab.environment())
        assert lab.tables == {}
        late = tmp_path / "late"
        lab.script(Whole("t", counting(2, fail_at=lambda number: late.mkdir(exist_ok=True))))
        with pytest.raises(ConfigurationError, match=r"summary file .* cannot be written: Is a directory"):
            execute({**lab.flow(), "summary": str(late)}, lab.environment())
        assert lab.numbers("t") == [0, 1]

    def test_long_streams_are_told_about_while_they_run(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        """A log line at the start, every so often, and at the end."""

        def slow(state: Any) -> Any:
            for number in range(10):
                time.sleep(0.01)
                yield payload({"n": number})

        with caplog.at_level(logging.INFO, "vdk"):
            lab.run(Whole("t", slow), options=replace(QUICK, progress_seconds=0.02))
        assert "src.t: reading into lake.t" in caplog.text
        assert "rows/s" in caplog.text
        assert "src.t: succeeded, 10 rows read, 10 landed in lake.t" in caplog.text


CANARY = "canary-4d1f"


@pytest.mark.parametrize("where", ["stream", "connect", "cause"])
def test_a_secret_in_a_sources_error_is_told_nowhere(
    lab: Lab, where: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Not in the error, its causes, the log at DEBUG, or the summary."""

    def fail(*_: Any) -> Any:
        try:
            raise OSError(f"login with {CANARY} failed")
        except OSError as error:
            raise ConnectionFailedError("away" if where == "cause" else f"no {CANARY}") from error

    script = lab.script(Whole("t", fail if where == "stream" else counting(1)))
    if where != "stream":
        script.on["connect"] = fail
    flow = lab.flow()
    flow["sources"]["src"]["config"]["password"] = CANARY
    flow["summary"] = str(tmp_path / "summary.json")
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception, match=r"away|no ") as caught:
        execute(flow, lab.environment())
    output = "".join(traceback.format_exception(caught.value)) + caplog.text + (tmp_path / "summary.json").read_text()
    assert CANARY not in output
    assert "***" in output or where == "cause"
