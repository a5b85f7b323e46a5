"""What is wrong with a configuration as a whole: told at once, with the place and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import column_type, did_you_mean

from .auth import AuthConfig, OAuth2ClientCredentials, OAuth2RefreshToken
from .config import RestConfig, StreamConfig
from .cursors import TIMES, Cursor, CursorConfig
from .extract import compiled
from .http.types import BODY, Request
from .http.urls import Origin, placeholders, shown, whole_placeholders
from .pagination.paginators import CursorPaginator

_OF_OAUTH = {
    "grant_type": 'it follows from auth.type, "oauth2_client_credentials" or "oauth2_refresh_token"',
    "client_id": "set auth.client_id",
    "client_secret": "set auth.client_secret",
    "refresh_token": 'set auth.type = "oauth2_refresh_token" and auth.refresh_token',
    "scope": 'set auth.scopes, as in scopes = ["read"]',
}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def check_config(config: RestConfig) -> None:
    """Raises ``ConfigurationError`` for what no single option shows."""
    _check_base_url(config.base_url)
    _check_auth(config.auth)
    _check_names([stream.name for stream in config.streams])
    streams = {stream.name: config.of(stream) for stream in config.streams}
    for stream in streams.values():
        where = f"streams.{stream.name}"
        _check_path(stream, where)
        _check_parent(stream, streams, where)
        _check_placeholders(stream, where)
        _check_paths(stream, where)
        if isinstance(pages := stream.paginator, CursorPaginator) and (pages.path is None) == (pages.header is None):
            raise ConfigurationError(f"{where}.paginator: say where the token is, with one of path and header")
        _check_body_params(stream, where)
        for name, type_ in stream.columns.items():
            _at(f"{where}.columns.{name}", column_type, type_)
        if stream.cursor is not None:
            _check_cursor(stream.cursor, f"{where}.cursor")
            _check_formats(stream.cursor, f"{where}.cursor")


def _check_base_url(url: str) -> None:
    try:
        Origin.of(url)
    except ValueError as error:
        remedy = "; credentials belong into auth" if "user" in str(error) else ", as in https://api.example.com/v1"
        raise ConfigurationError(f"base_url: {shown(url) if '://' in url else url!r}: {error}{remedy}") from None
    if (parts := urlsplit(url)).query or parts.fragment:
        raise ConfigurationError(f"base_url: {shown(url)} has a query or a fragment; parameters belong into params")


def _check_auth(auth: AuthConfig) -> None:
    if not isinstance(auth, (OAuth2ClientCredentials, OAuth2RefreshToken)):
        return
    for name in auth.extra:
        if (instead := _OF_OAUTH.get(name)) is not None:
            raise ConfigurationError(f"auth.extra.{name}: the source sets {name} itself; {instead}")
    try:
        origin = Origin.of(auth.token_url)
    except ValueError as error:
        raise ConfigurationError(f"auth.token_url: {shown(auth.token_url)!r}: {error}") from None
    if origin.scheme != "https" and origin.host not in _LOOPBACK:
        raise ConfigurationError(
            f"auth.token_url: {shown(auth.token_url)} is not https, and secrets are sent there (RFC 6749, section 3.2)"
        )


def _check_names(names: Sequence[str]) -> None:
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"streams: two are called {doubled[0]!r}; names tell streams apart")
    if not names:
        raise ConfigurationError("streams: there is none; name at least one, with its path")


def _check_path(stream: StreamConfig, where: str) -> None:
    path = stream.path or ""
    if "://" in path or path.startswith("//"):
        raise ConfigurationError(
            f"{where}.path: {shown(path)!r} is a whole URL; paths are below base_url, and another host is a source of "
            "its own"
        )
    if "?" in path or "#" in path:
        raise ConfigurationError(f"{where}.path: {path.partition('?')[0]!r} has a query; parameters belong into params")


def _check_parent(stream: StreamConfig, streams: dict[str, StreamConfig], where: str) -> None:
    """The parent is there, and no stream is its own ancestor."""
    line, here = [stream.name], stream
    while here.parent is not None:
        name = here.parent.stream
        if name not in streams:
            hint = did_you_mean(name, streams) or f"the streams are {', '.join(streams)}"
            raise ConfigurationError(f"streams.{here.name}.parent.stream: there is no stream {name!r}; {hint}")
        line.append(name)
        if name in line[:-1]:
            raise ConfigurationError(f"{where}.parent.stream: {' -> '.join(line)} is a circle")
        here = streams[name]


def _check_placeholders(stream: StreamConfig, where: str) -> None:
    """Each placeholder has a value, and each value a placeholder."""
    given: set[str] = set(stream.parent.bind) if stream.parent is not None else set()
    for one in stream.slices:
        given |= set(one)
    used = {*placeholders(stream.path or ""), *placeholders(stream.params), *whole_placeholders(stream.body)}
    missing = {name for name in {*placeholders(stream.path or ""), *placeholders(stream.params)} if name not in given}
    if missing:
        name = sorted(missing)[0]
        raise ConfigurationError(
            f"{where}: nothing gives the placeholder {{{name}}} a value; bind it to a field of a parent "
            f"(parent = {{ stream = ..., bind = {{ {name} = ... }} }}), or list its values in slices"
        )
    if unused := sorted(given - used):
        raise ConfigurationError(
            f"{where}: {unused[0]!r} has a value, and no path, parameter or body has the placeholder {{{unused[0]}}}"
        )
    for number, one in enumerate(stream.slices):
        if set(one) != set(stream.slices[0]):
            raise ConfigurationError(
                f"{where}.slices[{number}]: it names {sorted(one)}, others {sorted(stream.slices[0])}"
            )


def _check_paths(stream: StreamConfig, where: str) -> None:
    for place, path in _jmespaths(stream):
        if path is not None:
            _at(f"{where}.{place}", compiled, path)


def _jmespaths(stream: StreamConfig) -> Iterator[tuple[str, str | None]]:
    yield "records", stream.records
    for name in ("path", "more_path", "total_path"):
        yield f"paginator.{name}", getattr(stream.paginator, name, None)
    if stream.parent is not None:
        yield from ((f"parent.bind.{name}", field) for name, field in stream.parent.bind.items())
    for number, rule in enumerate(stream.responses or []):
        yield f"responses[{number}].when", rule.when
    if stream.cursor is not None:
        yield "cursor.field", stream.cursor.field


def _check_body_params(stream: StreamConfig, where: str) -> None:
    """A parameter in the body leads to a place that is there, or that objects on the way can get."""
    places = [f"paginator.{name}" for name in ("param", "size_param", "offset_param", "limit_param")]
    for place in [*places, "cursor.param", "cursor.end_param"]:
        holder, _, option = place.partition(".")
        name = getattr(getattr(stream, holder), option, None)
        if isinstance(name, str) and name.startswith(BODY):
            _at(f"{where}.{place}", lambda name: Request("POST", "", body=stream.body).with_param(name, 0), name)


def _check_formats(cursor: CursorConfig, where: str) -> None:
    """A format that would not be used, or that is none, would send the same parameter in each run."""
    for option, known in (("format", ()), ("param_format", TIMES)):
        value = getattr(cursor, option)
        if value is None:
            continue
        if cursor.type not in TIMES or (option == "format" and cursor.type in ("epoch", "epoch_ms")):
            raise ConfigurationError(
                f"{where}.{option}: values of type {cursor.type!r} have no format; leave it out, or set type to "
                "datetime or date"
            )
        if value not in known and not re.search(r"%[a-zA-Z]", value):
            names = f"one of {', '.join(known)}, or " if known else ""
            raise ConfigurationError(
                f'{where}.{option}: {value!r} is not a format; it is {names}one as in {option} = "%Y-%m-%d"'
            )
    if cursor.param_format is not None and cursor.param is None and cursor.end_param is None:
        raise ConfigurationError(f"{where}.param_format: there is no param or end_param that it is for")


def _check_cursor(cursor: CursorConfig, where: str) -> None:
    try:
        ZoneInfo(cursor.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"{where}.timezone: {cursor.timezone!r} is no time zone") from None
    if cursor.initial is not None:
        try:
            Cursor(cursor).parse(cursor.initial)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{where}.initial: {cursor.initial!r} is no {cursor.type} as the cursor has it: {error}"
            ) from None
    if cursor.type not in TIMES and (cursor.lookback is not None or cursor.step is not None):
        raise ConfigurationError(f"{where}: lookback and step are for times, and the cursor is of type {cursor.type!r}")
    if cursor.step is not None and None in (cursor.param, cursor.end_param, cursor.initial):
        raise ConfigurationError(f"{where}.step: windows need param, end_param and initial")
    if cursor.step is not None and not cursor.step:
        raise ConfigurationError(f"{where}.step: a window has a length")
    if cursor.step is None and (cursor.settle is not None or cursor.step_end != "shared"):
        raise ConfigurationError(f'{where}: settle and step_end are for windows; add their length, as in step = "30d"')
    if cursor.end_param is not None and cursor.type not in TIMES:
        raise ConfigurationError(f"{where}.end_param: only times have a present to end at")


def _at(where: str, check: Any, value: Any) -> None:
    try:
        check(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
