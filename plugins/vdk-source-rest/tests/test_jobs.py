"""Jobs: begun, polled and downloaded as one stream, with the cursor in the request that begins them."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from support import Api, read
from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

Make = Callable[..., Any]
CSV = b"id,at\n1,2026-01-01\n2,2026-01-02\n"
LINES = b'{"id":"1","at":"2026-01-01"}\n{"id":"2","at":"2026-01-02"}\n'


def zipped(*files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(files):
            archive.writestr(f"export{number}.csv", file)
    return content.getvalue()


class Exports(Api):
    """A job is done when it was asked for twice; its file is below the API, or signed on another host."""

    def __init__(self, server: HTTPServer) -> None:
        self.polls = 0
        self.final: dict[str, Any] = {"status": "done"}
        self.file = CSV
        super().__init__(server, self._find)

    def _find(self, asked: Request) -> Any:
        path = asked.path.removeprefix("/v1/")
        if path == "exports":
            return {"id": "j 1", "links": {"status": "http://ignored"}}
        if path == "documents/d1":
            return {"url": "files/signed?x=1"}
        if path in ("exports/j 1", "status"):
            self.polls += 1
            return {"status": "running"} if self.polls < 3 else self.final
        return Response(self.file, content_type="application/octet-stream")


EXPORT: dict[str, Any] = {
    "name": "items",
    "path": "exports",
    "method": "POST",
    "body": {"from": "{cursor}"},
    "format": "csv",
    "primary_key": "id",
    "cursor": {"field": "at", "type": "date", "initial": "2025-12-31"},
}
JOB: dict[str, Any] = {"poll": "exports/{job.id}", "ready": "status == 'done'", "failed": "status == 'failed'"}


@pytest.mark.parametrize(
    ("job", "file", "format_", "last"),
    [
        ({"download": "exports/{job.id}/file"}, CSV, "csv", "exports/j 1/file"),
        ({"urls": "files[].href"}, gzip.compress(LINES), "ndjson", "exports/files/b"),
        ({"document": "documents/{job.doc}", "urls": "url"}, zipped(CSV), "csv", "documents/files/signed?x=1"),
        (
            {"poll": {"path": "status", "method": "POST", "body": {"ids": ["{job.id}"]}}, "download": "f"},
            CSV,
            "csv",
            "f",
        ),
    ],
    ids=["a path, CSV", "two links, NDJSON in gzip", "a document with a link, zip", "polled by POST"],
)
def test_an_export_is_read_when_it_is_done(
    source: Make, httpserver: HTTPServer, job: Any, file: bytes, format_: str, last: str
) -> None:
    """Its records land like any others, and the next job begins where they ended."""
    api = Exports(httpserver)
    api.file = file
    api.final |= {"files": [{"href": "files/a"}, {"href": "files/b"}], "doc": "d1"}
    made = source(api.url, {**EXPORT, "format": format_, "job": {**JOB, **job}})
    landed = read(made)
    assert {row["id"] for row in landed.rows} == {"1", "2"}
    assert api.polls == 3
    assert api.urls()[-1] == last
    read(made, states=landed.states)
    assert [body for method, url, body in api.asked if url == "exports"] == [
        {"from": "2025-12-31"},
        {"from": "2026-01-02"},
    ]


def test_a_signed_file_gets_no_credentials(source: Make, httpserver: HTTPServer) -> None:
    """It is on another host, which is an error unless links to other hosts are followed; and then without them."""
    api = Exports(httpserver)
    seen: list[Request] = []

    def answer(asked: Request) -> Response:
        seen.append(asked)
        return Response(CSV)

    with HTTPServer(port=0) as other:
        other.expect_request("/file").respond_with_handler(answer)
        api.final["url"] = other.url_for("/file?X-Amz-Signature=s")
        stream = {**EXPORT, "job": {**JOB, "urls": "url"}}
        auth = {"type": "bearer", "token": "canary"}
        with pytest.raises(ConfigurationError, match="set follow_foreign_links = true"):
            read(source(api.url, stream, auth=auth))
        assert len(read(source(api.url, stream, auth=auth, follow_foreign_links=True)).rows) == 2
    assert [asked.headers.get("Authorization") for asked in seen] == [None]


@pytest.mark.parametrize(
    ("final", "file", "job", "problem"),
    [
        ({"status": "failed", "why": "quota"}, CSV, {}, r"the job has failed by .*quota"),
        ({"status": "queued"}, CSV, {"timeout": "20s"}, r"not done after 20 s; raise job.timeout"),
        ({"status": "done"}, CSV, {"download": "x/{job.nope}"}, r"\{job.nope\}, and no response .* 'id'"),
        ({"status": "done"}, CSV, {"download": None, "urls": "nope"}, "job.urls 'nope' leads to nothing"),
        ({"status": "done"}, zipped(CSV, CSV), {}, "the zip has 2 files"),
        ({"status": "done"}, zipped(CSV)[:-30], {}, "the zip cannot be read"),
    ],
)
def test_a_job_that_does_not_end_well(
    source: Make, httpserver: HTTPServer, final: Any, file: bytes, job: Any, problem: str
) -> None:
    """The error shows the status, or names the option."""
    api = Exports(httpserver)
    api.final, api.file = final, file
    with pytest.raises(DataSourceError, match=problem):
        read(source(api.url, {**EXPORT, "job": {**JOB, "download": "f", **job}}))


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        ({"poll": "x"}, "set one of download and urls"),
        ({"poll": "x", "download": "f"}, "ready = \"status == 'done'\""),
        ({"poll": "x/{id}", "ready": "a", "download": "f"}, r"a response's field is \{job.id\}"),
        ({"download": "f", "failed": "a["}, r"job\.failed: 'a\[' is not a JMESPath"),
    ],
)
def test_jobs_that_do_not_fit(source: Make, job: Any, problem: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", {"name": "items", "job": job})
