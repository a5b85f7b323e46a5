# SPDX-License-Identifier: Apache-2.0
"""The source: an HTTP API with declared streams, and the methods that a subclass may override."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSource, data_source

from .auth import make_auth
from .auth.token_server import TokenServer
from .checks import check_config
from .config import RestConfig, StreamConfig
from .context import StreamContext, transport_limits
from .http.types import HttpRequest, HttpResponse, Page, Row
from .http.urls import Origin, mask_url
from .responses.extract import records_in
from .responses.handler import parse_body
from .stream import RestStream

log = logging.getLogger(__name__)
_CHANGED = ("updated_at", "updated", "modified_at", "modified", "updatedAt", "modifiedAt")


@data_source(name="rest", config=RestConfig)
class RestSource(DataSource[RestConfig]):
    """An HTTP API. If it is odd, subclass this and override one method for each oddity.

    ::

        class GithubConfig(RestConfig):
            base_url: str = "https://api.github.com"

        @data_source(name="github", config=GithubConfig)
        class GithubSource(RestSource):
            def records(self, stream, body):
                return [row for row in super().records(stream, body) if not row.get("draft")]

    Credentials go to the origin of ``base_url`` and nowhere else, whatever the methods return.
    """

    url_schemes = ("https", "http")
    url_names_stream = True

    @classmethod
    def describe_state(cls, state: Mapping[str, Any]) -> str | None:
        """The highest value of the cursor, or that there is a token, which is the API's own."""
        if "sync_token" in state:
            return f"after the last {state['sync_token']}"
        return f"{state['cursor']} {state['high']}" if {"cursor", "high"} <= set(state) else None

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        """``https://api.example.com/v1/orders`` is the stream ``orders`` below ``https://api.example.com/v1``."""
        address, _, query = url.partition("#")[0].partition("?")
        base, slash, name = address.rstrip("/").rpartition("/")
        if not slash or base.endswith(("://", ":/")):
            raise ConfigurationError(
                f"the URL names no list of records; write one, such as {mask_url(address.rstrip('/'))}/orders"
            )
        if "@" in urlsplit(address).netloc:
            raise ConfigurationError(
                "the URL has a user or password, which belong into auth: write the URL without them, and add, to the "
                'flow file, auth = { type = "basic", … }: vdk datasource config rest'
            )
        stream: dict[str, Any] = {"name": unquote(name)}
        if unquote(name) != name:
            stream["path"] = name
        if query:
            stream["params"] = dict(parse_qsl(query, keep_blank_values=True))
        if cursor is not None:
            stream["cursor"] = {"field": cursor}
        return {"base_url": base, "streams": [stream]}

    @classmethod
    def option_hints(
        cls, stream: str, columns: Mapping[str, str], *, keyed: bool, cursor: str | None, unique: Collection[str] = ()
    ) -> Sequence[str]:
        """The key and the cursor of records that have an ``id`` of their own and a time of their last change."""
        options = [] if keyed or "id" not in unique else ['primary_key = "id"']
        changed = [
            name for name in columns if name in ("updated_at", "updated", "modified_at", "updatedAt", "modified")
        ]
        if cursor is None and changed:
            options.append(f'cursor = {{ field = "{changed[0]}", param = "since" }}')
        return [f'streams = [{{ name = "{stream}", {", ".join(options)} }}]'] if options else ()

    @classmethod
    def config_of_openapi(cls, document: Mapping[str, Any], source_id: str) -> str:
        """A stream for each path that returns a list, with its key, its pages and its parent."""
        from .openapi import config_text

        return config_text(document, source_id)

    def __init__(self, config: RestConfig) -> None:
        super().__init__(config)
        check_config(config)
        self.context = StreamContext(config, self)
        self._streams: dict[str, RestStream] = {}
        for stream in config.streams:
            self._streams[stream.name] = RestStream(self.context, config.of(stream), self._streams)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process makes its own connections, and requests its own tokens."""
        return type(self), (self.config,)

    def identity(self) -> str:
        """``base_url``, in one spelling."""
        url = self.config.base_url
        return f"{Origin.of(url)}{urlsplit(url).path.rstrip('/')}"

    def streams(self) -> Sequence[RestStream]:
        return [stream for stream in self._streams.values() if stream.config.kind == "rows"]

    def stream(self, name: str) -> RestStream:
        """One stream, by its name."""
        return self._streams[name]

    def check(self) -> None:
        """Requests the first page of one stream: the first with ``check = true``, else the first that is read by GET.

        A POST may change something at the server, so it is sent only if ``check = true`` allows it.
        """
        stream = self._stream_to_check()
        if stream is None:
            log.warning(
                "%s was not checked: no stream without a parent is read by GET. If the request of a stream changes "
                "nothing at the server, set check = true on it",
                self.identity(),
            )
            return
        try:
            for partition in stream.partitions({}):
                with closing(partition.read({})) as payloads:  # type: ignore[type-var]  # a generator
                    next((payload for payload in payloads if payload.data is not None), None)
                return
        finally:
            self.disconnect()

    def _stream_to_check(self) -> RestStream | None:
        configs = [stream.config for stream in self.streams() if stream.config.check is not False]
        named = [config for config in configs if config.check]
        harmless = [config for config in configs if config.method == "GET" and config.parent is None]
        return next((self._streams[config.name] for config in [*named, *harmless]), None)

    def disconnect(self) -> None:
        self.context.disconnect()

    # The methods that a subclass may override.

    def authentication(self) -> AuthBase | None:
        """The authentication that puts credentials on a request, any of ``requests``. Called once, when it is needed.

        It sees requests to the origin of ``base_url`` only. If it has a method ``renew(request) -> bool``, that is
        called when the server answers 401, and the request is sent once more if it returns true.
        """
        return make_auth(self.config.auth, TokenServer(transport_limits(self.config)).post)

    def next_request(self, stream: StreamConfig, request: HttpRequest, page: Page) -> HttpRequest | None:
        """The request after ``page``, which answered ``request``; None: that was the last page."""
        return stream.paging().next(request, page)

    def parse(self, stream: StreamConfig, response: HttpResponse) -> Any:
        """The value of a body. A body of lines passes here only if it is read whole (``cache``, ``responses``)."""
        return parse_body(stream, response, self.config.max_response_bytes)

    def records(self, stream: StreamConfig, body: Any) -> Sequence[Row]:
        """The records in the value that ``parse`` returned, or in some lines of a body that is read line by line."""
        return records_in(body, stream.records, stream.own_key(), stream.list_names(), stream.key_field)
