"""Looking at a flow file without running it: checked, discovered, previewed."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import Lab, ScriptedSource, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    ConfigurationError,
    ConnectionFailedError,
    DataSourcePayload,
    FlowFailedError,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE, State
from vdk.plugin.datasource_base.runtime.inspect.check import CheckResult, check_flow
from vdk.plugin.datasource_base.runtime.inspect.discover import DiscoveredStream, Discovery, discover_flow
from vdk.plugin.datasource_base.runtime.inspect.preview import Preview, preview_stream
from vdk.plugin.datasource_base.testing import MemoryDestination

DECLARED = StreamSchema(pa.schema([pa.field("n", pa.int64(), nullable=False)]), ("n",), "n")


class Picky(MemoryDestination):
    """Takes no target."""

    def __init__(self, target: str | None, *, folder: Path) -> None:
        raise ConfigurationError("the target is no URL")


def touch_nothing(operation: str, destination: object) -> None:
    raise AssertionError(f"the destination was used: {operation}")


def nothing(state: State) -> Iterator[DataSourcePayload]:
    return iter(())


class Endless:
    """A stream's rows for ever, and whether the reader was closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.given = 0

    def __call__(self, state: State) -> Iterator[DataSourcePayload]:
        self._kept = self._rows()  # closed by whoever reads it, and not for want of a reference
        return self._kept

    def _rows(self) -> Iterator[DataSourcePayload]:
        try:
            while True:
                yield payload({"n": self.given}, state={"next": self.given})
                self.given += 1
        finally:
            self.closed.set()


class TestCheck:
    def check(self, lab: Lab, seconds: float = 30, **flow: Any) -> dict[tuple[str, str], CheckResult]:
        found = check_flow({**lab.flow(), **flow}, lab.environment(), seconds=seconds)
        return {(one.kind, one.name): one for one in found}

    def test_a_flow_that_would_work_is_ok(self, lab: Lab) -> None:
        """Each part has its line; nothing is read, nothing lands, and the source is disconnected each time."""
        script = lab.script(Whole("t", counting(5)), Whole("u", counting(5)))
        found = self.check(lab)
        assert [(kind, one.status) for (kind, _), one in found.items()] == [
            (kind, "ok") for kind in ("file", "source", "destination", "flow")
        ]
        assert found["flow", "flows[0]"].message.startswith("2 streams from src to lake; exactly once, because ")
        assert found["source", "src"].message == "the data"
        assert lab.tables == {}
        assert script.calls.count("disconnect") == 2
        assert "check" in script.calls

    def test_what_a_source_warns_of_is_said_beside_it(self, lab: Lab) -> None:
        """It works, so it is not an error; an empty database is most likely not the one that was meant."""
        script = lab.script(Whole("t", counting(5)))
        script.on["check"] = lambda: logging.getLogger("some.driver").warning("the file has %d bytes", 0)
        found = self.check(lab)["source", "src"]
        assert found.status == "ok"
        assert found.warnings == ("the file has 0 bytes",)

    def test_a_source_without_a_check_is_said_to_have_none(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its data may be missing, which "ok" alone would deny."""
        monkeypatch.delattr(ScriptedSource, "check")
        lab.script(Whole("t", counting(5)))
        found = self.check(lab)["source", "src"]
        assert (found.status, found.message) == ("ok", "the data; nothing was read: ScriptedSource has no check()")

    def test_all_is_tried_whatever_fails(self, lab: Lab) -> None:
        """Sources, destinations and flows fail each for itself; a flow of a failed source is not checked."""

        def refuse() -> None:
            raise ConnectionFailedError("the door is closed")

        lab.script(Whole("t", counting(5)))
        lab.script(source="away").on["check"] = refuse
        flow = lab.flow()
        found = self.check(
            lab,
            sources={**flow["sources"], **lab.flow(source="away")["sources"], "wrong": {"name": "scripted"}},
            destinations={**flow["destinations"], "none": {"method": "nothing"}},
            flows=[
                {"from": "src", "to": "lake", "streams": ["x*"]},
                {"from": "src", "to": "lake", "destination_table": "{what}"},
                {"from": "src", "to": "none"},
                {"from": "away", "to": "lake"},
                {"from": "src", "to": "lake"},
            ],
        )
        assert {name: (one.status, one.message) for (_, name), one in found.items()} == {
            "flow": ("ok", ""),
            "src": ("ok", "the data"),
            "away": ("failed", "the door is closed"),
            "wrong": ("failed", "flow: sources.wrong.config: the option 'script' is missing; write script = \"…\""),
            "lake": ("ok", f"memory {lab.target}"),
            "none": ("failed", found["destination", "none"].message),
            "flows[0]": ("failed", "flow: flows[0].streams: no stream matches 'x*'; expected one of: t"),
            "flows[1]": ("failed", found["flow", "flows[1]"].message),
            "flows[2]": ("skipped", "destination 'none' failed"),
            "flows[3]": ("skipped", "source 'away' failed"),
            "flows[4]": ("ok", found["flow", "flows[4]"].message),
        }
        assert "unknown method 'nothing'" in found["destination", "none"].message
        assert "placeholder 'what'" in found["flow", "flows[1]"].message

    @pytest.mark.parametrize(
        ("stream", "entry", "message"),
        [
            (Whole("t", lambda state: [payload({"n": 1})]), {}, "flows[0].follow: stream 't' is not incremental"),
            (Whole("t", counting(3)), {"write_mode": "replace"}, 'flows[0].follow: write_mode = "replace" would'),
            (
                Whole("t", counting(3), backfill=True),
                {},
                "flows[0].follow: stream 't' reads a fixed range",
            ),
        ],
        ids=["whole", "replace", "backfill"],
    )
    def test_a_stream_that_cannot_be_followed_fails_its_flow(
        self, lab: Lab, stream: Whole, entry: dict[str, Any], message: str
    ) -> None:
        """As in a run: ``check`` and ``run`` refuse the same flows, with the same error."""
        lab.script(stream)
        flow = lab.flow(**entry)
        assert self.check(lab, **flow)["flow", "flows[0]"].status == "ok"
        for followed in flow["flows"]:
            followed["follow"] = "5s"
        result = self.check(lab, **flow)["flow", "flows[0]"]
        assert result.status == "failed"
        assert message in result.message

    def test_an_option_of_following_without_follow_is_reported(self, lab: Lab) -> None:
        """The file as a whole is wrong, as it is for a run."""
        lab.script(Whole("t", counting(3)))
        (result,) = self.check(lab, **lab.flow(deadline="5s")).values()
        assert (result.kind, result.status) == ("file", "failed")
        assert "deadline: the flow does not follow" in result.message

    def test_a_target_that_is_wrong_is_told_with_its_place(self, lab: Lab) -> None:
        """A file may have many destinations."""
        lab.script(Whole("t", counting(5)))
        lab.registry.add_destination("picky", f"{__name__}:Picky")
        found = self.check(lab, destinations={"lake": {"method": "picky", "target": "nowhere"}})
        assert found["destination", "lake"].message == "flow: destinations.lake.target: the target is no URL"

    @pytest.mark.parametrize("method", ["check", "connect"])
    def test_a_source_that_hangs_has_failed(self, lab: Lab, method: str) -> None:
        """After the time it is given, wherever it hangs."""
        hangs = threading.Event()

        def hang() -> None:
            hangs.wait(60)

        lab.script(Whole("t", counting(5))).on[method] = hang
        found = self.check(lab, seconds=0.05)
        place = ("source", "src") if method == "check" else ("flow", "flows[0]")
        assert (found[place].status, found[place].message) == ("failed", "source 'src' did not answer within 0.05 s")
        hangs.set()

    def test_a_source_that_times_out_itself_is_told_with_its_own_error(self, lab: Lab) -> None:
        """Python's ``TimeoutError`` out of a source is not taken for ours."""

        def late() -> None:
            raise TimeoutError("the server sleeps")

        lab.script(Whole("t", counting(5))).on["check"] = late
        assert self.check(lab)["source", "src"].message == "TimeoutError: the server sleeps"

    def test_a_state_of_other_data_is_found(self, lab: Lab) -> None:
        """As a run would find it, before it reads."""
        lab.run(Whole("t", counting(5)))
        lab.script(Whole("t", counting(5))).identity = "other data"
        assert "but the state of stream 't'" in self.check(lab)["flow", "flows[0]"].message

    def test_a_stream_that_cannot_say_what_it_is_fails_its_flow(self, lab: Lab) -> None:
        """With the stream's name."""

        class Broken(Whole):
            def schema(self, table: str | None = None) -> StreamSchema | None:
                raise ConnectionFailedError("no schema today")

        lab.script(Broken("b", nothing), Whole("t", nothing))
        message = self.check(lab)["flow", "flows[0]"].message
        assert message == "stream 'b': ConnectionFailedError: no schema today"

    def test_secrets_are_not_shown(self, lab: Lab) -> None:
        """Also not by an error in several lines, which becomes one."""

        def tell() -> None:
            raise RuntimeError("refused\n  canary-77\n")

        lab.script(Whole("t", counting(5))).on["check"] = tell
        flow = lab.flow()
        flow["sources"]["src"]["config"]["password"] = "canary-77"
        assert self.check(lab, **flow)["source", "src"].message == "RuntimeError: refused; ***"

    def test_a_file_that_is_wrong_is_one_line(self, lab: Lab) -> None:
        """There is nothing else to try."""
        (found,) = check_flow({"flows": []}, lab.environment())
        assert (found.kind, found.status) == ("file", "failed")
        assert check_flow(lab.folder / "none.toml", lab.environment())[0].name == "none.toml"


class TestDiscover:
    def discover(self, lab: Lab, *streams: Any, seconds: float = 30, rows: int = 100, **entry: Any) -> Discovery:
        lab.fault(touch_nothing)
        if streams:
            lab.script(*streams)
        found = discover_flow(lab.flow(**entry), lab.environment(), rows=rows, seconds=seconds)
        assert lab.tables == {}
        return found

    def one(self, lab: Lab, *streams: Any, **others: Any) -> DiscoveredStream:
        (found,) = self.discover(lab, *streams, **others).streams
        assert found.error is None
        return found

    def test_a_declared_stream_is_told_without_reading(self, lab: Lab) -> None:
        """Columns, key, cursor, table and write mode; the destination is not touched."""

        def read(state: State) -> Iterator[DataSourcePayload]:
            raise AssertionError("it was read")

        found = self.one(lab, Whole("t", read, DECLARED), destination_table="raw_{stream}")
        assert found.as_dict() == {
            "source": "src", "stream": "t", "destination": "lake", "table": "raw_t", "write_mode": "upsert",
            "primary_key": ["n"], "cursor": "n", "partitions": 1, "inferred": False, "notes": [], "error": None,
            "columns": [{"name": "n", "type": "int64", "nullable": False, "key": True}],
        }  # fmt: skip

    def test_other_streams_are_sampled(self, lab: Lab) -> None:
        """A few rows are read, the reader is closed, and the columns are marked as inferred."""
        endless = Endless()
        found = self.one(lab, Whole("t", endless, incremental=True), rows=7)
        assert endless.closed.wait(10)
        assert endless.given == 6
        assert found.inferred
        assert [(column["name"], column["type"]) for column in found.columns] == [("n", "int64")]
        assert found.write_mode == "append"
        assert found.notes == ["the columns are inferred from the first 7 rows"]

    def test_a_stream_that_stalls_is_told_as_far_as_it_came(self, lab: Lab) -> None:
        """After the time it is given; its reader is closed when it goes on."""
        goes_on, closed = threading.Event(), threading.Event()

        def read(state: State) -> Iterator[DataSourcePayload]:
            try:
                yield payload({"a": 1})
                goes_on.wait(60)
                yield payload({"b": 1})
            finally:
                closed.set()

        found = self.one(lab, Whole("t", read), seconds=0.3)
        assert [column["name"] for column in found.columns] == ["a"]
        assert "only what arrived within 0.3 s was read" in found.notes
        goes_on.set()
        assert closed.wait(10)

    def test_rows_of_several_shapes_and_tables(self, lab: Lab) -> None:
        """Each table has its columns; a column without a value so far gets its type from a later row."""

        def read(state: State) -> Iterator[DataSourcePayload]:
            yield payload({"a": None, "b": 1})
            yield payload({"x": "text"}, destination_table="other")
            yield payload({"a": {"deep": 1}, "c": decimal.Decimal("1.5")})
            yield DataSourcePayload(pa.table({"d": pa.array(["x"], pa.dictionary(pa.int8(), pa.string()))}))

        found = self.discover(lab, Whole("t", read)).streams
        assert {one.table: {c["name"]: c["type"] for c in one.columns} for one in found} == {
            "t": {"a": "json", "b": "int64", "c": "decimal128(38, 1)", "d": "string"},
            "other": {"x": "string"},
        }
        assert found[0].write_mode == "replace"

    def test_states_of_a_stream_that_is_not_declared_as_incremental_are_noted(self, lab: Lab) -> None:
        """A run would refuse them."""
        found = self.one(lab, Whole("t", counting(3), incremental=False))
        assert found.write_mode == "replace"
        assert "is not declared as incremental, so a run fails" in found.notes[-1]

    def test_partitions_are_counted_where_that_is_cheap(self, lab: Lab) -> None:
        """Not those of a stream with very many."""
        many = (f"p{number}" for number in range(10**9))
        found = self.discover(
            lab,
            Split("three", dict.fromkeys("abc", nothing), DECLARED),
            Split("many", lambda state: (Whole(one, nothing) for one in many), DECLARED),
        ).streams
        assert [one.partitions for one in found] == [3, None]

    def test_patterns_are_respected_and_a_broken_stream_harms_no_other(self, lab: Lab) -> None:
        """Its error stands where its columns would."""

        def broken(state: State) -> Iterator[DataSourcePayload]:
            raise ConnectionFailedError("page 1 is away")

        lab.script(Whole("a", counting(1)), Whole("b", broken), Whole("c", counting(1)))
        found = self.discover(lab, streams=["a", "b"]).streams
        assert [(one.stream, one.error) for one in found] == [("a", None), ("b", "page 1 is away")]

    def test_a_source_that_is_away_leaves_the_other_flows(self, lab: Lab) -> None:
        """It is not tried again: a person waits."""

        def refuse() -> None:
            raise ConnectionFailedError("the door is closed")

        away = lab.script(source="away")
        away.on["connect"] = refuse
        lab.script(Whole("t", counting(1)))
        flow, other = lab.flow(source="away", retry_attempts=9), lab.flow()
        flow["sources"] |= other["sources"]
        flow["flows"] += other["flows"]
        found = discover_flow(flow, lab.environment())
        assert [stream.stream for stream in found.streams] == ["t"]
        assert found.errors == ["flow: flows[0]: the door is closed"]
        assert away.calls.count("connect") == 1


class TestPreview:
    def preview(self, lab: Lab, *streams: Any, name: str = "t", **others: Any) -> Preview:
        options = {key: others.pop(key) for key in ("rows", "seconds", "number") if key in others}
        lab.fault(touch_nothing)
        lab.script(*streams)
        found = preview_stream(lab.flow(**others), name, lab.environment(), **options)
        assert lab.tables == {}
        return found

    def rows(self, lab: Lab, *streams: Any, **others: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.preview(lab, *streams, **others).json())
        return found

    def test_the_first_rows_come_and_the_reader_is_closed(self, lab: Lab) -> None:
        """No more is read than is shown, and the destination is not touched."""
        endless = Endless()
        assert self.rows(lab, Whole("u", nothing), Whole("t", endless), rows=3) == numbers(0, 3)
        assert endless.closed.wait(10)
        assert endless.given == 2

    def test_a_stored_state_is_neither_used_nor_moved(self, lab: Lab) -> None:
        """A preview begins at the beginning."""
        lab.run(Whole("t", counting(5)))
        assert json.loads(preview_stream(lab.flow(), "t", lab.environment()).json()) == numbers(0, 5)
        assert lab.states == {("t", ""): {"next": 5}}

    def test_rows_are_shown_behind_the_transform(self, lab: Lab) -> None:
        """It reads on until there are as many as asked for; columns of the flow are there too."""

        def tens(rows: list[dict[str, int]]) -> list[dict[str, int]]:
            return [{"ten": row["n"]} for row in rows if row["n"] % 10 == 0]

        found = self.rows(lab, Whole("t", counting(1000, page=4)), rows=3, transform=tens, metadata_columns=["stream"])
        assert found == [{"ten": number, "_vdk_stream": "t"} for number in (0, 10, 20)]

    def test_values_are_exact(self, lab: Lab) -> None:
        """Decimals are text, bytes base64, times ISO 8601, nested values themselves, and no digit is lost."""
        utc = dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC)
        table = pa.table(
            {
                "decimal": pa.array([decimal.Decimal("0.10")], pa.decimal128(20, 2)),
                "big": pa.array([2**63 - 1]),
                "bytes": pa.array([b"\x00\xff"]),
                "at": pa.array([utc], pa.timestamp("us", tz="UTC")),
                "nanos": pa.array([1_234_567_891], pa.timestamp("ns", tz="UTC")),
                "time": pa.array([1_234_567_891], pa.time64("ns")),
                "day": pa.array([dt.date(2026, 1, 2)]),
                "long": pa.array([-1_500_000], pa.duration("us")),
                "nan": pa.array([float("nan")]),
                "float": pa.array([0.1]),
                "nested": pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(['{"a":[1.10,null]}'])),
                "null": pa.nulls(1),
                "yes": pa.array([True]),
            }
        )
        found = self.preview(lab, Whole("t", lambda state: iter([DataSourcePayload(table)])))
        assert json.loads(found.json(), parse_float=str) == [
            {
                "decimal": "0.10",
                "big": 2**63 - 1,
                "bytes": "AP8=",
                "at": "2026-01-02T03:04:05.000006Z",
                "nanos": "1970-01-01T00:00:01.234567891Z",
                "time": "00:00:01.234567891",
                "day": "2026-01-02",
                "long": "-PT1.500000S",
                "nan": "nan",
                "float": "0.1",
                "nested": {"a": ["1.10", None]},
                "null": None,
                "yes": True,
            }
        ]
        assert "0.10" in found.text()
        assert "NULL" in found.text()

    def test_rows_of_other_tables_say_so(self, lab: Lab) -> None:
        """In JSON by a column, for people under a heading of their own."""
        payloads = [payload({"a": 1}), payload({"b": 2}, destination_table="other"), payload({"a": 3})]
        found = self.preview(lab, Whole("t", lambda state: iter(payloads)))
        assert json.loads(found.json()) == [{"a": 1}, {"_vdk_table": "other", "b": 2}, {"a": 3}]
        assert "other:" in found.text()

    def test_a_row_that_does_not_fit_fails_or_is_noted(self, lab: Lab) -> None:
        """As the flow says."""

        def read(state: State) -> Iterator[DataSourcePayload]:
            yield payload({"n": 1}, {"n": "two"}, {"n": 3})

        with pytest.raises(FlowFailedError, match=r"stream 't', column 'n'.*two"):
            self.preview(lab, Whole("t", read, DECLARED))
        found = self.preview(lab, Whole("t", read, DECLARED), on_bad_record="reject")
        assert json.loads(found.json()) == [{"n": 1}, {"n": 3}]
        assert "1 rows would be rejected; the first: stream 't', column 'n'" in found.notes[0]

    def test_an_unknown_stream_is_told_with_the_closest(self, lab: Lab) -> None:
        """And one that no pattern chooses with the patterns."""
        with pytest.raises(FlowFailedError, match="no stream matches 'tt'; expected one of: t"):
            self.preview(lab, Whole("t", nothing), name="tt")
        with pytest.raises(ConfigurationError, match=r"no flow chooses a stream 'u'; the patterns are 't\*'"):
            self.preview(lab, Whole("t", nothing), name="u", streams=["t*"])

    def test_of_several_flows_the_first_that_has_it_is_shown(self, lab: Lab) -> None:
        """Unless its number is given; the others are named."""
        lab.script(Whole("u", counting(1)), source="other")
        lab.script(Whole("t", counting(1)))
        flow = lab.flow(source="other")
        flow["sources"] |= lab.flow()["sources"]
        double = {"from": "src", "to": "lake", "destination_table": "second", "metadata_columns": ["source"]}
        flow["flows"] += [*lab.flow()["flows"], double]
        found = preview_stream(flow, "t", lab.environment())
        assert json.loads(found.json()) == [{"n": 0}]
        assert found.notes == ["this is flows[1]; flows[2] may have a stream of this name, too"]
        assert json.loads(preview_stream(flow, "t", lab.environment(), number=2).json()) == [
            {"n": 0, "_vdk_source": "src"}
        ]
        with pytest.raises(ConfigurationError, match=r"flows\[3\] does not exist; the last is --number 2"):
            preview_stream(flow, "t", lab.environment(), number=3)

    def test_what_came_in_time_is_shown(self, lab: Lab) -> None:
        """A stream that waits for its first message does not keep a person waiting."""
        goes_on = threading.Event()

        def read(state: State) -> Iterator[DataSourcePayload]:
            yield payload({"n": 0})
            goes_on.wait(60)

        found = self.preview(lab, Whole("t", read), seconds=0.3)
        assert json.loads(found.json()) == [{"n": 0}]
        assert found.notes == ["only what arrived within 0.3 s was read"]
        goes_on.set()

    def test_secrets_are_not_shown(self, lab: Lab) -> None:
        """An error of the source goes through the same hands as in a run."""

        def read(state: State) -> Iterator[DataSourcePayload]:
            raise RuntimeError("refused canary-78")

        lab.script(Whole("t", read))
        flow = lab.flow()
        flow["sources"]["src"]["config"]["password"] = "canary-78"
        with pytest.raises(FlowFailedError, match=r"RuntimeError: refused \*\*\*") as caught:
            preview_stream(flow, "t", lab.environment())
        assert caught.value.__suppress_context__

    def test_no_rows_are_no_rows(self, lab: Lab) -> None:
        """For people and for programs."""
        found = self.preview(lab, Whole("t", nothing))
        assert (found.text(), json.loads(found.json())) == ("No rows.", [])
