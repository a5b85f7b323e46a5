"""What becomes of rows on their way: rejected, transformed, given the framework's columns, and told in the summary."""

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

from support import QUICK, AppendOnly, Lab, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    BadRecordError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourcePayload,
    FlowFailedError,
    RejectedRows,
    StreamSchema,
)
from vdk.plugin.datasource_base.runtime import execute

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
        with pytest.raises(ConfigurationError, match=r"flows\[1\].transform.*cannot be imported"):
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
        with pytest.raises(ConfigurationError, match=r"write_mode = 'replace' is not possible .* which can append"):
            lab.run(method="AppendOnly", write_mode="replace")

    @pytest.mark.parametrize("template", ["{stram}", "{}", "{table", "{table!z}", "{table:{x}}", "{0}", "{table.x}"])
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
            Whole("bad", lambda state: [payload(*numbers(0, 3), state={"next": 3}), "garbage"]),  # type: ignore[list-item]
        )
        path = tmp_path / "new folder" / "summary.json"
        with pytest.raises(FlowFailedError) as caught:
            execute({**lab.flow(), "summary": str(path)}, lab.environment())
        told = json.loads(path.read_text("utf-8"))
        assert told == json.loads(json.dumps(caught.value.summary.as_dict()))
        assert {"status", "seconds", "streams"} <= told.keys()
        assert told["status"] == "failed"
        good, failed = told["streams"]
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
        told = lab.run(Whole("t", lambda state: rows)).streams[0]
        assert told.as_dict()["rows_held_back"] == 6
        assert told.as_dict()["rows_read"] == 3
        assert lab.tables["t"] == numbers(0, 3)

    def test_it_is_a_table_for_people(self, lab: Lab) -> None:
        """One line a stream; columns without anything in them are left out."""
        text = lab.run(Whole("t", counting(1234)), options=replace(QUICK, batch_rows=500)).table()
        assert "src.t" in text
        assert "1,234" in text
        assert "retries" not in text

    def test_a_summary_that_cannot_be_written_is_told(self, lab: Lab, tmp_path: Path) -> None:
        """The rows have landed."""
        lab.script(Whole("t", counting(2)))
        with pytest.raises(ConfigurationError, match=r"summary file .* cannot be written"):
            execute({**lab.flow(), "summary": str(tmp_path)}, lab.environment())
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
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + (tmp_path / "summary.json").read_text()
    assert CANARY not in told
    assert "***" in told or where == "cause"
