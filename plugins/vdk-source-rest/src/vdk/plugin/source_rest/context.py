# SPDX-License-Identifier: Apache-2.0
"""The stream context: what a source hands down to its streams, so that none of them knows the source."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import Redactor

from .config import RestConfig, StreamConfig
from .http.client import Client, ResponseCache
from .http.recording import Recording
from .http.transport import Transport, TransportLimits
from .http.types import HttpRequest, HttpResponse, Page, Row
from .http.urls import Origin
from .missing_columns import MissingColumns
from .pagination.missing_paths import MissingPaths
from .pagination.only_pages import OnlyPages

log = logging.getLogger(__name__)


class Hooks(Protocol):
    """The methods that a subclass of the source may override, and the context that it built."""

    context: StreamContext

    def authentication(self) -> AuthBase | None: ...

    def next_request(self, stream: StreamConfig, request: HttpRequest, page: Page) -> HttpRequest | None: ...

    def parse(self, stream: StreamConfig, response: HttpResponse) -> Any: ...

    def records(self, stream: StreamConfig, body: Any) -> Sequence[Row]: ...


class StreamContext:
    """The options, hooks and connections that the streams of one source share. Threads may share it."""

    def __init__(self, config: RestConfig, hooks: Hooks) -> None:
        self.config = config
        self.hooks = hooks
        self.cache = ResponseCache()
        self.redact: Callable[[str], str] = Redactor.of_config(config, self.issued_secrets)
        self.incomplete: set[str] = set()
        """Streams with a response that a rule ignores: records that are missing may still exist."""
        self.only_pages = OnlyPages()
        self.missing_paths = MissingPaths()
        self.missing_columns = MissingColumns()
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._answered = False
        self._auth: AuthBase | None = None
        self._warned: set[str] = set()
        folder = config.record or config.replay
        self.recording = Recording(folder, self.redact) if folder is not None else None
        self._slots: dict[str, threading.BoundedSemaphore] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process is that of the source's copy: it makes its own connections."""
        return getattr, (self.hooks, "context")

    @property
    def client(self) -> Client:
        """Made when it is first needed."""
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> Client:
        config = self.config
        self._auth = self.hooks.authentication()
        return Client(
            Transport(Origin.of(config.base_url), self._auth, transport_limits(config)),
            self._auth,
            per_second=config.requests_per_second,
            attempts=config.retry.attempts,
            delay=config.retry.delay.total_seconds(),
            max_wait=config.retry.max_wait.total_seconds(),
            redact=self.redact,
            answered=self._answered,
        )

    def disconnect(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            self._answered |= client.answered
            client.close()
        self.cache.clear()
        for checks in (self.only_pages, self.missing_paths, self.missing_columns):
            for warning in checks.warnings():
                log.warning("%s", warning)

    def warn_once(self, subject: str, message: str) -> None:
        """A warning that would be the same for each of a stream's partitions."""
        with self._lock:
            first = subject not in self._warned
            self._warned.add(subject)
        if first:
            log.warning("%s", message)

    def request_slots(self, stream: StreamConfig) -> threading.BoundedSemaphore | None:
        """One for each request of a stream that may be on its way; None: any number may."""
        if stream.max_parallel_requests is None:
            return None
        with self._lock:
            if stream.name not in self._slots:
                self._slots[stream.name] = threading.BoundedSemaphore(stream.max_parallel_requests)
            return self._slots[stream.name]

    def issued_secrets(self) -> Iterable[str]:
        """Secrets that are not in the configuration, such as issued tokens."""
        secrets = getattr(self._auth, "secrets", None)
        return secrets() if secrets is not None else ()


def transport_limits(config: RestConfig) -> TransportLimits:
    certificate: str | tuple[str, str] | None = None
    if config.client_certificate is not None:
        certificate = str(config.client_certificate)
        if config.client_key is not None:
            certificate = (certificate, str(config.client_key))
    elif config.client_key is not None:
        raise ConfigurationError(
            'client_key: its certificate is missing; name it, as in client_certificate = "client.pem"'
        )
    return TransportLimits(
        connect=config.timeout.connect.total_seconds(),
        read=config.timeout.read.total_seconds(),
        total=config.timeout.total.total_seconds(),
        max_bytes=config.max_response_bytes,
        max_redirects=config.max_redirects,
        follow_foreign_links=config.follow_foreign_links,
        ca_bundle=config.ca_bundle,
        certificate=certificate,
    )
