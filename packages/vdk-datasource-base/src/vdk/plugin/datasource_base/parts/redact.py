"""Secrets taken out of texts that people read."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import msgspec

from ..contract import Secret
from .references import Resolved

_IN_SCHEME = ("+", ".", "-")
_AUTHORITY_END = re.compile(r"[\s/]")
_PARAMETER = re.compile(r"[?&;]([\w.-]{1,1000})=")
_PARAMETER_END = re.compile(r"[\s&;#'\"]")
_NAME = re.compile(
    r"(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|signature)\Z|\Asig\Z", re.IGNORECASE
)
"""What the name of a parameter ends with whose value is a secret, or is."""
LONGEST = 256 * 1024
"""Characters of a text that are looked at; what follows them is not shown."""
SHOWN = 64 * 1024
"""Characters that are shown of a text."""
SHORTEST = 4
"""Shorter secrets are taken out where they stand alone: taking out every "1" would destroy the text and protect
nothing. What a ``${env:…}`` or ``${property:…}`` gave and is as short, such as a number of rows, is left."""
DISTINCT = 8
"""What those gave and is shorter than this is taken out where it stands alone: "prod" is a part of "products"."""


class Redactor:
    """Replaces known secret values, and passwords in URLs, by ``***``.

    The work is linear in the text, whatever the text is, and what comes out is bounded: a server's answer of some
    megabytes may be in an error, and a pattern that begins again at every letter would stop all threads.

    :param values: taken out wherever they stand; shorter than ``DISTINCT``, as whole words; than ``SHORTEST``, not.
    :param secrets: taken out wherever they stand; shorter than ``SHORTEST``, as whole words.
    :param issued: gives secrets that came about meanwhile, such as tokens.
    """

    def __init__(
        self,
        values: Iterable[str] = (),
        secrets: Iterable[str] = (),
        issued: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        secrets, values = set(secrets) - {""}, set(values)
        anywhere = {secret for secret in secrets if len(secret) >= SHORTEST} | {
            value for value in values if len(value) >= DISTINCT
        }
        self._words = {secret for secret in secrets | values if secret in secrets or len(secret) >= SHORTEST} - anywhere
        self._anywhere = {form for one in anywhere for form in _spellings(one)}
        self._issued, self._seen = issued, set(anywhere)

    @classmethod
    def of(cls, resolved: Resolved, *configurations: Any) -> Redactor:
        """What references gave, what is secret in configurations, and the passwords of the URLs in all of them."""
        return cls(resolved.values, {*resolved.secrets, *secrets_in([resolved.data, *configurations])})

    @classmethod
    def of_config(cls, config: Any, issued: Callable[[], Iterable[str]] = tuple) -> Redactor:
        """For one configuration: its secrets, the passwords of its URLs, and what is issued meanwhile."""
        return cls(secrets=secrets_in(config), issued=issued)

    def __call__(self, text: str) -> str:
        """The text without secrets; of one longer than ``SHOWN``, its beginning and its length."""
        self._take_issued()
        looked_at = text[:LONGEST]
        spans = sorted({*self._known(looked_at), *_in_urls(looked_at, cut=len(text) > LONGEST)})
        redacted = _without(looked_at, spans)
        if len(text) <= LONGEST and len(redacted) <= SHOWN:
            return redacted
        if len(text) > LONGEST:  # its end may be the beginning of a secret
            redacted = redacted[: max(0, len(redacted) - max(map(len, self._anywhere), default=0))]
        return f"{redacted[:SHOWN]}… ({len(text)} characters)"

    def _take_issued(self) -> None:
        new = {one for one in self._issued() if len(one) >= SHORTEST} - self._seen
        if new:
            # a new set: another thread may be going through the other one
            self._anywhere = self._anywhere | {form for one in new for form in _spellings(one)}
            self._seen = self._seen | new

    def _known(self, text: str) -> Iterator[tuple[int, int]]:
        for secret in self._anywhere:
            yield from _places(text, secret)
        for word in self._words:
            yield from (place for place in _places(text, word) if _stands_alone(text, *place))

    def deep(self, value: Any) -> Any:
        """The same, for every text in lists and mappings; keys are left."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.deep(one) for key, one in value.items()}
        return [self.deep(one) for one in value] if isinstance(value, (list, tuple)) else value


def _places(text: str, secret: str) -> Iterator[tuple[int, int]]:
    """Where a text has another. ``str.find`` takes linear time for all of them together."""
    at = text.find(secret)
    while at >= 0:
        yield at, at + len(secret)
        at = text.find(secret, at + len(secret))


def _stands_alone(text: str, start: int, end: int) -> bool:
    around = text[max(start - 1, 0) : start] + text[end : end + 1]
    return not any(one.isalnum() or one == "_" for one in around)


def _in_urls(text: str, *, cut: bool = False) -> Iterator[tuple[int, int]]:
    """Where the passwords of the URLs in a text are, and the values of parameters that are named like secrets.

    :param cut: the text went on, so that what may be a password at its end is one.
    """
    at = text.find("://")
    while at >= 0:
        start = at + 3
        found = _AUTHORITY_END.search(text, start)
        end = found.start() if found is not None else len(text)
        colon = text.find(":", start, end)
        password_end = end if found is None and cut else text.rfind("@", start, end)
        if (text[at - 1 : at].isalnum() or text[at - 1 : at] in _IN_SCHEME) and start <= colon < password_end - 1:
            yield colon + 1, password_end
        at = text.find("://", start)
    done = 0
    for match in _PARAMETER.finditer(text):
        if match.start() >= done and _NAME.search(match[1]):
            found = _PARAMETER_END.search(text, match.end())
            done = found.start() if found is not None else len(text)
            if done > match.end():
                yield match.end(), done


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with each span replaced; those that overlap are one."""
    parts: list[str] = []
    done = 0
    for start, end in spans:
        if start >= done:
            parts += (text[done:start], "***")
        done = max(done, end)
    return "".join((*parts, text[done:]))


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
        for start, end in _in_urls(value):
            yield from {value[start:end], unquote(value[start:end])}
    elif isinstance(value, msgspec.Struct):
        yield from secrets_in([getattr(value, name) for name in value.__struct_fields__])
    elif isinstance(value, Mapping):
        yield from secrets_in(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from secrets_in(one)
