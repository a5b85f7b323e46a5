# SPDX-License-Identifier: Apache-2.0
"""Requests, responses and pages, as the methods that a subclass overrides see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import msgspec

from vdk.plugin.datasource_base.contract import ConfigurationError

from .template import fill, fill_path
from .urls import join_path

Param: TypeAlias = "str | int | float | bool | Sequence[str | int | float | bool] | None"
Row: TypeAlias = Mapping[str, Any]

BODY_PREFIX = "body."
"""A parameter whose name starts with it is a place in the JSON body: ``body.variables.after``."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without credentials: those are added when it is sent, and only for the source's own origin.

    :param url: absolute.
    :param params: added to the query of the URL; a list is repeated, None is left out.
    :param body: sent unless it is None.
    :param encoding: how the body is sent.
    :param compress: whether it is sent in gzip.
    :param template: what the request was made of; None: of nothing that has placeholders.
    """

    method: str
    url: str
    params: Mapping[str, Param] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    encoding: Literal["json", "form", "multipart"] = "json"
    compress: bool = False
    template: RequestTemplate | None = field(default=None, compare=False, repr=False)

    def param(self, name: str) -> Any:
        """The value of a placeholder, of a parameter in the query, or (``body.…``) in the body; None: it has none."""
        if self.template is not None and name in self.template.names:
            return self.template.values.get(name)
        if not name.startswith(BODY_PREFIX):
            return self.params.get(name)
        value = self.body
        for step in name.removeprefix(BODY_PREFIX).split("."):
            if isinstance(value, list):
                value = value[int(step)] if _is_index(step, value) else None
            else:
                value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def with_param(self, name: str, value: Any) -> HttpRequest:
        """The same request with a value for the placeholder of this name, else for the parameter.

        :raises ConfigurationError: for a place in the body that leads through a text or past the end of a list.
        """
        if self.template is not None and self.template.names:
            return self.template.with_param(name, value).request()
        if name.startswith(BODY_PREFIX):
            return replace(self, body=_with_value(self.body, name.removeprefix(BODY_PREFIX).split("."), value, name))
        return replace(self, params={**self.params, name: value})

    def key(self) -> bytes:
        """Bytes that are equal for equal requests."""
        return canonical_json([self.method, self.url, self.params, self.body])


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A request with placeholders, the values that are known so far, and the parameters that were set by name.

    :param names: of the placeholders that it has and that are filled later, page by page.
    :param values: of all names that are placeholders; None: no value yet.
    :param placed: parameters in the query or (``body.…``) in the body.
    """

    method: str
    base_url: str
    path: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any
    encoding: Literal["json", "form", "multipart"]
    compress: bool
    names: frozenset[str]
    values: Mapping[str, Any]
    placed: Mapping[str, Any] = field(default_factory=dict)

    def with_param(self, name: str, value: Any) -> RequestTemplate:
        if name in self.names:
            return replace(self, values={**self.values, name: value})
        return replace(self, placed={**self.placed, name: value})

    def request(self) -> HttpRequest:
        url = join_path(self.base_url, fill_path(self.path, self.values))
        params, body = fill(self.params, self.values), fill(self.body, self.values)
        request = HttpRequest(self.method, url, params, self.headers, body, self.encoding, self.compress)
        for name, value in self.placed.items():
            request = request.with_param(name, value)
        return replace(request, template=self)


@dataclass(slots=True)
class HttpResponse:
    """A response, read to its end.

    :param url: the URL that answered, after redirects.
    :param headers: names in lower case.
    :param content: the body, without its content encoding; empty if it is read line by line.
    """

    request: HttpRequest
    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes = b""


@dataclass(slots=True)
class Page:
    """A response and the records in it.

    :param number: 1 for the first page of a reading.
    :param body: the value that ``parse`` returned.
    :param records: the records that ``records`` returned; empty if they came line by line, see ``count``.
    :param count: the number of records in the response, before any filter.
    :param source: the list in the body that holds the records, before any filter; empty if no list holds them.
    :param total: the value at the paginator's ``total_path``, on this page or else on an earlier one.
    """

    number: int
    response: HttpResponse
    body: Any
    records: Sequence[Row]
    count: int
    source: Sequence[Any] = ()
    total: int | None = None


def _with_value(body: Any, path: list[str], value: Any, name: str) -> Any:
    """A copy of a JSON value with another value at a path of names and list indexes."""
    step, *rest = path
    container: Any
    key: Any = step
    if isinstance(body, list):
        if not _is_index(step, body):
            raise ConfigurationError(
                f"the parameter {name!r} leads into a list of {len(body)} in the body, and {step!r} is not an index of "
                "it; indexes begin at 0"
            )
        container, key = list(body), int(step)
        inner = container[key]
    elif body is None or isinstance(body, Mapping):
        container = dict(body or {})
        inner = container.get(step)
    else:
        raise ConfigurationError(
            f"the parameter {name!r} leads through {body!r:.80} in the body, which is not an object or a list"
        )
    container[key] = _with_value(inner, rest, value, name) if rest else value
    return container


def _is_index(step: str, values: list[Any]) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10 and int(step) < len(values)


def canonical_json(value: Any) -> bytes:
    """A JSON value as bytes that are the same for the same value, whatever the order of its fields."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, OverflowError):  # half a surrogate pair, or an integer beyond 64 bits
        return json.dumps(value, sort_keys=True, default=str).encode()


_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=str)
