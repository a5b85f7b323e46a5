"""``vdk datasource tap``: sources as Singer taps."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import Lab, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    ConfigurationError,
    DataSourceError,
    DataSourcePayload,
    DataSourceStream,
    StateError,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE, State
from vdk.plugin.datasource_base.runtime.singer.properties import Format
from vdk.plugin.datasource_base.runtime.singer.tap import Tap, TapOptions

KEYED = StreamSchema(pa.schema([pa.field("n", pa.int64()), pa.field("t", pa.string())]), ("n",), cursor="n")
ROW = {"n": 1, "t": "a"}


def parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


class Messages:
    """What a tap has written."""

    def __init__(self, content: bytes, failed: list[str]) -> None:
        self.lines = [parsed(line) for line in content.decode().splitlines()]
        self.failed = failed

    def of(self, kind: str, stream: str | None = None) -> list[Any]:
        return [each for each in self.lines if each["type"] == kind and stream in (None, each.get("stream"))]

    def rows(self, stream: str = "t") -> list[Any]:
        return [each["record"] for each in self.of("RECORD", stream)]

    def properties(self, stream: str = "t") -> Any:
        return self.of("SCHEMA", stream)[-1]["schema"]["properties"]

    @property
    def kinds(self) -> list[str]:
        return [each["type"] for each in self.lines]


def tap_of(lab: Lab, out: io.BytesIO, *streams: DataSourceStream, entry: Mapping[str, Any], **options: Any) -> Tap:
    lab.script(*streams)
    return Tap(lab.flow(**entry), lab.environment(), TapOptions(**options), out)


def messages(lab: Lab, *streams: DataSourceStream, entry: Mapping[str, Any] | None = None, **options: Any) -> Messages:
    out = io.BytesIO()
    failed = tap_of(lab, out, *streams, entry=entry or {}, **options).sync()
    return Messages(out.getvalue(), failed)


def stream_of(data: Any, schema: StreamSchema | None = None, **others: Any) -> Whole:
    def read(state: State) -> Iterable[DataSourcePayload]:
        return [DataSourcePayload(data)]

    return Whole("t", read, schema, **others)


MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 600000, dt.UTC)
BERLIN = dt.timezone(dt.timedelta(hours=2))
VALUES: dict[str, tuple[pa.Array, Any, Mapping[str, Any]]] = {
    "int8": (pa.array([-128], pa.int8()), -128, {"type": ["integer", "null"], "minimum": -128, "maximum": 127}),
    "uint64": (
        pa.array([2**64 - 1], pa.uint64()),
        2**64 - 1,
        {"type": ["integer", "null"], "minimum": 0, "maximum": 2**64 - 1},
    ),
    "decimal": (
        pa.array([Decimal("12345678901234567890123456789.10")], pa.decimal128(38, 2)),
        Decimal("12345678901234567890123456789.10"),
        {"type": ["number", "null"], "multipleOf": Decimal("0.01")},
    ),
    "double": (pa.array([0.1]), Decimal("0.1"), {"type": ["number", "null"]}),
    "bool": (pa.array([True]), True, {"type": ["boolean", "null"]}),
    "bytes": (pa.array([b"\x00\xff"]), "AP8=", {"type": ["string", "null"], "contentEncoding": "base64"}),
    "zone": (
        pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin")),
        "2026-01-02T03:04:05.600000Z",
        {"type": ["string", "null"], "format": "date-time"},
    ),
    "naive": (
        pa.array([1], pa.timestamp("ns")),
        "1970-01-01T00:00:00.000000001Z",
        {"type": ["string", "null"], "format": "date-time"},
    ),
    "date": (pa.array([MOMENT.date()]), "2026-01-02", {"type": ["string", "null"], "format": "date"}),
    "time": (pa.array([dt.time(1, 2, 3)]), "01:02:03.000000", {"type": ["string", "null"], "format": "time"}),
    "duration": (
        pa.array([-1500], pa.duration("ms")),
        "-PT1.500S",
        {"type": ["string", "null"], "format": "duration"},
    ),
    "json": (
        pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(['{\n "a": 1.10}'])),
        {"a": Decimal("1.10")},
        {"type": ["object", "array", "string", "number", "boolean", "null"]},
    ),
    "text": (pa.array(["é\n"]), "é\n", {"type": ["string", "null"]}),
}


def test_values_and_their_schemas(lab: Lab) -> None:
    """Every type that the framework hands out: decimals have all digits, and JSON stays as it is, in one line."""
    table = pa.table({name: array for name, (array, _, _) in VALUES.items()} | {"nothing": pa.nulls(1)})
    written = messages(lab, stream_of(table))
    assert written.rows() == [{name: value for name, (_, value, _) in VALUES.items()}]
    assert written.properties() == {name: schema for name, (_, _, schema) in VALUES.items()}


@pytest.mark.parametrize(
    ("array", "format_", "value", "error"),
    [
        (pa.array([float("nan")]), Format(), None, "the value is nan, and JSON has no number for it; add --nan null"),
        (pa.array([1.5, float("-inf")]), Format(nan="null"), [Decimal("1.5"), None], None),
        (pa.array([Decimal("1.10")]), Format(decimals="text"), ["1.10"], None),
        (pa.array([2**62], pa.timestamp("us")), Format(), None, "is not a time of RFC 3339"),
        (pa.array([5_000_000], pa.date32()), Format(), None, "is not a time of RFC 3339"),
    ],
    ids=["nan", "infinity", "decimal", "year", "date"],
)
def test_values_without_a_type_in_json(
    lab: Lab, array: pa.Array, format_: Format, value: Any, error: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    written = messages(lab, stream_of(pa.table({"v": array})), format=format_)
    if error is None:
        assert [row["v"] for row in written.rows()] == value
        return
    assert written.failed == ["t"]
    assert error in caplog.text
    assert not written.rows()


def test_a_sync_that_is_cut_anywhere_goes_on_from_its_last_state(lab: Lab, tmp_path: Path) -> None:
    """A target keeps what it has read, and the last state in it: nothing is lost, and under a state nothing repeats."""
    streams = [Split("t", {"a": counting(8, page=2), "b": counting(5)}), Whole("u", counting(3))]
    whole = messages(lab, *streams).lines
    for end in range(len(whole) + 1):
        before = whole[:end]
        states = [each["value"] for each in before if each["type"] == "STATE"]
        (tmp_path / "state.json").write_text(json.dumps(states[-1] if states else {}))
        again = messages(lab, *streams, state=tmp_path / "state.json").lines
        last = max((index for index, each in enumerate(before) if each["type"] == "STATE"), default=-1)
        kept = [each for each in [*before[: last + 1], *again] if each["type"] == "RECORD"]
        for stream, rows in (("t", sorted([*range(8), *range(5)])), ("u", [0, 1, 2])):
            assert sorted(each["record"]["n"] for each in kept if each["stream"] == stream) == rows


def test_every_sync_ends_with_a_state(lab: Lab, tmp_path: Path) -> None:
    """It has the bookmarks of streams that were not read, too."""
    first = messages(lab, Whole("t", counting(2)), Whole("u", counting(1)))
    (tmp_path / "state.json").write_text(json.dumps(first.of("STATE")[-1]["value"]))
    second = messages(
        lab, Whole("t", counting(2)), Whole("u", counting(1)), state=tmp_path / "state.json", streams=["t"]
    )
    assert second.kinds == ["STATE"]
    assert second.of("STATE") == first.of("STATE")[-1:]


def test_a_replaced_table_has_a_version_that_is_activated_at_its_end(lab: Lab) -> None:
    def fails(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(0, 20))
        raise DataSourceError("it broke")

    written = messages(lab, stream_of(numbers(0, 2)), Whole("u", fails))
    versions = {each["version"] for each in written.of("RECORD", "t")}
    assert [each["version"] for each in written.of("ACTIVATE_VERSION")] == list(versions)
    assert written.failed == ["u"]
    assert len(written.rows("u")) >= 10
    assert written.kinds[-1] == "STATE"
    assert written.of("STATE")[-1]["value"] == {"bookmarks": {}}


def deleting(state: State) -> Iterator[DataSourcePayload]:
    yield payload(ROW, state={"at": 1})
    yield payload({"n": 1}, kind="deletes", state={"at": 2})


@pytest.mark.parametrize(
    ("deletes", "rows", "error"),
    [("record", 2, None), ("skip", 1, None), ("fail", 1, "add --deletes record to write them with _sdc_deleted_at")],
)
def test_deletes(lab: Lab, deletes: Any, rows: int, error: str | None, caplog: pytest.LogCaptureFixture) -> None:
    written = messages(lab, Whole("t", deleting, KEYED), deletes=deletes)
    assert len(written.rows()) == rows
    assert ("_sdc_deleted_at" in written.properties()) == (deletes == "record")
    assert written.of("SCHEMA")[0]["key_properties"] == ["n"]
    if deletes == "record":
        assert written.rows()[1]["n"] == 1
        assert written.rows()[1]["_sdc_deleted_at"].endswith("Z")
    assert (error or "") in caplog.text
    assert written.failed == (["t"] if error else [])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (DataSourcePayload([{"n": 1}], kind="keys", state={"at": 1}), "add --deletes skip to leave them out"),
        (DataSourcePayload(pa.table({"n": pa.nulls(1, pa.int64())}), state={"at": 1}), "the primary key is NULL"),
    ],
    ids=["sweep", "null-key"],
)
def test_what_a_target_cannot_do_is_refused(
    lab: Lab, data: DataSourcePayload, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = messages(lab, Whole("t", lambda state: [data], KEYED, incremental=True))
    assert written.failed == ["t"]
    assert error in caplog.text
    assert not written.rows()


def test_new_columns_and_types_come_with_a_new_schema(lab: Lab) -> None:
    def read(state: State) -> Iterator[DataSourcePayload]:
        rows: list[dict[str, Any]] = [{"a": 1}, {"a": 1.5}, {"a": "x", "b": 1}, {"b": 2}]
        for number, row in enumerate(rows):
            yield payload(row, state={"next": number})

    written = messages(lab, Whole("t", read), entry={"batch_rows": 1})
    assert [each.get("record", each.get("schema")) for each in written.lines if each["type"] != "STATE"] == [
        {"type": "object", "properties": {"a": written.of("SCHEMA")[0]["schema"]["properties"]["a"]}},
        {"a": 1},
        {"type": "object", "properties": {"a": {"type": ["number", "null"]}}},
        {"a": Decimal("1.5")},
        {"type": "object", "properties": written.properties()},
        {"a": "x", "b": 1},
        {"b": 2},
    ]
    assert written.properties()["a"] == {"type": ["number", "string", "null"]}


def test_rows_for_another_table_have_a_schema_of_their_own(lab: Lab) -> None:
    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload({"n": 1}, state={"at": 1})
        yield payload({"line": "x"}, destination_table="lines", state={"at": 2})

    written = messages(lab, Whole("t", read), entry={"destination_table": "shop_{table}"})
    assert written.rows("shop_lines") == [{"line": "x"}]
    assert list(written.properties("shop_lines")) == ["line"]


def test_a_catalog_selects_streams_and_columns(lab: Lab, tmp_path: Path) -> None:
    """As its metadata says; a key stays, and so does what the catalog does not name of a selected stream."""
    streams = [stream_of([ROW | {"s": "secret"}], KEYED, incremental=False), Whole("u", counting(1))]
    catalog = parsed(json.dumps(tap_of(lab, io.BytesIO(), *streams, entry={}).discover(), default=str))
    assert {each["stream"]: list(each["schema"]["properties"]) for each in catalog["streams"]} == {
        "t": ["n", "t"],
        "u": ["n"],
    }
    own = {"breadcrumb": ["properties", "t"], "metadata": {"selected": False}}
    catalog["streams"][0]["metadata"] += [own, {"breadcrumb": ["properties", "n"], "metadata": {"selected": False}}]
    catalog["streams"][1]["metadata"][0]["metadata"]["selected"] = False
    (tmp_path / "catalog.json").write_text(json.dumps(catalog, default=str))
    written = messages(lab, *streams, catalog=tmp_path / "catalog.json")
    assert {each.get("stream") for each in written.lines} == {"t", None}
    assert "t" not in written.rows()[0]
    assert written.rows()[0]["n"] == 1


@pytest.mark.parametrize(
    ("option", "content", "error"),
    [
        ("state", "[]", "it is not"),
        ("state", '{"bookmarks": {}}\n{"bookmarks": {}}', "tail -n 1 FILE has the last"),
        ("catalog", "{}", "make one with --discover"),
        (
            "catalog",
            '{"streams": [{"stream": "tt", "metadata": [{"breadcrumb": [], "metadata": {"selected": true}}]}]}',
            "selects the stream 'tt'; expected one of: t",
        ),
        ("state", '{"bookmarks": {"t": {"v": 1}}}', "is damaged"),
        ("state", '{"bookmarks": {"t": {"v": 2, "source": "the data", "states": "{}"}}}', "has the version 2"),
        ("state", '{"bookmarks": {"t": {"v": 1, "source": "others", "states": "{}"}}}', "was written for the source"),
    ],
)
def test_wrong_files(lab: Lab, tmp_path: Path, option: str, content: str, error: str) -> None:
    (tmp_path / "file.json").write_text(content)
    options: dict[str, Any] = {option: tmp_path / "file.json"}
    with pytest.raises((ConfigurationError, StateError), match=error):
        messages(lab, Whole("t", counting(1)), **options)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"verify": True}, "remove verify"),
        ({"require": "exactly_once"}, "require"),
        ({"expect": {"rows_min": 1}}, "remove rows_min"),
    ],
)
def test_what_only_a_destination_can_do_is_refused(lab: Lab, entry: Mapping[str, Any], error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        messages(lab, Whole("t", counting(1)), entry=entry)


def test_the_source_is_connected_twice_and_knows_its_states(lab: Lab, tmp_path: Path) -> None:
    """Once to describe all streams, once to read them."""
    state = messages(lab, Whole("t", counting(2))).of("STATE")[-1]["value"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    lab.scripts["src"].calls.clear()
    messages(lab, Whole("t", counting(2)), Whole("u", counting(2)), state=tmp_path / "state.json")
    calls = lab.scripts["src"].calls
    assert (calls.count("connect"), calls.count("disconnect")) == (2, 2)
    seen = lab.scripts["src"].seen
    assert seen is not None
    assert seen.of("t") == {"next": 2}
