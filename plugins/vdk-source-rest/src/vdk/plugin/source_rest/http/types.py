"""Requests, responses and pages, as the hooks of a source see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import msgspec

from vdk.plugin.datasource_base.contract import ConfigurationError

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
            if isinstance(value, list):
                value = value[int(step)] if _is_index(step, value) else None
            else:
                value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def with_param(self, name: str, value: Any) -> Request:
        """The same request with a parameter set.

        :raises ConfigurationError: for a place in the body that leads through a text or past the end of a list.
        """
        if name.startswith(BODY):
            return replace(self, body=_set(self.body, name.removeprefix(BODY).split("."), value, name))
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
    :param count: the number of records in the answer, before any filter.
    :param source: the list in the body that they come from, before any filter; empty where there is none.
    :param total: what the paginator's ``total_path`` says, on this page or else on an earlier one.
    """

    number: int
    response: Response
    body: Any
    records: Sequence[Row]
    count: int
    source: Sequence[Any] = ()
    total: int | None = None


def _set(body: Any, path: list[str], value: Any, name: str) -> Any:
    """A copy of a JSON value with another value at a path, of names and of indexes of lists."""
    step, *rest = path
    here: Any
    key: Any = step
    if isinstance(body, list):
        if not _is_index(step, body):
            raise ConfigurationError(
                f"the parameter {name!r} leads into a list of {len(body)} in the body, and {step!r} is not an index of "
                "it; indexes begin at 0"
            )
        here, key = list(body), int(step)
        inner = here[key]
    elif body is None or isinstance(body, Mapping):
        here = dict(body or {})
        inner = here.get(step)
    else:
        raise ConfigurationError(
            f"the parameter {name!r} leads through {body!r:.80} in the body, which is not an object or a list"
        )
    here[key] = _set(inner, rest, value, name) if rest else value
    return here


def _is_index(step: str, values: list[Any]) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10 and int(step) < len(values)


def canonical(value: Any) -> bytes:
    """A JSON value as bytes that are the same for the same value, whatever the order of its fields."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, OverflowError):  # half a surrogate pair, or an integer beyond 64 bits
        return json.dumps(value, sort_keys=True, default=str).encode()


_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=str)
