# SPDX-License-Identifier: Apache-2.0
"""Jobs: an API that prepares an export is asked to begin, asked whether it is done, and asked for the files.

The stream's own request begins the job. The fields of all responses since then are ``{job.…}`` in the next requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

from .config import StreamConfig
from .context import StreamContext
from .http.client import Waiting
from .http.template import fill, fill_path, placeholders
from .http.types import HttpRequest
from .http.urls import join_path, resolve_link
from .job_config import JobConfig, JobRequest
from .pagination.paginators import NonePaginator
from .responses.extract import search
from .responses.handler import ParsedResponse, ResponseHandler
from .responses.rules import ResponseRule

_PREFIX = "job."


class Job:
    """One run of a job of a stream, for the request that begins it."""

    def __init__(self, context: StreamContext, stream: StreamConfig, config: JobConfig) -> None:
        self._context = context
        self._config = config
        self._name = stream.name
        # what the stream's options say is about the files, not about the job
        plain = msgspec.structs.replace(
            stream, format="json", records=None, cache=False, paginator=NonePaginator(), responses=[_EMPTY]
        )
        self._handler = ResponseHandler(context, plain)
        self._known: dict[str, Any] = {}

    def downloads(self, begin: HttpRequest) -> Waiting[list[HttpRequest]]:
        """The requests for the files, when the job is done.

        :raises DataSourceError: if the job fails, or takes longer than ``timeout``.
        """
        response = yield from self._send(begin)
        waited, config, client = 0.0, self._config, self._context.client
        while config.poll is not None:
            response = yield from self._send(self._request(config.poll, "poll"))
            if config.failed is not None and search(config.failed, response.body):
                raise self._handler.error(response.response, f"the job has failed by {config.failed!r}")
            if search(config.ready, response.body):
                break
            if waited >= config.timeout.total_seconds():
                raise self._handler.error(
                    response.response, f"the job is not done after {waited:.0f} s; raise job.timeout, which bounds this"
                )
            yield from client.pause(config.every.total_seconds())
            waited += config.every.total_seconds()
        if config.document is not None:
            response = yield from self._send(self._request(config.document, "document"))
        if config.download is not None:
            return [self._request(config.download, "download")]
        return list(self._linked(search(config.urls or "", self._known), response))

    def _linked(self, urls: Any, response: ParsedResponse) -> Iterator[HttpRequest]:
        links = urls if isinstance(urls, list) else [] if urls is None else [urls]
        for link in links:
            if not isinstance(link, str):
                raise self._handler.error(response.response, f"job.urls {self._config.urls!r} leads to {link!r:.80}")
            yield HttpRequest("GET", self._resolved(response.response.url, link))
        if urls is None:
            raise self._handler.error(
                response.response, f"job.urls {self._config.urls!r} leads to nothing; correct the path"
            )

    def _send(self, request: HttpRequest) -> Waiting[ParsedResponse]:
        parsed = yield from self._handler.fetch(request)
        if location := parsed.response.headers.get("location"):
            self._known["location"] = resolve_link(parsed.response.url, location)
        if isinstance(parsed.body, Mapping):
            self._known.update(parsed.body)
        return parsed

    def _request(self, config: str | JobRequest, option: str) -> HttpRequest:
        request = JobRequest(path=config) if isinstance(config, str) else config
        values = {}
        for name in {*placeholders(request.path), *placeholders(request.params), *placeholders(request.body)}:
            if not name.startswith(_PREFIX):
                continue
            values[name] = search(name.removeprefix(_PREFIX), self._known)
            if values[name] is None:
                raise DataSourceError(
                    f"stream {self._name!r}: job.{option} has {{{name}}}, and no response of the job has that field; "
                    f"the fields are {', '.join(map(repr, list(self._known)[:20]))}"
                )
        link = fill(request.path, values)
        is_link = request.path.startswith("{") and str(link).startswith(("http:", "https:"))
        url = str(link) if is_link else join_path(self._context.config.base_url, fill_path(request.path, values))
        return HttpRequest(request.method, url, fill(request.params, values), body=fill(request.body, values))

    def _resolved(self, base: str, link: str) -> str:
        try:
            return resolve_link(base, link)
        except ValueError as error:
            raise ConfigurationError(f"stream {self._name!r}: a file of the job is at {link!r:.200}: {error}") from None


_EMPTY = ResponseRule(empty=True, action="ignore")
"""A job may be accepted without any content, and named by a Location."""
