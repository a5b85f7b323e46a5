"""Secrets taken out of texts that people read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from ..contract import Secret

_PASSWORD_IN_URL = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/]+(?=@)")
SHORTEST = 4
"""Shorter values are left: taking out every "1" would destroy the text and protect nothing."""


class Redactor:
    """Replaces known secret values, and passwords in URLs, by ``***``."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        spelled = {form for value in values if len(value) >= SHORTEST for form in _spellings(value)}
        known = sorted(spelled, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub("***", text)
        return _PASSWORD_IN_URL.sub(r"\g<head>***", text)


def _spellings(value: str) -> set[str]:
    """A value as it is, and as it looks in a ``repr``, in JSON and in a URL."""
    return {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value)}


def secrets_in(value: Any) -> Iterator[str]:
    """The secrets of a configuration, however deep."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from secrets_in(one)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from secrets_in(one)
