"""Bodies of other kinds: forms, GraphQL, gzip, XML, objects keyed by id, Parquet and Arrow."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from support import Api, read
from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

Make = Callable[..., Any]
POST: dict[str, Any] = {"name": "items", "method": "POST", "body": {"a": "x ü", "n": [1, 2], "t": True}}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("encoding", ["json", "form", "multipart"])
def test_bodies_are_sent_as_the_api_wants_them(
    source: Make, httpserver: HTTPServer, encoding: str, compress: bool
) -> None:
    """The same values, each with its content type; gzip if it is wanted."""
    seen: list[Any] = []

    def answer(asked: Request) -> Any:
        data = asked.get_data()
        if compress:
            assert asked.headers["Content-Encoding"] == "gzip"
            data = gzip.decompress(data)
        plain = Request(dict(asked.environ) | {"wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data))})
        seen.append(plain.get_json(silent=True) or plain.form.to_dict(flat=False))
        return [{"id": 1}]

    api = Api(httpserver, answer)
    read(source(api.url, {**POST, "encoding": encoding, "compress": compress}))
    expected = POST["body"] if encoding == "json" else {"a": ["x ü"], "n": ["1", "2"], "t": ["true"]}
    assert seen == [expected]


def test_graphql_has_a_short_form(source: Make, httpserver: HTTPServer) -> None:
    """Its variables page, and errors beside the data are errors: the data is then a part of it."""
    errors: list[Any] = []

    def answer(asked: Request) -> Any:
        after = asked.get_json()["variables"].get("after")
        page = {"nodes": [{"id": 2 if after else 1}], "pageInfo": {"endCursor": None if after else "c1"}}
        return {"data": {"items": page}, **({"errors": errors} if errors else {})}

    api = Api(httpserver, answer)
    stream = {
        "name": "items",
        "path": "graphql",
        "graphql": {"query": "query($after: String) { items(after: $after) { id } }", "variables": {"first": 1}},
        "records": "data.items.nodes",
        "paginator": {"type": "cursor", "path": "data.items.pageInfo.endCursor", "param": "body.variables.after"},
    }
    assert [row["id"] for row in read(source(api.url, stream)).rows] == [1, 2]
    assert [body["variables"] for body in api.bodies()] == [{"first": 1}, {"first": 1, "after": "c1"}]
    errors.append({"message": "one shard is missing"})
    with pytest.raises(DataSourceError, match=r"has 1 records and looks like an error .*one shard"):
        read(source(api.url, stream))


XML = """<?xml version="1.0"?><feed xmlns="http://example.com/a"><count>2</count><entries>{}</entries></feed>"""
ENTRY = '<entry id="{0}"><title>t{0}</title><tag>a</tag><tag>b</tag><empty/></entry>'


@pytest.mark.parametrize("count", [0, 1, 2])
def test_xml_is_read_as_values(source: Make, httpserver: HTTPServer, count: int) -> None:
    """Attributes, texts and repeated elements; one entry is a record as well, and none is an empty page."""
    text = XML.format("".join(ENTRY.format(number) for number in range(count)))
    api = Api(httpserver, lambda _: Response(text, content_type="application/atom+xml; charset=utf-8"))
    landed = read(source(api.url, {"name": "items", "records": "feed.entries.entry", "format": "xml"}))
    assert landed.rows == [
        {"@id": str(number), "title": f"t{number}", "tag": ["a", "b"], "empty": None} for number in range(count)
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "XML that is not read"),
        ("<x><y></x>", "not valid XML"),
    ],
)
def test_xml_that_is_refused(source: Make, httpserver: HTTPServer, text: str, problem: str) -> None:
    """A response reads no files, and expands nothing."""
    api = Api(httpserver, lambda _: Response(text, content_type="text/xml"))
    with pytest.raises(DataSourceError, match=problem):
        read(source(api.url, {"name": "items"}))


@pytest.mark.parametrize(
    ("body", "records", "rows"),
    [
        ({"a1": {"n": 1}, "b2": {"n": 2}}, None, [{"id": "a1", "n": 1}, {"id": "b2", "n": 2}]),
        ({"rates": {"USD": 1.1, "CHF": 0.9}}, "rates", [{"id": "USD", "value": 1.1}, {"id": "CHF", "value": 0.9}]),
    ],
)
def test_an_object_keyed_by_id_is_a_list_of_records(
    source: Make, httpserver: HTTPServer, body: Any, records: Any, rows: Any
) -> None:
    """The name of a member is a column."""
    api = Api(httpserver, lambda _: body)
    stream = {"name": "items", "key_field": "id", "primary_key": "id"}
    assert read(source(api.url, stream | ({"records": records} if records else {}))).rows == rows
    with pytest.raises(DataSourceError, match="since key_field is set, not null"):
        read(source(api.url, {**stream, "records": "nope"}))


@pytest.mark.parametrize("kind", ["parquet", "arrow stream", "arrow file"])
def test_tables_are_read_with_their_values(source: Make, httpserver: HTTPServer, kind: str) -> None:
    """By their content type or their format; a damaged file is an error."""
    table = pa.table({"id": [1, 2], "price": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2))})
    content = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, content)
    else:
        write = pa.ipc.new_stream if kind.endswith("stream") else pa.ipc.new_file
        with write(content, table.schema) as writer:
            writer.write_table(table)
    type_ = "application/vnd.apache.parquet" if kind == "parquet" else "application/vnd.apache.arrow.stream"
    body = content.getvalue()
    api = Api(httpserver, lambda _: Response(body, content_type=type_))
    made = source(api.url, {"name": "items"}, retry={"attempts": 1})
    assert read(made).rows == [{"id": 1, "price": Decimal("1.10")}, {"id": 2, "price": None}]
    body = body[: len(body) // 2]
    with pytest.raises(DataSourceError, match=r"it is not valid (parquet|arrow)"):
        read(made)


@pytest.mark.parametrize(
    ("type_", "kind", "high"),
    [
        (pa.timestamp("us", "UTC"), "datetime", "2026-01-02T00:00:00.000002Z"),
        (pa.timestamp("us"), "datetime", "2026-01-02T00:00:00.000002"),
        (pa.timestamp("ns", "UTC"), "datetime", "2026-01-02T00:00:00.000002001Z"),
        (pa.date32(), "date", "2026-01-02"),
    ],
    ids=str,
)
def test_a_time_of_a_table_is_a_cursor(source: Make, httpserver: HTTPServer, type_: Any, kind: str, high: str) -> None:
    """The state has it as text, with all its digits, and the next run asks for it; what landed is not read again."""
    day = 20_454 if kind == "date" else 1_767_225_600_000_000
    unit, last = (1, 0) if kind == "date" else (86_400_000_000, 2)
    values = [day, day + unit + last]
    if getattr(type_, "unit", "") == "ns":
        values = [day * 1000, (day + unit + last) * 1000 + 1]
    table = pa.table({"id": [1, 2], "at": pa.array(values, type_)})
    content = io.BytesIO()
    pq.write_table(table, content)
    api = Api(httpserver, lambda _: Response(content.getvalue(), content_type="application/vnd.apache.parquet"))
    cursor = {"field": "at", "type": kind, "param": "since", "lookback": "0s"}
    made = source(api.url, {"name": "items", "primary_key": "id", "cursor": cursor})
    first = read(made)
    assert len(first.rows) == 2
    assert first.states[""]["high"] == high
    again = read(made, states=first.states)
    assert again.counts["rows_unchanged"] == 1
    assert api.urls()[-1].startswith(f"items?since={high[:10]}")


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        ({"encoding": "form"}, "encoding and compress are for a body"),
        ({"encoding": "form", "body": {"a": 1}}, 'a form is posted; set method = "POST"'),
        ({"encoding": "form", "method": "POST", "body": {"a": {"b": 1}}}, "'a' is nested; set encoding = \"json\""),
        ({"graphql": {"query": "{ a }"}, "body": {"a": 1}}, "remove body, or graphql"),
    ],
)
def test_bodies_that_do_not_fit(source: Make, stream: Any, problem: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", {"name": "items", **stream})
