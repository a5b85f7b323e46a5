"""Origins: where credentials may go (RFC 6454), and links, which are where a server would like us to go."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urldefrag, urljoin, urlsplit

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from vdk.plugin.datasource_base.contract import DataSourceError

LONGEST = 65_536
"""Characters of a URL. Servers take 8,000 to 64,000, and it is parsed character by character."""
_PORTS = {"http": 80, "https": 443}
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
"""What programs read differently in a URL: browsers take a backslash for a slash, and drop tabs and line ends."""

_NO_HOST = re.compile(r"https?:(?!//[^/])", re.IGNORECASE)
"""``http:x`` and ``http:///x``, which are taken for a path by some and for a host by others."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port; a default port is the same as none, and letters' case does not matter."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin that a request to ``url`` would go to, by the very parser that sends it.

        :raises ValueError: for a URL that is not plainly one of http or https; the text says why.
        """
        if _AMBIGUOUS.search(url):
            raise ValueError("it has a blank, a control character or a backslash in it")
        prepared = requests.PreparedRequest()
        try:
            prepared.prepare_url(url, None)
            parts = parse_url(prepared.url or "")
        except (requests.RequestException, LocationParseError):
            raise ValueError("it cannot be read") from None
        if parts.scheme not in _PORTS:
            raise ValueError("it does not begin with http:// or https://")
        if parts.auth is not None:
            raise ValueError("it names a user or a password")
        if not parts.host:
            raise ValueError("it names no host")
        return cls(parts.scheme, parts.host.lower(), parts.port or _PORTS[parts.scheme])

    def has(self, url: str) -> bool:
        """Whether a URL is of this origin. Raises ``ValueError`` as ``of`` does."""
        # the authority ends at the first slash (RFC 3986, section 3.2), so this spelling leaves nothing to parse
        if url.startswith(f"{self}/") and not _AMBIGUOUS.search(url):
            return True
        return Origin.of(url) == self

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def resolve(base: str, link: str) -> str:
    """Where a link leads that was found at ``base`` (RFC 3986, section 5).

    :raises ValueError: for a link that programs would read differently.
    """
    if len(link) > LONGEST:
        raise ValueError(f"it has {len(link):,} characters, and a URL has at most {LONGEST:,}")
    link = link.strip(" ").replace(" ", "%20")
    if _AMBIGUOUS.search(link):
        raise ValueError("it has a control character or a backslash in it")
    if _NO_HOST.match(link):
        raise ValueError("it names no host")
    return urldefrag(urljoin(base, link)).url  # a fragment is never sent


_QUERY = 2000
"""Characters of a query that are shown."""
_VALUE = 80
"""Characters of a value that is shown."""
_READABLE = "/:,;@[]{}()*!'\"$ <>=|"
"""Characters that part nothing in a query and that people read better as they are."""
_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
_WORD = re.compile(r"[a-z]+")
_SECRETS = {
    "key", "apikey", "appkey", "appid", "token", "secret", "password", "passwd", "passphrase", "pwd", "pass", "sig",
    "signature", "auth", "authorization", "credential", "credentials", "session", "sid", "jwt", "hmac", "bearer",
    "accesstoken", "nonce", "otp", "pin",
}  # fmt: skip
_TOKENS_OF_PAGES = {"page", "next", "continuation", "start", "sync", "skip", "resumption", "country", "sort"}
PLACEHOLDER = re.compile(r"\{(\w+)(:segment)?\}")


def join(base_url: str, path: str) -> str:
    """``path`` below ``base_url``: both are written out, neither replaces a part of the other."""
    if not path:
        return base_url
    return f"{base_url.rstrip('/')}/{path.lstrip('/')}"


def placeholders(template: Any) -> Iterator[str]:
    """The names in braces in a path or in parameters' values."""
    if isinstance(template, str):
        yield from (match[1] for match in PLACEHOLDER.finditer(template))
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from placeholders(value)
    elif isinstance(template, (list, tuple)):
        for value in template:
            yield from placeholders(value)


def whole_placeholders(body: Any) -> Iterator[str]:
    """The names in braces that are whole texts in a JSON body; GraphQL has braces of its own inside."""
    if isinstance(body, str):
        if match := PLACEHOLDER.fullmatch(body):
            yield match[1]
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from whole_placeholders(value)
    elif isinstance(body, list):
        for value in body:
            yield from whole_placeholders(value)


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """A path with its placeholders filled and percent-encoded (RFC 3986, section 2.1).

    ``{name}`` may hold several segments (``octocat/hello``), ``{name:segment}`` is one, whatever is in it.

    :raises DataSourceError: for a value that would lead elsewhere (``..``).
    """

    def fill(match: re.Match[str]) -> str:
        text = plain(values[match[1]])
        segments = [text] if match[2] else text.split("/")
        if any(segment in ("", ".", "..") for segment in segments):
            raise DataSourceError(f"{text!r} for {{{match[1]}}} in the path {template!r} would lead to another path")
        return "/".join(quote(segment, safe="") for segment in segments)

    return PLACEHOLDER.sub(fill, template)


def fill(template: Any, values: Mapping[str, Any], *, whole: bool = False) -> Any:
    """Parameters or a body with placeholders filled; a value that is one whole placeholder keeps its type."""
    if isinstance(template, str):
        if (match := PLACEHOLDER.fullmatch(template)) and match[1] in values:
            return values[match[1]]
        return template if whole else PLACEHOLDER.sub(lambda found: plain(values[found[1]]), template)
    if isinstance(template, Mapping):
        return {name: fill(value, values, whole=whole) for name, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [fill(value, values, whole=whole) for value in template]
    return template


def plain(value: Any) -> str:
    """A value as it looks in a URL."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(url: str) -> str:
    """A URL for people, without a user and without the values of parameters that are called as secrets are.

    Secrets that are known by their values are taken out by ``Redact``, so no value is cut: long ones are left out.
    """
    parts = urlsplit(url)
    query, more = parts.query, ""
    if len(query) > _QUERY:
        query, more = query[:_QUERY].rpartition("&")[0], "&..."
    shown_query = "&".join(
        f"{name}={_shown_value(name, value)}" for name, value in parse_qsl(query, keep_blank_values=True)
    )
    authority, path = parts.netloc.rpartition("@")[2], parts.path
    if len(path) > _QUERY:
        path = path[:_QUERY].rpartition("/")[0] + "/..."
    return f"{parts.scheme}://{authority}{path}" + (f"?{shown_query}{more}" if parts.query else "")


def _shown_value(name: str, value: str) -> str:
    if _is_secret(name):
        return "***"
    return quote(value, safe=_READABLE) if len(value) <= _VALUE else "..."


def _is_secret(name: str) -> bool:
    """Whether a parameter is called like a secret: ``access_token``, ``X-Amz-Signature``; ``page_token`` is not."""
    words = set(_WORD.findall(_CAMEL.sub(r"\1 \2", name).lower()))
    return words == {"code"} or bool(words & _SECRETS and not words & _TOKENS_OF_PAGES)
