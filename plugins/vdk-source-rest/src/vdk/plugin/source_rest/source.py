"""The source: an HTTP API, its streams declared in configuration, and the places where Python may differ."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSource, data_source
from vdk.plugin.datasource_base.parts import Redactor

from .auth import make_auth
from .auth.oauth2 import TokenServer
from .config import CsvConfig, RestConfig, StreamConfig
from .config_check import check_config
from .decoders import csv_rows, decode_json, json_lines, kind_of
from .extract import records_in
from .http.client import Cache, Client
from .http.rate_limit import Pace
from .http.transport import Limits, Transport
from .http.types import Page, Request, Response, Row
from .http.urls import Origin
from .pagination.reading import names_of, own_key_of, paginator_of
from .stream import RestStream

log = logging.getLogger(__name__)


@data_source(name="rest", config=RestConfig)
class RestSource(DataSource[RestConfig]):
    """An HTTP API. Subclass it where an API is odd, and override one method each for what is odd about it.

    ::

        class GithubConfig(RestConfig):
            base_url: str = "https://api.github.com"

        @data_source(name="github", config=GithubConfig)
        class GithubSource(RestSource):
            def records(self, stream, body):
                return [row for row in super().records(stream, body) if not row.get("draft")]

    Credentials go to the origin of ``base_url`` and nowhere else, whatever the methods return.
    """

    def __init__(self, config: RestConfig) -> None:
        super().__init__(config)
        check_config(config)
        self.cache = Cache()
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._auth: AuthBase | None = None
        self._warned: set[str] = set()
        self.incomplete: set[str] = set()
        """Streams with an answer that a rule ignores: what is not in them may still be there."""
        self.redact = Redactor.of_config(config, self._issued)
        self._streams = [RestStream(self, config.of(stream)) for stream in config.streams]

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process makes its own connections, and asks for its own tokens."""
        return type(self), (self.config,)

    def identity(self) -> str:
        """``base_url``, in one spelling."""
        url = self.config.base_url
        return f"{Origin.of(url)}{urlsplit(url).path.rstrip('/')}"

    def streams(self) -> Sequence[RestStream]:
        return list(self._streams)

    def stream(self, name: str) -> RestStream:
        """One stream, by its name."""
        return next(stream for stream in self._streams if stream.name == name)

    def check(self) -> None:
        """Asks for the first page of one stream: the first with ``check = true``, else the first that is read by GET.

        A POST may change something at the server, so it is sent only where ``check = true`` allows it.
        """
        stream = self._checked()
        if stream is None:
            log.warning(
                "%s was not asked: no stream without a parent is read by GET. If the request of one changes nothing at "
                "the server, set check = true on it",
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

    def _checked(self) -> RestStream | None:
        allowed = [stream for stream in self._streams if stream.config.check is not False]
        usual = [one for one in allowed if one.config.method == "GET" and one.config.parent is None]
        return next((one for one in [*(one for one in allowed if one.config.check), *usual]), None)

    def disconnect(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
        self.cache.clear()

    # What a subclass may do otherwise.

    def authentication(self) -> AuthBase | None:
        """What puts credentials on a request: any ``requests.auth.AuthBase``. Called once, when it is needed.

        It sees requests to the origin of ``base_url`` only. If it has a method ``renew(request) -> bool``, that is
        called when the server answers 401, and the request is sent once more where it returns true.
        """
        return make_auth(self.config.auth, TokenServer(self._limits()))

    def next_request(self, stream: StreamConfig, request: Request, page: Page) -> Request | None:
        """The request after ``page``, which answered ``request``; None: that was the last page."""
        return paginator_of(stream).next(request, page)

    def parse(self, stream: StreamConfig, response: Response) -> Any:
        """The value of a body. One of lines is parsed here only where it is read whole (``cache``, ``responses``)."""
        type_, numbers = response.headers.get("content-type", ""), stream.numbers or "exact"
        said = stream.format or "auto"
        kind = kind_of(type_) if said == "auto" else said
        if kind == "json":
            return decode_json(response.content, type_, numbers)
        limit = self.config.max_response_bytes
        if kind == "csv":
            lists: Iterable[Sequence[Any]] = csv_rows([response.content], type_, stream.csv or CsvConfig(), limit)
        else:
            lists = json_lines([response.content], numbers, limit)
        return [value for values in lists for value in values]

    def records(self, stream: StreamConfig, body: Any) -> Sequence[Row]:
        """The records in what ``parse`` returned, or in some lines of a body that is read line by line."""
        return records_in(body, stream.records, own_key_of(stream), names_of(stream))

    # What streams and partitions use.

    def warn_once(self, about: str, message: str) -> None:
        """For what is the same in each of a stream's partitions."""
        with self._lock:
            first = about not in self._warned
            self._warned.add(about)
        if first:
            log.warning("%s", message)

    @property
    def client(self) -> Client:
        """Shared by all threads; made when it is first needed."""
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> Client:
        config = self.config
        self._auth = self.authentication()
        transport = Transport(Origin.of(config.base_url), self._auth, self._limits())
        return Client(
            transport,
            self._auth,
            Pace(config.requests_per_second),
            attempts=config.retry.attempts,
            delay=config.retry.delay.total_seconds(),
            max_wait=config.retry.max_wait.total_seconds(),
            redact=self.redact,
        )

    def _limits(self) -> Limits:
        config = self.config
        certificate: str | tuple[str, str] | None = None
        if config.client_certificate is not None:
            certificate = str(config.client_certificate)
            if config.client_key is not None:
                certificate = (certificate, str(config.client_key))
        elif config.client_key is not None:
            raise ConfigurationError("client_key: there is no client_certificate that it belongs to")
        return Limits(
            connect=config.timeout.connect.total_seconds(),
            read=config.timeout.read.total_seconds(),
            total=config.timeout.total.total_seconds(),
            max_bytes=config.max_response_bytes,
            max_redirects=config.max_redirects,
            follow_foreign_links=config.follow_foreign_links,
            ca_bundle=config.ca_bundle,
            certificate=certificate,
        )

    def _issued(self) -> Iterable[str]:
        secrets = getattr(self._auth, "secrets", None)
        return secrets() if secrets is not None else ()
