"""Requests, responses and pages, as the hooks of a source see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import msgspec

Param: TypeAlias = "str | int | float | bool | Sequence[str | int | float | bool] | None"
Row: TypeAlias = Mapping[str, Any]

BODY = "body."
"""A parameter whose name begins so is a place in the JSON body: ``body.variables.after``."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, without credentials: those are added when it is sent, and only for the source's own origin.

    :param url: absolute.
    :param params: added to the URL's query; a list is repeated, None is left out.
    :param body: sent as JSON, where it is not None.
    """

    method: str
    url: str
    params: Mapping[str, Param] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def param(self, name: str) -> Any:
        """The value of a parameter, in the query or (``body.…``) in the body; None where there is none."""
        if not name.startswith(BODY):
            return self.params.get(name)
        value = self.body
        for step in name.removeprefix(BODY).split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def with_param(self, name: str, value: Any) -> Request:
        """The same request with a parameter set."""
        if name.startswith(BODY):
            return replace(self, body=_set(self.body, name.removeprefix(BODY).split("."), value))
        return replace(self, params={**self.params, name: value})

    def key(self) -> bytes:
        """What tells two requests apart."""
        return canonical([self.method, self.url, self.params, self.body])


@dataclass(slots=True)
class Response:
    """An answer, read to its end.

    :param url: where it came from, after redirects.
    :param headers: names in lower case.
    :param content: the body, without its content encoding; empty where a body is read line by line.
    """

    request: Request
    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes = b""


@dataclass(slots=True)
class Page:
    """A response with what was found in it.

    :param number: 1 for the first page of a reading.
    :param body: what ``parse`` made of the response.
    :param records: what ``records`` found in it; empty where records came line by line, see ``count``.
    :param count: the number of records.
    """

    number: int
    response: Response
    body: Any
    records: Sequence[Row]
    count: int


def _set(body: Any, path: list[str], value: Any) -> Any:
    """A copy of a JSON object with another value at a path."""
    here = dict(body) if isinstance(body, Mapping) else {}
    step, *rest = path
    here[step] = _set(here.get(step), rest, value) if rest else value
    return here


def canonical(value: Any) -> bytes:
    """A JSON value as bytes that are the same for the same value, whatever the order of its fields."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, OverflowError):  # half a surrogate pair, or an integer beyond 64 bits
        return json.dumps(value, sort_keys=True, default=str).encode()


_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=str)
