# SPDX-License-Identifier: Apache-2.0
"""Texts that users read: secrets are replaced, and commands that are to be pasted name the flow file."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote as quoted
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import msgspec

from ..contract import Secret
from .references import Resolved

_IN_SCHEME = ("+", ".", "-")
_AUTHORITY_END = re.compile(r"[\s/]")
_PARAMETER = re.compile(r"[?&;]([\w.-]{1,1000})=")
_PARAMETER_END = re.compile(r"[\s&;#'\"]")
_URL = re.compile(r"[A-Za-z][\w+.-]*://(?:([^\s/?#]*)@)?[^\s/?#@]+([/?#]\S*)?")
_SECRET_NAME = re.compile(
    r"(?:password|passwd|pwd|passphrase|secret|token|signature|authorization"
    r"|(?:api|access|account|private|secret|signing|encryption)[._-]?key|key[._-]?pem)\Z|\Asig\Z",
    re.IGNORECASE,
)
"""The names, or ends of names, of parameters whose values are secrets."""
_COMMAND = re.compile(r"(\bvdk datasource (?:[a-z]+ ){1,2})FLOW\b")
"""A command in a message: who writes it does not know the file."""
MAX_SEARCHED = 256 * 1024
"""Characters of a text that are searched; what follows them is not shown."""
MAX_SHOWN = 64 * 1024
"""Characters of a text that are shown."""
MIN_SECRET = 4
"""Shorter secrets are replaced as whole words only: replacing every "1" would destroy the text and protect
nothing. Values of ``${env:…}`` or ``${property:…}`` that are shorter, such as a number of rows, are not replaced."""
MIN_VALUE = 8
"""Shorter values of these references are replaced as whole words only: "prod" is a part of "products"."""


class Redactor:
    """Replaces known secrets, and the passwords in URLs, by ``***``.

    The work is linear in the length of any text, and the result is bounded: an error may quote a response of some
    megabytes, and a pattern that backtracks at every letter would block all threads.

    :param values: replaced anywhere, of a URL what is before and after its host; shorter than ``MIN_VALUE``, as whole
        words; shorter than ``MIN_SECRET``, never.
    :param secrets: replaced anywhere; shorter than ``MIN_SECRET``, as whole words.
    :param issued: returns the secrets that were issued meanwhile, such as tokens.
    :param flow: the flow file, which commands in a text name in place of ``FLOW``.
    """

    def __init__(
        self,
        values: Iterable[str] = (),
        secrets: Iterable[str] = (),
        issued: Callable[[], Iterable[str]] = tuple,
        flow: Path | None = None,
    ) -> None:
        secrets, values = set(secrets) - {""}, {part for value in values for part in _hidden_parts(value)}
        anywhere = {secret for secret in secrets if len(secret) >= MIN_SECRET} | {
            value for value in values if len(value) >= MIN_VALUE
        }
        self._words = {
            secret for secret in secrets | values if secret in secrets or len(secret) >= MIN_SECRET
        } - anywhere
        self._anywhere = {form for secret in anywhere for form in _spellings(secret)}
        self._issued, self._known, self._flow = issued, set(anywhere), flow

    @classmethod
    def of(cls, resolved: Resolved, *configurations: Any) -> Redactor:
        """For a flow file: the values of references, and the secrets and passwords of URLs in all configurations."""
        secrets = {*resolved.secrets, *secrets_in([resolved.data, *configurations])}
        return cls(resolved.values, secrets, flow=resolved.path)

    @classmethod
    def of_config(cls, config: Any, issued: Callable[[], Iterable[str]] = tuple) -> Redactor:
        """For one configuration: its secrets, the passwords of its URLs, and the secrets that are issued meanwhile."""
        return cls(secrets=secrets_in(config), issued=issued)

    def __call__(self, text: str) -> str:
        """The text without secrets; if it is longer than ``MAX_SHOWN``, its beginning and its length."""
        self._add_issued()
        searched = text[:MAX_SEARCHED]
        spans = sorted({*self._secret_spans(searched), *_url_spans(searched, cut=len(text) > MAX_SEARCHED)})
        redacted = _without(searched, spans)
        if len(text) <= MAX_SEARCHED and len(redacted) <= MAX_SHOWN:
            return redacted if self._flow is None else with_flow(redacted, self._flow)
        if len(text) > MAX_SEARCHED:  # its end may be the beginning of a secret
            redacted = redacted[: max(0, len(redacted) - max(map(len, self._anywhere), default=0))]
        return f"{redacted[:MAX_SHOWN]}… ({len(text)} characters)"

    def _add_issued(self) -> None:
        new = {secret for secret in self._issued() if len(secret) >= MIN_SECRET} - self._known
        if new:
            # a new set: another thread may be iterating over the old one
            self._anywhere = self._anywhere | {form for secret in new for form in _spellings(secret)}
            self._known = self._known | new

    def _secret_spans(self, text: str) -> Iterator[tuple[int, int]]:
        for secret in self._anywhere:
            yield from _spans(text, secret)
        for word in self._words:
            yield from (span for span in _spans(text, word) if _is_whole_word(text, *span))

    def deep(self, value: Any) -> Any:
        """The same for every text in lists and mappings, except for keys."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.deep(item) for key, item in value.items()}
        return [self.deep(item) for item in value] if isinstance(value, (list, tuple)) else value


def with_secrets_replaced(text: str, replacement: Callable[[str], str]) -> str:
    """The text with other texts for the passwords of its URLs, and for the values of parameters with secret names."""
    parts: list[str] = []
    done = 0
    for start, end in sorted(set(_url_spans(text))):
        if start >= done:
            parts += (text[done:start], replacement(text[start:end]))
            done = end
    return "".join((*parts, text[done:]))


def is_secret_name(name: str) -> bool:
    """Whether an option or a parameter of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def _hidden_parts(value: str) -> Iterator[str]:
    """What is replaced of the value of a reference: all of it, but not the host of a URL, which an error must name."""
    url = _URL.fullmatch(value) if len(value) <= MAX_SHOWN else None
    yield from filter(None, url.groups()) if url is not None else (value,)


def _spans(text: str, secret: str) -> Iterator[tuple[int, int]]:
    """The occurrences of a secret in a text, in linear time."""
    start = text.find(secret)
    while start >= 0:
        yield start, start + len(secret)
        start = text.find(secret, start + len(secret))


def _is_whole_word(text: str, start: int, end: int) -> bool:
    neighbours = text[max(start - 1, 0) : start] + text[end : end + 1]
    return not any(letter.isalnum() or letter == "_" for letter in neighbours)


def _url_spans(text: str, *, cut: bool = False) -> Iterator[tuple[int, int]]:
    """The spans of the passwords of URLs in a text, and of the values of parameters with names of secrets.

    :param cut: the text was longer, so that a possible password at its end is treated as a password.
    """
    yield from _password_spans(text, cut=cut)
    done = 0
    for match in _PARAMETER.finditer(text):
        if match.start() >= done and _SECRET_NAME.search(match[1]):
            end = _PARAMETER_END.search(text, match.end())
            done = end.start() if end is not None else len(text)
            if done > match.end():
                yield match.end(), done


def _password_spans(text: str, *, cut: bool) -> Iterator[tuple[int, int]]:
    scheme_end = text.find("://")
    while scheme_end >= 0:
        start = scheme_end + 3
        end_match = _AUTHORITY_END.search(text, start)
        end = end_match.start() if end_match is not None else len(text)
        colon = text.find(":", start, end)
        password_end = end if end_match is None and cut else text.rfind("@", start, end)
        before = text[scheme_end - 1 : scheme_end]
        if (before.isalnum() or before in _IN_SCHEME) and start <= colon < password_end - 1:
            yield colon + 1, password_end
        scheme_end = text.find("://", start)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with each span replaced; overlapping spans count as one."""
    parts: list[str] = []
    done = 0
    for start, end in spans:
        if start >= done:
            parts += (text[done:start], "***")
        done = max(done, end)
    return "".join((*parts, text[done:]))


def _spellings(value: str) -> set[str]:
    """A value as it is, and as a ``repr``, JSON, a URL and Base64 write it."""
    plain = {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value)}
    return plain | set(_in_base64(value.encode("utf-8", "surrogatepass")))


def _in_base64(value: bytes) -> Iterator[str]:
    """The common parts of all Base64 texts with ``value`` inside, for each of the three offsets at which it can begin.

    HTTP sends a password in this form, together with its user (RFC 7617).
    """
    for before in range(3):
        spelled = base64.b64encode(b"\0" * before + value).decode()
        common = spelled[(before * 8 + 5) // 6 : (before + len(value)) * 8 // 6]
        if len(common) > MIN_SECRET:
            yield common


def secrets_in(value: Any) -> Iterator[str]:
    """The secrets of a configuration, and the passwords of the URLs in it, at any depth.

    Passwords are yielded as the URL has them, and decoded: errors of clients show either form.
    """
    for _, text in _texts_in(value, ()):
        if isinstance(text, Secret):
            yield text.reveal()
        else:
            for start, end in _url_spans(text):
                yield from {text[start:end], unquote(text[start:end])}


def plain_secrets(value: Any) -> Iterator[tuple[str, ...]]:
    """The paths of the secrets in a configuration. A URL without a password is none, although it might have had one."""
    for path, text in _texts_in(value, ()):
        if isinstance(text, Secret) and ("://" not in text.reveal() or any(_url_spans(text.reveal()))):
            yield path


def _texts_in(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str | Secret]]:
    """The secrets and other texts of a configuration at any depth, with their paths."""
    if isinstance(value, (str, Secret)):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name, encoded in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            yield from _texts_in(getattr(value, name), (*path, encoded))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts_in(item, (*path, str(name)))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            yield from _texts_in(item, (*path, str(number)))


def with_flow(text: str, path: Path) -> str:
    """The text, in which ``vdk datasource … FLOW`` names the file, from the working directory if it is in it."""
    if "FLOW" not in text:
        return text
    folder = Path.cwd()
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    return _COMMAND.sub(lambda match: match[1] + quoted(str(shown)), text)
