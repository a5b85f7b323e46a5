"""Origins: where credentials may go (RFC 6454), and links, which are where a server would like us to go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

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
