# SPDX-License-Identifier: Apache-2.0
"""The column policy: what a flow does not want to land is nowhere afterwards."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hmac
import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import QUICK, Lab, ScriptConfig, ScriptedSource, Whole, payload
from vdk.plugin.datasource_base import (
    BadRecordError,
    ConfigurationError,
    DataSourcePayload,
    FlowFailedError,
    RejectedRows,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE, DataSourceStream
from vdk.plugin.datasource_base.parts.columns.keyed_hash import KeyedHash
from vdk.plugin.datasource_base.runtime import execute
from vdk.plugin.datasource_base.runtime.inspect.discover import discover_flow
from vdk.plugin.datasource_base.runtime.inspect.preview import preview_stream
from vdk.plugin.datasource_base.runtime.reading.open_stream import open_stream

SALT = "0123456789abcdef"
RAW = "123-45-6789"
HASH = hmac.digest(SALT.encode(), RAW.encode(), "sha256").hex()
POLICY = {"ssn": "hash", "note": "drop", "email": "mask"}
ROW: dict[str, Any] = {"id": 1, "ssn": RAW, "note": f"note {RAW}", "email": f"{RAW}@example.com", "total": 5}
LANDED = {"id": 1, "ssn": HASH, "email": "***", "total": 5}
FIELDS = pa.schema([("id", pa.int64()), ("ssn", pa.string()), ("note", pa.string()), ("email", pa.string())])
SCHEMA = StreamSchema(FIELDS.append(pa.field("total", pa.int64())), primary_key=("id",))


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("SALT", SALT)
    return Lab(request.node.name, tmp_path)


def policy(columns: Any = POLICY, **others: Any) -> dict[str, Any]:
    return {"columns": columns, "salt": "${env:SALT}", **others}


def stream(*payloads: DataSourcePayload, schema: StreamSchema | None = SCHEMA, name: str = "people") -> Whole:
    return Whole(name, lambda state: iter(payloads), schema)


@dataclasses.dataclass
class Person:
    id: int
    ssn: str
    note: str
    email: str
    total: int


@pytest.mark.parametrize(
    ("data", "schema"),
    [
        (ROW, SCHEMA),
        ([ROW], None),
        ([Person(**ROW)], StreamSchema.of(Person, primary_key=("id",))),
        (pa.Table.from_pylist([ROW]), SCHEMA),
        (pa.RecordBatch.from_pylist([ROW]), None),
    ],
)
def test_every_form_of_row_lands_as_the_policy_says(lab: Lab, data: Any, schema: StreamSchema | None) -> None:
    summary = lab.run(stream(DataSourcePayload(data), schema=schema), **policy())
    assert lab.tables["people"] == [LANDED]
    assert SALT not in json.dumps(summary.as_dict(), default=str)


def values(*items: Any, type_: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(items, type_)])


NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
SAME: dict[str, list[Any]] = {
    "5": [
        5, 5.0, Decimal("5.00"), b"5", values(5, type_=pa.int8()), values(5.0, type_=pa.float32()),
        values(Decimal(5), type_=pa.decimal128(9, 2)), values("5", type_=pa.large_string()).dictionary_encode(),
    ],
    "true": [True, values(True, type_=pa.bool_())],
    "2026-01-02T12:00:00Z": [
        NOON, NOON.astimezone(dt.timezone(dt.timedelta(hours=2))),
        values(NOON, type_=pa.timestamp("ns", "Europe/Rome")),
    ],
    "2026-01-02T12:00:00.5": [values(NOON.replace(microsecond=500_000, tzinfo=None), type_=pa.timestamp("us"))],
    "2026-01-20": [dt.date(2026, 1, 20), values(dt.date(2026, 1, 20), type_=pa.date32())],
    "10:00:00": [dt.time(10), values(dt.time(10), type_=pa.time64("us"))],
    "90.5": [dt.timedelta(seconds=90.5), values(dt.timedelta(seconds=90.5), type_=pa.duration("ms"))],
    "00000000-0000-0000-0000-000000000005": [uuid.UUID(int=5)],
    '{"a":["1",true],"b":"1.1"}': [
        {"b": 1.10, "a": [1, True]},
        pa.chunked_array([pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(['{"b": 1.10, "a": [1, true]}']))]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_a_value_has_one_hash_in_every_type(text: str) -> None:
    """HMAC-SHA256 of the canonical text, so that anyone with the salt can calculate it."""
    hashing = KeyedHash(SALT)
    expected = hmac.digest(SALT.encode(), text.encode(), "sha256").hex()
    for value in [text, *SAME[text]]:
        columnar = isinstance(value, pa.ChunkedArray)
        assert (hashing.column(value)[0].as_py() if columnar else hashing.value(value)) == expected, value


def test_null_stays_null_and_equal_values_stay_equal(lab: Lab) -> None:
    batch = pa.table({"id": [1, 2, 3], "ssn": ["a", None, "a"], "email": [None, "b", "c"]})
    lab.run(stream(DataSourcePayload(batch), schema=None), **policy({"ssn": "hash", "email": "mask"}))
    rows = lab.tables["people"]
    assert rows[0]["ssn"] == rows[2]["ssn"]
    assert rows[1]["ssn"] is None
    assert [row["email"] for row in rows] == [None, "***", "***"]


@pytest.mark.parametrize(
    ("columns", "landed"),
    [
        (["id", "total"], {"id": 1, "total": 5}),
        ({"id": "keep", "*": "mask"}, {"id": 1, "ssn": "***", "note": "***", "email": "***", "total": "***"}),
        (
            {"SSN": "drop", "people.Note": "drop", "other.email": "drop", "people.*": "keep"},
            {**ROW, "ssn": 0, "note": 0},
        ),
    ],
)
def test_columns_are_chosen_by_list_by_star_and_by_stream(lab: Lab, columns: Any, landed: dict[str, Any]) -> None:
    expected = {name: value for name, value in landed.items() if value != 0}
    other = stream(payload({"id": 1}), schema=None, name="other")
    lab.run(stream(payload(ROW)), other, columns=columns)
    assert lab.tables["people"] == [expected]


def test_keys_of_deletes_are_hashed_like_those_of_rows(lab: Lab) -> None:
    schema = StreamSchema(FIELDS, primary_key=("ssn",))
    rows = payload({"ssn": RAW}, {"ssn": "2"}, state={"n": 1})
    deletes = DataSourcePayload(pa.table({"ssn": [RAW]}), kind="deletes", state={"n": 2})
    lab.run(stream(rows, deletes, schema=schema), **policy({"ssn": "hash"}, write_mode="upsert"))
    assert [row["ssn"] for row in lab.tables["people"]] == [KeyedHash(SALT).value("2")]


def rejecting(row: Mapping[str, Any], error: BadRecordError) -> Whole:
    return stream(payload(ROW), DataSourcePayload(RejectedRows([(row, error)])))


REJECTED: dict[str, tuple[Mapping[str, Any], BadRecordError, dict[str, Any]]] = {
    "row": (
        {**ROW, "total": "x"},
        BadRecordError("not a number", column="total", key={"id": 1}, value="x"),
        {**LANDED, "total": "x"},
    ),
    "protected": (ROW, BadRecordError(f"{RAW} is odd", column="ssn", key={"ssn": RAW}, value=RAW), LANDED),
    "message": (
        {"topic": "t", "offset": 7, "value": json.dumps(ROW).encode()},
        BadRecordError(f"not JSON: {RAW}", key={"offset": 7}),
        {"topic": "***", "offset": "***", "value": "***"},
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected_rows_and_their_errors_have_no_value_that_is_taken_away(
    lab: Lab, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    row, error, landed = REJECTED[case]
    lab.run(rejecting(row, error), **policy(on_bad_record="reject"))
    (rejected,) = lab.tables["people__rejected"]
    assert json.loads(rejected["row"]) == landed
    assert ("7" if case == "message" else "not a number" if case == "row" else HASH) in rejected["reason"]
    with pytest.raises(FlowFailedError) as failed:
        lab.run(rejecting(row, error), **policy())
    assert RAW not in "".join([str(lab.tables), str(lab.states), str(failed.value), caplog.text])


def broken_read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
    raise BadRecordError(f"{RAW} is odd", column="ssn", value=RAW)


def broken_schema(table: str | None = None) -> StreamSchema:
    raise BadRecordError(f"{RAW} is odd", column="ssn", value=RAW)


def test_an_error_of_the_source_about_a_row_shows_no_value(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    without_schema = Whole("people", broken_read)
    without_schema.schema = broken_schema  # type: ignore[method-assign]  # on purpose
    for broken in (Whole("people", broken_read, SCHEMA), without_schema):
        with pytest.raises(FlowFailedError, match="the reason is not shown") as failed:
            lab.run(broken, **policy())
        assert RAW not in str(failed.value) + caplog.text + str(failed.value.errors)


def test_a_transform_and_a_misfit_get_what_the_policy_leaves(lab: Lab) -> None:
    given: list[Any] = []
    schema = StreamSchema(pa.schema([("id", pa.int64()), ("ssn", pa.int64())]))
    lab.run(stream(payload(ROW)), **policy(transform=lambda rows: given.extend(rows)))
    lab.run(stream(payload({"id": 1, "ssn": RAW}), schema=schema), **policy({"ssn": "hash"}))  # does not fit int64
    assert given == [LANDED]
    assert lab.tables["people"] == [{"id": 1, "ssn": HASH}]


def test_read_preview_and_discover_have_the_policy_too(lab: Lab) -> None:
    for schema in (SCHEMA, None):
        lab.script(stream(payload(ROW), schema=schema), stream(payload({"id": 1}), name="other", schema=None))
        flow, environment = lab.flow(**policy({**POLICY, "other.x": "drop"})), lab.environment()
        assert open_stream(flow, "people", environment=environment).to_arrow().to_pylist() == [LANDED]
        assert RAW not in preview_stream(flow, "people", environment).json()
        described = discover_flow(flow, environment).streams[0]
        assert {column["name"]: column["type"] for column in described.columns} == {
            "id": "int64", "ssn": "string", "email": "string", "total": "int64",
        }  # fmt: skip


def keyed(**others: Any) -> DataSourceStream:
    made = stream(payload(ROW), schema=StreamSchema(SCHEMA.fields, ("id",), cursor="total"))
    vars(made).update(others)
    return made


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"columns": {"ssnn": "drop"}}, "no column is 'ssnn'; did you mean 'ssn'"),
        ({"columns": {"people.mail": "drop"}}, "no column is 'people.mail'; did you mean 'email'"),
        ({"columns": ["id", "total", "note", "emial"]}, "no column is 'emial'; did you mean 'email'"),
        ({"columns": {"total": "hash"}, "salt": "${env:SALT}"}, "'total' is the cursor of stream 'people'"),
        ({"columns": {"note": "hash"}, "salt": "${env:SALT}"}, "'note' is the key of stream 'people'"),
        ({"columns": {"id": "mask"}}, "'id' is in the primary key"),
        ({"columns": {"id": "keep", "total": "keep", "note": "keep", "*": "refuse"}}, "has the column 'ssn', which"),
        ({"columns": {"ssn": "refuse"}}, '"refuse" is for columns that the list does not name'),
        ({"columns": {"ssn": "drop", "SSN": "keep"}}, "'ssn' and 'SSN' are one column"),
        ({"columns": {"ssn": "hash"}}, 'write salt = "${env:SALT}"'),
        ({"columns": {"ssn": "hash"}, "salt": SALT}, "is not written into a file"),
        ({"columns": {"ssn": "hash"}, "salt": "${env:SHORT}"}, "has 5 characters"),
        ({"columns": {"ssn": "hide"}}, "Expected"),
        ({"columns": []}, "nothing would land"),
        ({"columns": {"*": "drop"}}, "'total' is the cursor"),
    ],
)
def test_a_wrong_policy_is_refused_before_anything_is_read(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("SHORT", "short")
    with pytest.raises(ConfigurationError) as raised:
        lab.run(keyed(state_columns=("note",)), **entry)
    assert message in str(raised.value)
    assert SALT not in str(raised.value)
    assert not lab.tables


def test_a_misspelled_name_is_found_in_rows_that_declare_no_columns(lab: Lab) -> None:
    with pytest.raises(FlowFailedError, match=r"has the column 'ssn' and none named 'snn'"):
        lab.run(stream(payload(ROW), schema=None), columns={"snn": "drop"})
    with pytest.raises(FlowFailedError, match=r"has the column 'note', which .*columns does not name"):
        lab.run(stream(payload(ROW), schema=None), columns={"id": "keep", "ssn": "drop", "*": "refuse"})
    assert not lab.tables


def test_a_name_that_no_row_has_is_a_warning(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.run(stream(payload(ROW), schema=None), columns={"zip": "drop"})
    assert "columns names 'zip', and no row had such a column" in caplog.text


@pytest.mark.parametrize("action", ["hash", "mask", "drop"])
def test_a_policy_that_comes_later_is_refused_until_the_table_is_replaced(lab: Lab, action: str) -> None:
    made = Whole("people", lambda state: iter([payload(ROW, state={"n": 1})]), SCHEMA)
    lab.run(made)
    with pytest.raises(ConfigurationError, match=r"'ssn' that landed before .* --full-refresh --stream people"):
        lab.run(**policy({"ssn": action, "note": "keep"}))
    environment = lab.environment()
    environment.scope = dataclasses.replace(environment.scope, full_refresh=True, confirmed=True)
    execute(lab.flow(**policy({"ssn": action})), environment)
    assert RAW not in str([row.get("ssn") for row in lab.tables["people"]])
    lab.run(**policy({"ssn": action}))


def test_the_salt_is_redacted(lab: Lab) -> None:
    def fails(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        raise RuntimeError(f"the salt is {SALT}")

    with pytest.raises(FlowFailedError) as failed:
        lab.run(Whole("people", fails, SCHEMA), options=QUICK, **policy())
    assert SALT not in str(failed.value)


@pytest.mark.parametrize(
    ("columns", "expected"), [(POLICY, LANDED), (["id", "total"], {"id": 1, "total": 5}), (None, ROW)]
)
def test_a_source_that_is_read_without_a_flow_has_a_policy_too(
    lab: Lab, columns: Any, expected: dict[str, Any]
) -> None:
    lab.script(stream(payload(ROW)))
    source = ScriptedSource(ScriptConfig(script=f"{lab.target}/src"))
    salt = SALT if columns is POLICY else None
    (row,) = open_stream(source, "people", columns=columns, salt=salt).to_arrow().to_pylist()
    assert row == expected


def test_a_flow_that_is_read_has_its_own_policy(lab: Lab) -> None:
    lab.script(stream(payload(ROW)))
    source = ScriptedSource(ScriptConfig(script=f"{lab.target}/src"))
    with pytest.raises(ConfigurationError, match=r"columns=…\): a flow has its own policy; write columns in its"):
        open_stream(lab.flow(), "people", columns=["id"])
    with pytest.raises(ConfigurationError, match="hashes without a salt"):
        open_stream(source, "people", columns=POLICY).to_arrow()


def test_a_misspelled_name_is_refused_where_a_source_is_read(lab: Lab) -> None:
    """It is the only stream that is read, so no other one can have the column."""
    lab.script(stream(payload(ROW)))
    source = ScriptedSource(ScriptConfig(script=f"{lab.target}/src"))
    with pytest.raises(ConfigurationError, match="no column is 'emial'; did you mean 'email'"):
        open_stream(source, "people", columns={"emial": "mask"}).to_arrow()


def test_names_for_other_streams_are_no_warning_where_one_is_chosen(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """They have not landed: a run of one stream reads no other."""
    lab.script(stream(payload(ROW)), stream(payload({"id": 1}), schema=None, name="visits"))
    environment = lab.environment()
    environment.streams = ("visits",)
    execute(lab.flow(columns={"people.note": "drop", "email": "mask"}), environment)
    assert "no row had such a column" not in caplog.text
