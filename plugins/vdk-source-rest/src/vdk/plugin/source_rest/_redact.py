"""Secrets taken out of what servers answered and of URLs, before people read them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from vdk.plugin.datasource_base.contract import Secret

SHORTEST = 4
"""Shorter secrets are left: taking out every "1" would destroy the text and protect nothing."""


class Redact:
    """Replaces secrets by ``***``: those of the configuration, and tokens that were issued meanwhile.

    :param issued: gives the latter.
    """

    def __init__(self, config: Any, issued: Callable[[], Iterable[str]] = tuple) -> None:
        self._fixed = set(_secrets_in(config))
        self._issued = issued

    def __call__(self, text: str) -> str:
        values = {form for secret in {*self._fixed, *self._issued()} for form in _spellings(secret)}
        known = sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True)
        return re.sub("|".join(map(re.escape, known)), "***", text) if known else text


def _spellings(value: str) -> set[str]:
    """A value as it is, and as it looks in a ``repr``, in JSON and in a URL."""
    return {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value)}


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets_in(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _secrets_in(one)
