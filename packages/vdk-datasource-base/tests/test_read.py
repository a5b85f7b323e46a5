"""``read``: a stream without a destination."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

import vdk.plugin.datasource_base as base
from support import Lab, ScriptConfig, ScriptedSource, Split, Whole, counting, numbers, payload
from test_urls import AcmeSource
from vdk.plugin.datasource_base import (
    AuthenticationError,
    BadRecordError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourcePayload,
    DataSourceStream,
    Secret,
    StreamSchema,
    read,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE, State, StateError
from vdk.plugin.datasource_base.runtime import execute
from vdk.plugin.datasource_base.runtime.reading.open_stream import open_stream
from vdk.plugin.datasource_base.runtime.reading.stream_reader import TABLE, StreamReader

KEYED = StreamSchema(pa.schema([pa.field("n", pa.int64())]), ("n",))


class Acknowledging(ScriptedSource):
    def committed(self, stream: str, states: Mapping[str, State]) -> None:
        self.script.calls.append("committed")


def source_of(lab: Lab, *streams: DataSourceStream, password: str | None = None) -> ScriptedSource:
    lab.script(*streams)
    config = ScriptConfig(script=f"{lab.target}/src", password=None if password is None else Secret(password))
    return Acknowledging(config)


def reader_of(lab: Lab, *streams: DataSourceStream, states: Mapping[str, State] | None = None, **others: Any) -> Any:
    """A reader with the quick options of the lab: short batches and short waits."""
    environment = lab.environment()
    return open_stream(source_of(lab, *streams), "t", states, environment=environment, **others)


def values(reader: StreamReader, column: str = "n") -> list[Any]:
    return [value for batch in reader for value in batch.column(column).to_pylist()]


def test_batches_have_all_rows_and_states_continue_after_them(lab: Lab) -> None:
    """Also of a block that is left early; ``committed`` is never called, and the source is disconnected."""
    taken: list[int] = []
    states: Mapping[str, State] = {}
    while len(taken) < 50:
        with reader_of(lab, Split("t", {"a": counting(25), "b": counting(25)}), states=states) as reader:
            for batch in reader:
                taken += batch.column("n").to_pylist()
                if len(taken) % 3 == 0:
                    break
            states = reader.states
    assert sorted(taken) == sorted([*range(25), *range(25)])
    assert states == {"a": {"next": 25}, "b": {"next": 25}}
    assert values(reader_of(lab, Split("t", {"a": counting(25), "b": counting(25)}), states=states)) == []
    calls = lab.scripts["src"].calls
    assert "committed" not in calls
    assert calls.count("disconnect") == calls.count("connect")


def test_a_state_covers_only_what_was_handed_out(lab: Lab) -> None:
    """Rows of one state that come in several batches are covered by the last of them."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for start in range(0, 40, 10):
            yield payload(*numbers(start, start + 10))
        yield payload({"n": 40}, state={"next": 41})

    with reader_of(lab, Whole("t", read)) as reader:
        seen = [(batch.num_rows, reader.states) for batch in reader]
    assert sum(rows for rows, _ in seen) == 41
    assert [states for _, states in seen] == [{}] * (len(seen) - 1) + [{"": {"next": 41}}]


def test_a_state_after_several_batches_holds_after_the_last(lab: Lab) -> None:
    """They come in one commit unit, here as the chunks of an Arrow table."""
    table = pa.table({"n": pa.chunked_array([[0, 1], [2], [3]])})
    stream = Whole("t", lambda state: [DataSourcePayload(table, state={"next": 4})], incremental=True)
    with reader_of(lab, stream) as reader:
        seen = [(batch.num_rows, reader.states) for batch in reader]
    assert seen == [(2, {}), (1, {}), (1, {"": {"next": 4}})]


def test_leaving_ends_the_readers_at_once(lab: Lab) -> None:
    """The generator of an endless source is closed, and no thread of it is left."""
    closed = threading.Event()

    def read(state: State) -> Iterator[DataSourcePayload]:
        try:
            number = 0
            while True:
                yield payload(*numbers(number, number + 10), state={"next": number})
                number += 10
        finally:
            closed.set()

    with reader_of(lab, Whole("t", read)) as reader:
        next(reader)
    assert closed.is_set()
    assert lab.scripts["src"].calls[-1] == "disconnect"
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("read", "reader-t", "writer-read")]
    with pytest.raises(ValueError, match="the reader is closed"):
        next(reader)


def test_a_forgotten_reader_ends_the_readers(lab: Lab) -> None:
    closed = threading.Event()

    def read(state: State) -> Iterator[DataSourcePayload]:
        with closing(iter(counting(10**9)(state))) as payloads:  # type: ignore[type-var]  # a generator can be closed
            try:
                yield from payloads
            finally:
                closed.set()

    reader = reader_of(lab, Whole("t", read, incremental=True))
    next(reader)
    del reader
    assert closed.wait(10)


def failing(at: int, error: Callable[[], BaseException], *, times: int = 1) -> Callable[[int], None]:
    left = [times]

    def fail(number: int) -> None:
        if number == at and left[0]:
            left[0] -= 1
            raise error()

    return fail


def test_failures_that_may_pass_are_retried_from_the_last_state(lab: Lab) -> None:
    fail = failing(7, lambda: ConnectionFailedError("away"))
    assert values(reader_of(lab, Whole("t", counting(20, fail_at=fail)))) == list(range(20))


@pytest.mark.parametrize(
    ("error", "times", "type_", "match"),
    [
        (lambda: ConnectionFailedError("away"), 99, ConnectionFailedError, "away"),
        (lambda: AuthenticationError("who are you"), 1, AuthenticationError, "who are you"),
        (lambda: BadRecordError("odd", stream="t", column="n"), 1, BadRecordError, "odd"),
        (lambda: ZeroDivisionError("a bug"), 1, ZeroDivisionError, "a bug"),
        (lambda: ConnectionFailedError("no hunter22 here"), 99, ConnectionFailedError, r"no \*\*\* here"),
    ],
)
def test_what_the_source_fails_with_is_raised(
    lab: Lab, error: Callable[[], BaseException], times: int, type_: type[BaseException], match: str
) -> None:
    """After the rows before it; again if it is asked again, and without secrets."""
    stream = Whole("t", counting(20, fail_at=failing(12, error, times=times)))
    with open_stream(source_of(lab, stream, password="hunter22"), "t", environment=lab.environment()) as reader:
        taken: list[int] = []
        with pytest.raises(type_, match=match):
            taken.extend(value for batch in reader for value in batch.column("n").to_pylist())
        assert taken == list(range(12))
        assert reader.states == {"": {"next": 12}}
        with pytest.raises(type_, match=match):
            next(reader)


def test_rows_that_no_state_covers_are_not_read_twice(lab: Lab) -> None:
    """They were handed out already: the error of the source is raised, and says so."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for start in range(0, 40, 10):
            yield payload(*numbers(start, start + 10))
        raise ConnectionFailedError("the cable")

    reader = reader_of(lab, Whole("t", read))
    with pytest.raises(ConnectionFailedError, match=r"the cable. \d+ rows of stream 't' that no state covers"):
        values(reader)


@pytest.mark.parametrize(
    ("sent", "match", "asked"),
    [
        (payload({"n": 1}, kind="deletes", state={"x": 1}), "keys of deleted rows", {"deletes": "rows"}),
        (payload({"n": 1}, kind="deletes", state={"x": 1}), "keys of deleted rows", {"deletes": "skip"}),
        (payload({"n": 1}, kind="keys", state={"x": 1}), "lists all its keys", {"deletes": "skip"}),
        (payload({"n": 1}, destination_table="u", state={"x": 1}), "rows for the table 'u'", {"tables": ["u"]}),
    ],
)
def test_what_was_not_asked_for_is_an_error(
    lab: Lab, sent: DataSourcePayload, match: str, asked: dict[str, Any]
) -> None:
    """Deletes, sweeps and rows of other tables would be missing, or look like rows."""
    stream = Whole("t", lambda state: [payload({"n": 0}), sent], KEYED, incremental=True)
    with pytest.raises(DataSourceError, match=match):
        reader_of(lab, stream).to_arrow()
    tables = reader_of(lab, stream, **asked).to_tables()
    expected: dict[str, Any] = {"t": [0], "u": [1]} if "tables" in asked else {"t": [0]}
    if asked.get("deletes") == "rows":
        expected = {"t": [0, 1]}
        assert [value is not None for value in tables["t"].column("_vdk_deleted_at").to_pylist()] == [False, True]
    assert {name: table.column("n").to_pylist() for name, table in tables.items()} == expected


def test_batches_of_several_tables_are_named(lab: Lab) -> None:
    sent = [payload({"n": 0}), payload({"n": 1}, destination_table="u")]
    with reader_of(lab, Whole("t", lambda state: sent), tables=["u"]) as reader:
        assert {batch.schema.metadata[TABLE]: batch.num_rows for batch in reader} == {b"t": 1, b"u": 1}
    with pytest.raises(ValueError, match=r"\.to_tables\(\)"):
        reader_of(lab, Whole("t", lambda state: sent), tables=["u"]).to_arrow()


def changing(*sent: Any) -> Whole:
    """A stream of which each value is a batch of its own."""
    return Whole("t", lambda state: [payload(*({"n": value} for _ in range(10)), state={"x": 1}) for value in sent])


@pytest.mark.parametrize(
    ("sent", "type_", "expected"),
    [
        ((1, 2.5), pa.float64(), [1.0, 2.5]),
        ((2**60 + 1, 0.5), pa.string(), [str(2**60 + 1), "0.5"]),
        ((1, "x"), pa.string(), ["1", "x"]),
        ((None, 3), pa.int64(), [None, 3]),
        (({"a": 1}, {"b": [2]}), JSON_TYPE, ['{"a":1}', '{"b":[2]}']),
        (({"a": 1}, "x"), pa.string(), ['{"a":1}', "x"]),
    ],
)
def test_to_arrow_widens_and_reader_keeps_one_schema(
    lab: Lab, sent: tuple[Any, Any], type_: pa.DataType, expected: list[Any]
) -> None:
    """A type that holds all values; ``reader`` raises rather than change a value."""
    table = reader_of(lab, changing(*sent)).to_arrow()
    assert table.schema.field("n").type == type_
    assert table.column("n").to_pylist()[::10] == expected
    if len({type(value) for value in sent} - {type(None)}) == 1 and sent[0] is not None:
        assert reader_of(lab, changing(*sent)).reader.read_all().num_rows == 20
    else:
        with pytest.raises(DataSourceError, match=r"use \.to_arrow\(\), which widens"):
            reader_of(lab, changing(*sent)).reader.read_all()


def test_reader_refuses_a_later_column_and_fills_a_missing_one(lab: Lab) -> None:
    def stream(*rows: Mapping[str, Any]) -> Whole:
        return Whole("t", lambda state: [payload(*([row] * 10), state={"x": 1}) for row in rows])

    with pytest.raises(DataSourceError, match=r"has the column 'm', which the schema of \.reader lacks"):
        reader_of(lab, stream({"n": 1}, {"n": 2, "m": 3})).reader.read_all()
    table = reader_of(lab, stream({"n": 1, "m": 3}, {"n": 2})).reader.read_all()
    assert table.column("m").to_pylist()[::10] == [3, None]
    assert reader_of(lab, stream({"n": 1}, {"m": 2})).to_arrow().schema.names == ["n", "m"]


def too_early(table: Any) -> Any:
    raise OverflowError("a date before 1677")


@pytest.mark.parametrize("way", ["to_arrow", "to_pandas", "reader"])
def test_no_state_covers_rows_that_were_not_handed_out(lab: Lab, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails half way gives its caller no rows at all: to go on from the states lands them all the same."""
    monkeypatch.setitem(sys.modules, "pandas", sys)  # it fails before pandas is used, which need not be installed
    fail = failing(17, lambda: BadRecordError("odd", stream="t", column="n"), times=0 if way == "to_pandas" else 1)
    reader = reader_of(lab, Whole("t", counting(20, fail_at=fail)))
    taken: list[int] = next(reader).column("n").to_pylist()
    monkeypatch.setattr(f"{StreamReader.__module__}.with_json_as_text", too_early)
    read_all = getattr(reader, way) if way != "reader" else lambda: reader.reader.read_all()
    if way == "reader":
        assert reader.reader.schema == reader.reader.schema  # which takes no row
        assert reader.states == {"": {"next": len(taken)}}
    with pytest.raises((BadRecordError, OverflowError)):
        read_all()
    assert reader.states == {"": {"next": len(taken)}}
    rest = values(reader_of(lab, Whole("t", counting(20)), states=reader.states))
    assert taken + rest == list(range(20))


def test_reader_takes_back_a_batch_that_does_not_fit(lab: Lab) -> None:
    rows = [{"n": 1}, {"n": 2, "m": 3}]
    stream = Whole("t", lambda state: [payload(*([row] * 10), state={"x": n}) for n, row in enumerate(rows, 1)])
    reader = reader_of(lab, stream)
    with pytest.raises(DataSourceError, match="has the column 'm'"):
        reader.reader.read_all()
    assert reader.states == {}


def test_rows_that_are_handed_out_are_not_an_empty_table(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", sys)
    reader = reader_of(lab, Whole("t", counting(3)))
    assert reader.to_arrow().num_rows == 3
    with pytest.raises(ValueError, match="call read again"):
        reader.to_pandas()


def test_a_stream_without_rows_has_its_declared_columns(lab: Lab) -> None:
    empty = Whole("t", lambda state: [], KEYED)
    assert reader_of(lab, empty).to_arrow().schema == KEYED.fields
    assert reader_of(lab, empty).reader.schema == KEYED.fields


@pytest.mark.parametrize(("library", "method"), [("polars", "to_polars"), ("pandas", "to_pandas")])
def test_a_data_frame_has_the_rows(lab: Lab, library: str, method: str) -> None:
    pytest.importorskip(library)
    frame = getattr(reader_of(lab, Whole("t", lambda state: [payload({"n": 1, "j": {"a": 1}})])), method)()
    assert list(frame["n"]) == [1]
    assert list(frame["j"]) == ['{"a":1}']


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_data_frame_whose_library_is_missing_names_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """And the rows are still there to be read in another way."""
    monkeypatch.setitem(sys.modules, library, None)
    reader = reader_of(lab, Whole("t", lambda state: [payload({"n": 1})]))
    with pytest.raises(ImportError, match=f"needs {library}: pip install {library}"):
        getattr(reader, f"to_{library}")()
    assert reader.to_arrow().num_rows == 1


def test_a_flow_file_is_read_with_its_options(lab: Lab) -> None:
    """What it does with bad records counts; its destination and its states do not."""
    rows: list[dict[str, Any]] = [{"n": 1}, {"n": "bad"}, {"n": 3}]
    lab.script(Whole("t", lambda state: [payload(*rows, state={"x": 1})], KEYED, incremental=True))
    reader = open_stream(lab.flow(on_bad_record="reject"), "src.t", environment=lab.environment())
    assert values(reader) == [1, 3]
    assert reader.rows_rejected == 1
    assert lab.tables == {}


@pytest.mark.parametrize(
    "remedy",
    [
        "reset the state (`vdk datasource state reset FLOW`) to read from the beginning",
        "Reset the state of stream 't' (`vdk datasource state reset FLOW --stream t`) to read from the beginning",
        "reset it (`vdk datasource state reset FLOW --stream t`) to read from the beginning",
    ],
)
def test_states_of_the_caller_are_not_reset_in_a_flow(lab: Lab, remedy: str) -> None:
    def refuse(state: State) -> Iterator[DataSourcePayload]:
        raise StateError(f"it is damaged: {remedy}")

    stream = Whole("t", refuse, KEYED, incremental=True)
    with pytest.raises(StateError, match=r"^it is damaged: [Pp]ass no states to read from the beginning$"):
        values(reader_of(lab, stream, states={"": {"x": 1}}))


def test_a_url_is_enough(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source that has its scheme reads it; references are resolved."""
    lab.script(Whole("t", counting(3)))
    lab.registry.add("acme", "test_urls:AcmeSource")
    monkeypatch.setattr(AcmeSource, "options_of_url", lambda url, cursor=None: {"script": url.partition("://")[2]})
    monkeypatch.setenv("TARGET", lab.target)
    assert values(open_stream("acme://${env:TARGET}/src", "t", environment=lab.environment())) == [0, 1, 2]
    with pytest.raises(ConfigurationError, match=r"no installed source reads sqlite:// URLs; .*pip install"):
        open_stream("sqlite:///shop.db", "t", environment=lab.environment())


@pytest.mark.parametrize(
    ("stream", "match"),
    [
        ("tt", r"the source has no stream 'tt'; expected one of: t"),
        ("src.tt", r"the source has no stream 'tt'; expected one of: t"),
    ],
)
def test_an_unknown_stream_is_named(lab: Lab, stream: str, match: str) -> None:
    lab.script(Whole("t", counting(3)))
    with pytest.raises(ConfigurationError, match=match):
        open_stream(lab.flow(), stream, environment=lab.environment()).to_arrow()


def test_a_stream_of_two_sources_needs_the_name_of_one(lab: Lab) -> None:
    lab.script(Whole("t", counting(3)))
    flow = lab.flow()
    flow["sources"]["crm"] = flow["sources"]["src"]
    flow["flows"].append({"from": "crm", "to": "lake", "streams": ["t", "u"]})
    with pytest.raises(ConfigurationError, match=r'write read\(…, "crm.t"\) or read\(…, "src.t"\)'):
        open_stream(flow, "t", environment=lab.environment())
    assert values(open_stream(flow, "crm.t", environment=lab.environment())) == [0, 1, 2]
    with pytest.raises(ConfigurationError, match="no flow reads a stream 'v'"):
        open_stream({**flow, "flows": flow["flows"][1:]}, "v", environment=lab.environment())


@pytest.mark.parametrize("states", [{"next": 3}, [1]])
def test_states_that_are_not_by_partition_are_refused(lab: Lab, states: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"read\(…, states=reader.states\)"):
        reader_of(lab, Whole("t", counting(3)), states=states)


def test_the_package_shows_its_names(lab: Lab) -> None:
    """In a notebook, Tab lists the API and nothing else."""
    assert dir(base) == base.__all__
    assert "read" in dir(base)
    assert read(source_of(lab, Whole("t", counting(3))), "t").to_arrow().num_rows == 3


def test_a_notebook_shows_a_summary_as_a_small_escaped_table(lab: Lab) -> None:
    """``run_flows`` returns it. Names and errors come from outside."""
    lab.script(Whole("<b>t</b>", counting(3)))
    summary = execute(lab.flow(), lab.environment())
    assert re.fullmatch(r"<RunSummary: succeeded, 1 stream, 3 rows landed in \d+\.\d s>", repr(summary))
    html = summary._repr_html_()
    assert '<td style="text-align:left">src.&lt;b&gt;t&lt;/b&gt;</td>' in html
    assert "<td>3</td><td>3</td>" in html
    assert "rejected" not in html
    summary.streams = [*summary.streams] * 200
    summary.streams[0].error = "<script>"
    assert "and 100 more streams" in summary._repr_html_()
    assert "<pre>src.&lt;b&gt;t&lt;/b&gt;: &lt;script&gt;</pre>" in summary._repr_html_()
