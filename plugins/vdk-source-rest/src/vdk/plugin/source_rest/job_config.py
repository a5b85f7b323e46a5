# SPDX-License-Identifier: Apache-2.0
"""The options of a job."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, Duration

from .http.template import placeholders
from .responses.extract import compile_path

_Text = Annotated[str, Meta(min_length=1)]


class JobRequest(DataSourceConfig):
    """A request of a job, with fields of the responses before it as {job.field}."""

    path: Annotated[_Text, Meta(description="below base_url, or a whole URL of a response, as in {job.status_url}")]
    method: Annotated[Literal["GET", "POST"], Meta(description="the HTTP method")] = "GET"
    params: Annotated[dict[str, Any], Meta(description="parameters of the query")] = msgspec.field(default_factory=dict)
    body: Annotated[Any, Meta(description="sent as JSON")] = None


class JobConfig(DataSourceConfig):
    """A job that the stream's request begins: how to see that it is done, and where its files are."""

    poll: Annotated[
        _Text | JobRequest | None, Meta(description='the request for its status, as in "exports/{job.id}"')
    ] = None
    ready: Annotated[_Text, Meta(description="a JMESPath in the status to a value once it is done")] = "@"
    failed: Annotated[_Text | None, Meta(description="a JMESPath in the status to a value if it has failed")] = None
    document: Annotated[_Text | JobRequest | None, Meta(description="a further request, if that names the files")] = (
        None
    )
    download: Annotated[
        _Text | JobRequest | None, Meta(description='the request for the file, as in "exports/{job.id}/file"')
    ] = None
    urls: Annotated[_Text | None, Meta(description="a JMESPath in the responses to one or several URLs of files")] = (
        None
    )
    every: Annotated[Duration, Meta(description="the wait between two requests for the status")] = Duration(seconds=5)
    timeout: Annotated[Duration, Meta(description="how long a job may take")] = Duration(hours=1)


def check_job(config: JobConfig, location: str) -> None:
    """Raise ``ConfigurationError`` for a job that is never done, or has no files."""
    if (config.download is None) == (config.urls is None):
        raise ConfigurationError(
            f"{location}: the file has a path or a URL in a response; set one of download and urls, as in "
            'download = "exports/{job.id}/file"'
        )
    if config.poll is not None and config.ready == "@":
        raise ConfigurationError(f"{location}.ready: when is the job done? Set ready = \"status == 'done'\"")
    for option, path in (("ready", config.ready), ("failed", config.failed), ("urls", config.urls)):
        if path is not None:
            _check_path(path, f"{location}.{option}")
    for option in ("poll", "document", "download"):
        request = getattr(config, option)
        fields = (request.path, request.params, request.body) if isinstance(request, JobRequest) else (request,)
        for name in (name for field in fields for name in placeholders(field)):
            if isinstance(request, str) and not name.startswith("job."):
                raise ConfigurationError(
                    f"{location}.{option}: {{{name}}} has no value; a response's field is {{job.{name}}}"
                )


def _check_path(path: str, location: str) -> None:
    try:
        compile_path(path)
    except ConfigurationError as error:
        raise ConfigurationError(f"{location}: {error}") from None
