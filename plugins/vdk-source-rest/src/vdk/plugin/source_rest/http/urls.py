# SPDX-License-Identifier: Apache-2.0
"""URLs: the origin that credentials may go to (RFC 6454), links, paths, URLs in messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urldefrag, urljoin, urlsplit

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

MAX_URL_LENGTH = 65_536
"""Characters of a URL. Servers accept 8,000 to 64,000, and it is parsed character by character."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
"""What programs read differently in a URL: browsers read a backslash as a slash, and drop tabs and line ends."""
_NO_HOST = re.compile(r"https?:(?!//[^/])", re.IGNORECASE)
"""``http:x`` and ``http:///x``, which some programs read as a path and others as a host."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port; a default port equals none, and upper case equals lower case."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin that a request to ``url`` would go to, by the very parser that sends it.

        :raises ValueError: for a URL that is not plainly an http or https one; the text says why.
        """
        if _AMBIGUOUS.search(url):
            raise ValueError("it contains a blank, a control character or a backslash")
        prepared = requests.PreparedRequest()
        try:
            prepared.prepare_url(url, None)
            parts = parse_url(prepared.url or "")
        except (requests.RequestException, LocationParseError):
            raise ValueError("it cannot be parsed") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise ValueError("it does not begin with http:// or https://")
        if parts.auth is not None:
            raise ValueError("it names a user or a password")
        if not parts.host:
            raise ValueError("it names no host")
        return cls(parts.scheme, parts.host.lower(), parts.port or _DEFAULT_PORTS[parts.scheme])

    def has(self, url: str) -> bool:
        """Whether a URL is of this origin. Raises ``ValueError`` as ``of`` does."""
        # the authority ends at the first slash (RFC 3986, section 3.2), so this spelling leaves nothing to parse
        if url.startswith(f"{self}/") and not _AMBIGUOUS.search(url):
            return True
        return Origin.of(url) == self

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def resolve_link(base: str, link: str) -> str:
    """The URL of a link in the response of ``base`` (RFC 3986, section 5).

    :raises ValueError: for a link that programs would read differently.
    """
    if len(link) > MAX_URL_LENGTH:
        raise ValueError(f"it has {len(link):,} characters, and a URL has at most {MAX_URL_LENGTH:,}")
    link = link.strip(" ").replace(" ", "%20")
    if _AMBIGUOUS.search(link):
        raise ValueError("it contains a control character or a backslash")
    if _NO_HOST.match(link):
        raise ValueError("it names no host")
    return urldefrag(urljoin(base, link)).url  # a fragment is never sent


def join_path(base_url: str, path: str) -> str:
    """``path`` below ``base_url``: both are written out, neither replaces a part of the other."""
    if not path:
        return base_url
    return f"{base_url.rstrip('/')}/{path.lstrip('/')}"


def url_text(value: Any) -> str:
    """A value as URLs contain it: truth values in lower case, as most programs write them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


_MAX_SHOWN = 2000
"""Characters of a path, and of a query, that a message shows."""
_MAX_SHOWN_VALUE = 80
_READABLE = "/:,;@[]{}()*!'\"$ <>=|"
"""Characters that separate nothing in a query and that people read better as they are."""
_CAMEL_CASE = re.compile(r"([a-z0-9])([A-Z])")
_WORD = re.compile(r"[a-z]+")
_SECRET_WORDS = {
    "key", "apikey", "appkey", "appid", "token", "secret", "password", "passwd", "passphrase", "pwd", "pass", "sig",
    "signature", "auth", "authorization", "credential", "credentials", "session", "sid", "jwt", "hmac", "bearer",
    "accesstoken", "nonce", "otp", "pin",
}  # fmt: skip
_PAGING_WORDS = {"page", "next", "continuation", "start", "sync", "skip", "resumption", "country", "sort"}


def mask_url(url: str) -> str:
    """A URL for messages, without a user and without the values of parameters whose names are those of secrets.

    A ``Redactor`` masks the secrets whose values are known, so no value is cut: a long one is left out.
    """
    parts = urlsplit(url)
    query, more = parts.query, ""
    if len(query) > _MAX_SHOWN:
        query, more = query[:_MAX_SHOWN].rpartition("&")[0], "&..."
    masked = "&".join(f"{name}={_masked(name, value)}" for name, value in parse_qsl(query, keep_blank_values=True))
    authority, path = parts.netloc.rpartition("@")[2], parts.path
    if len(path) > _MAX_SHOWN:
        path = path[:_MAX_SHOWN].rpartition("/")[0] + "/..."
    return f"{parts.scheme}://{authority}{path}" + (f"?{masked}{more}" if parts.query else "")


def _masked(name: str, value: str) -> str:
    if _is_secret(name):
        return "***"
    return quote(value, safe=_READABLE) if len(value) <= _MAX_SHOWN_VALUE else "..."


def _is_secret(name: str) -> bool:
    """Whether the name is that of a secret: ``access_token``, ``X-Amz-Signature``; ``page_token`` is not."""
    words = set(_WORD.findall(_CAMEL_CASE.sub(r"\1 \2", name).lower()))
    return words == {"code"} or bool(words & _SECRET_WORDS and not words & _PAGING_WORDS)
