"""An odd API, read by a subclass that overrides one method each for what is odd about it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import requests
from pytest_httpserver import HTTPServer
from requests.auth import AuthBase
from werkzeug import Request as Asked
from werkzeug import Response as Reply

from support import read
from vdk.plugin.datasource_base.contract import ConfigurationError, data_source
from vdk.plugin.source_rest import HttpRequest, HttpResponse, Page, RestConfig, RestSource, StreamConfig

Make = Callable[..., Any]


class Signed(AuthBase):
    """Signs each request by its path."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-Signature"] = base64.b64encode(request.path_url.encode()).decode()
        return request


@data_source(name="odd", config=RestConfig)
class OddSource(RestSource):
    """Signs requests, pages by a header that counts down, wraps JSON in base64, and hides drafts in its records."""

    def authentication(self) -> AuthBase:
        return Signed()

    def next_request(self, stream: StreamConfig, request: HttpRequest, page: Page) -> HttpRequest | None:
        left = int(page.response.headers["x-pages-left"])
        return replace(request, params={**request.params, "part": page.number + 1}) if left else None

    def parse(self, stream: StreamConfig, response: HttpResponse) -> Any:
        return json.loads(base64.b64decode(response.content))

    def records(self, stream: StreamConfig, body: Any) -> Sequence[dict[str, Any]]:
        return [dict(zip(body["names"], row, strict=True)) for row in body["rows"] if row[-1] != "draft"]


def odd_api(asked: Asked) -> Reply:
    assert asked.headers["X-Signature"] == base64.b64encode(asked.full_path.rstrip("?").encode()).decode()
    part = int(asked.args.get("part", "1"))
    body = {"names": ["id", "state"], "rows": [[part, "done"], [part + 100, "draft"]]}
    content = base64.b64encode(json.dumps(body).encode())
    return Reply(content, content_type="text/plain", headers={"X-Pages-Left": str(3 - part)})


def test_each_method_can_be_overridden(source: Make, httpserver: HTTPServer) -> None:
    """Authentication, the next request, parsing and records, one method each."""
    httpserver.expect_request("/items").respond_with_handler(odd_api)
    made = source(httpserver.url_for("/"), kind=OddSource)
    assert read(made).rows == [{"id": number, "state": "done"} for number in (1, 2, 3)]


def test_a_next_request_to_another_origin_is_refused(source: Make, httpserver: HTTPServer) -> None:
    """A subclass is held to the origin like any link."""

    class Astray(OddSource):
        def next_request(self, stream: StreamConfig, request: HttpRequest, page: Page) -> HttpRequest | None:
            return replace(request, url="http://127.0.0.2:9/x")

    httpserver.expect_request("/items").respond_with_handler(odd_api)
    with pytest.raises(ConfigurationError, match="credentials belong to"):
        read(source(httpserver.url_for("/"), kind=Astray))
