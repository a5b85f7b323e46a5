# SPDX-License-Identifier: Apache-2.0
"""Which source reads what a URL names, and which destination lands where one points.

A source declares ``url_schemes`` and ``options_of_url``; the class or function of a destination is marked with
``takes_urls``. A plugin brings its own; there is no list of them here but for what to install.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ...contract import ConfigurationError, DataSource
from ...contract.remedies import did_you_mean
from .registry import Registry

F = TypeVar("F", bound=Callable[..., Any])

ANY = "*"
"""In ``url_schemes``: the schemes that no other source has."""
_SCHEMES = "url_schemes"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
INSTALL = "to install more, in a clone of vdk-sources, write: pip install ./packages/* ./plugins/*"
"""Which plugin has a scheme is known once it is installed: it declares them. The README has the constraints."""
_DISTRIBUTIONS = {
    **dict.fromkeys(("postgresql", "postgres"), "vdk-source-postgres"),
    **dict.fromkeys(("mysql", "mariadb"), "vdk-source-mysql"),
    **dict.fromkeys(("http", "https"), "vdk-source-rest"),
    "kafka": "vdk-source-kafka",
    "sqlite": "vdk-source-sqlite",
}
"""What to install for the schemes that plugins of vdk-sources have."""


def takes_urls(*schemes: str) -> Callable[[F], F]:
    """Mark the class of a destination, or the function that creates it: its targets are URLs with these schemes."""

    def mark(factory: F) -> F:
        setattr(factory, _SCHEMES, schemes)
        return factory

    return mark


def scheme_of(url: str) -> str | None:
    """``duckdb`` of ``duckdb:///lake.duckdb``; None: it is not a URL."""
    match = _URL.match(url)
    return match[1].lower() if match is not None else None


def source_of_url(text: str, registry: Registry) -> tuple[type[DataSource[Any]], str]:
    """The source that reads what a URL names, and the URL; the text may also be what a source has a URL for.

    :raises ConfigurationError: naming what to write or to install. Its text never has the password.
    """
    scheme = scheme_of(text)
    if scheme is None:
        for source in _sources(registry):
            if (url := source.url_of(text)) is not None:
                return source, url
        raise ConfigurationError(
            f"{_shown(text)} is not a URL, an existing SQLite file or a server; write, for example, sqlite:///shop.db, "
            "postgresql://user@host/shop, https://api.example.com/v1/orders or kafka://host:9092/orders"
        )
    _check_authority(text)
    schemes: dict[str, type[DataSource[Any]]] = {}
    for source in _sources(registry, first=scheme):
        for known in source.url_schemes:
            schemes.setdefault(known, source)
        if scheme in source.url_schemes:
            return source, text
    any_source = schemes.pop(ANY, None)
    if any_source is None:
        raise ConfigurationError(_unknown(scheme, schemes))
    _check_any(any_source, text, scheme, schemes)
    return any_source, text


def method_of_target(url: str, registry: Registry) -> str:
    """The method whose targets have the URL's scheme. Raises ``ConfigurationError`` if there is none."""
    schemes: dict[str, str] = {}
    for entry in registry.destinations():
        try:
            factory = registry.destination(entry.name)
        except ConfigurationError:  # broken, or registered twice
            continue
        schemes |= dict.fromkeys(getattr(factory, _SCHEMES, ()), entry.name)
    scheme = scheme_of(url)
    if scheme in schemes:
        _check_authority(url)
        return schemes[scheme]
    known = ", ".join(f"{name}://" for name in sorted(schemes))
    if not schemes:
        raise ConfigurationError(f"no installed destination has URLs; write: pip install vdk-ingest-arrow; {INSTALL}")
    if scheme is None:
        written = f"; write duckdb:///{url}" if re.fullmatch(r"[\w./-]+\.(?:duckdb|ddb)", url) else ""
        raise ConfigurationError(f"the target {_shown(url)} is not a URL{written}; targets begin with one of {known}")
    near = did_you_mean(scheme, schemes)
    raise ConfigurationError(
        f"the target begins with {scheme}://, which no installed destination lands in; "
        + (f"{near} " if near else "")
        + f"targets begin with one of {known}"
    )


def _sources(registry: Registry, first: str = "") -> Iterator[type[DataSource[Any]]]:
    """The classes of all sources; that of the name ``first`` first. What cannot be imported is left out."""
    names = dict.fromkeys(entry.name for entry in registry.sources())
    for name in sorted(names, key=lambda name: name != first):
        try:
            yield registry.source(name)
        except ConfigurationError:
            continue


def _check_any(source: type[DataSource[Any]], url: str, scheme: str, schemes: Iterable[str]) -> None:
    """Raise the error of the source that takes any scheme, with the scheme that was probably meant."""
    try:
        source.options_of_url(url)
    except ConfigurationError as error:
        if scheme in _DISTRIBUTIONS:
            raise ConfigurationError(_unknown(scheme, schemes)) from None
        raise ConfigurationError(f"{_unknown(scheme, schemes)}; the source {source.source_name}: {error}") from None


def _unknown(scheme: str, schemes: Iterable[str]) -> str:
    if (distribution := _DISTRIBUTIONS.get(scheme)) is not None:
        return f"no installed source reads {scheme}:// URLs; write: pip install {distribution}"
    near = did_you_mean(scheme, schemes)
    known = ", ".join(f"{name}://" for name in sorted(schemes)) or "none"
    return (
        f"no installed source reads {scheme}:// URLs; {f'{near} ' if near else ''}the known schemes are {known}; "
        f"{INSTALL}"
    )


def _check_authority(url: str) -> None:
    """Refuse a password with ``@`` as it is: a part of it would be read, and shown, as the host."""
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if authority.count("@") > 1:
        raise ConfigurationError(
            f"the {scheme_of(url)}:// URL has more than one '@' before its host; write an '@' in the password as %40"
        )


def _shown(text: str) -> str:
    """A text that is not a URL, unless it may have a password."""
    return repr(text) if "@" not in text and len(text) <= 200 else "the text"
