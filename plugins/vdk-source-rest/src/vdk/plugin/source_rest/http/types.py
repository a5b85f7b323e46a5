# SPDX-License-Identifier: Apache-2.0
"""Requests, responses and pages, as the methods that a subclass overrides see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import msgspec

from vdk.plugin.datasource_base.contract import ConfigurationError

Param: TypeAlias = "str | int | float | bool | Sequence[str | int | float | bool] | None"
Row: TypeAlias = Mapping[str, Any]

BODY_PREFIX = "body."
"""A parameter whose name starts with it is a place in the JSON body: ``body.variables.after``."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without credentials: those are added when it is sent, and only for the source's own origin.

    :param url: absolute.
    :param params: added to the query of the URL; a list is repeated, None is left out.
    :param body: sent as JSON unless it is None.
    """

    method: str
    url: str
    params: Mapping[str, Param] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def param(self, name: str) -> Any:
        """The value of a parameter in the query, or (``body.…``) in the body; None if it is missing."""
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
        """The same request with a parameter set.

        :raises ConfigurationError: for a place in the body that leads through a text or past the end of a list.
        """
        if name.startswith(BODY_PREFIX):
            return replace(self, body=_with_value(self.body, name.removeprefix(BODY_PREFIX).split("."), value, name))
        return replace(self, params={**self.params, name: value})

    def key(self) -> bytes:
        """Bytes that are equal for equal requests."""
        return canonical_json([self.method, self.url, self.params, self.body])


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
