"""Secrets taken out of texts that people read."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import msgspec

from ..contract import Secret
from ._references import Resolved

_PASSWORD_IN_URL = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)(?P<secret>[^\s/]+)(?=@)")
_PARAMETER_IN_URL = re.compile(
    r"(?P<head>[?&;](?:[\w.-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|signature)|sig)=)"
    r"(?P<secret>[^\s&;#'\"]+)",
    re.IGNORECASE,
)
SHORTEST = 4
"""Shorter secrets are taken out where they stand alone: taking out every "1" would destroy the text and protect
nothing. What a ``${env:…}`` or ``${property:…}`` gave and is as short, such as a number of rows, is left."""
DISTINCT = 8
"""What those gave and is shorter than this is taken out where it stands alone: "prod" is a part of "products"."""


class Redactor:
    """Replaces known secret values, and passwords in URLs, by ``***``.

    :param values: taken out wherever they stand; shorter than ``DISTINCT``, as whole words; than ``SHORTEST``, not.
    :param secrets: taken out wherever they stand; shorter than ``SHORTEST``, as whole words.
    """

    def __init__(self, values: Iterable[str] = (), secrets: Iterable[str] = ()) -> None:
        secrets, values = set(secrets) - {""}, set(values)
        anywhere = {one for one in secrets if len(one) >= SHORTEST} | {one for one in values if len(one) >= DISTINCT}
        words = {one for one in secrets | values if one in secrets or len(one) >= SHORTEST} - anywhere
        known = {form for one in anywhere for form in _spellings(one)}
        patterns = [re.escape(one) for one in sorted(known, key=len, reverse=True)]
        patterns += [rf"(?<!\w){re.escape(one)}(?!\w)" for one in sorted(words, key=len, reverse=True)]
        self._values = re.compile("|".join(patterns)) if patterns else None

    @classmethod
    def of(cls, resolved: Resolved, *configurations: Any) -> Redactor:
        """What references gave, what is secret in configurations, and the passwords of the URLs in all of them."""
        return cls(resolved.values, {*resolved.secrets, *secrets_in([resolved.data, *configurations])})

    def __call__(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub("***", text)
        return _PARAMETER_IN_URL.sub(r"\g<head>***", _PASSWORD_IN_URL.sub(r"\g<head>***", text))

    def deep(self, value: Any) -> Any:
        """The same, for every text in lists and mappings; keys are left."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.deep(one) for key, one in value.items()}
        return [self.deep(one) for one in value] if isinstance(value, (list, tuple)) else value


def _spellings(value: str) -> set[str]:
    """A value as it is, and as it looks in a ``repr``, in JSON, in a URL and in Base64."""
    plain = {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value)}
    return plain | set(_in_base64(value.encode("utf-8", "surrogatepass")))


def _in_base64(value: bytes) -> Iterator[str]:
    """What all Base64 texts have in common that hold ``value`` at one of the three places it can begin at.

    That is how HTTP sends a password together with its user (RFC 7617).
    """
    for before in range(3):
        spelled = base64.b64encode(b"\0" * before + value).decode()
        common = spelled[(before * 8 + 5) // 6 : (before + len(value)) * 8 // 6]
        if len(common) > SHORTEST:
            yield common


def secrets_in(value: Any) -> Iterator[str]:
    """The secrets of a configuration, and the passwords of the URLs in it, however deep.

    Passwords come as they stand in the URL, and decoded: errors of clients show the one or the other.
    """
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, str):
        for pattern in (_PASSWORD_IN_URL, _PARAMETER_IN_URL):
            for match in pattern.finditer(value):
                yield from {match["secret"], unquote(match["secret"])}
    elif isinstance(value, msgspec.Struct):
        yield from secrets_in([getattr(value, name) for name in value.__struct_fields__])
    elif isinstance(value, Mapping):
        yield from secrets_in(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from secrets_in(one)
