# SPDX-License-Identifier: Apache-2.0
"""The checks of options that must fit each other, before any connection is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import column_type, did_you_mean

from .auth.credentials import check_auth
from .config import RestConfig, StreamConfig
from .http.template import CURSOR_END, CURSOR_START, placeholders
from .http.types import BODY_PREFIX, HttpRequest
from .http.urls import Origin, mask_url
from .incremental.cursors import check_cursor
from .job_config import check_job
from .pagination.paginators import CursorPaginator, OffsetPaginator, PagePaginator
from .parents import path_of
from .responses.extract import compile_path


def check_config(config: RestConfig) -> None:
    """Raise ``ConfigurationError`` for options that do not fit each other, before any connection is opened."""
    _check_base_url(config.base_url)
    check_auth(config.auth)
    if config.record is not None and config.replay is not None:
        raise ConfigurationError("record and replay: responses are either kept or read; remove one of them")
    _check_names([stream.name for stream in config.streams])
    streams = {stream.name: config.of(stream) for stream in config.streams}
    for stream in streams.values():
        location = f"streams.{stream.name}"
        _check_path(stream, location)
        _check_parents(stream, streams, location)
        _check_parent_options(stream, streams, location)
        _check_deletes(stream, streams, location)
        _check_body(config, stream, location)
        _check_cursor_places(stream, location)
        _check_placeholders(stream, location)
        for option, path in _jmespaths(stream):
            _check(f"{location}.{option}", compile_path, path)
        _check_paginator(stream, location)
        if stream.nested_depth is not None and stream.nested not in ("flatten", "tables"):
            raise ConfigurationError(
                f'{location}.nested_depth: it is for nested = "flatten" and "tables"; set one, or remove it'
            )
        if stream.nested == "tables" and not stream.key():
            raise ConfigurationError(
                f"{location}.nested: the items of a list land by the key of their record, and it has none; set "
                'primary_key = "id", or nested = "flatten"'
            )
        _check_sync_token(stream, location)
        if stream.job is not None:
            check_job(stream.job, f"{location}.job")
        _check_body_params(stream, location)
        for name, type_ in stream.columns.items():
            _check(f"{location}.columns.{name}", column_type, type_)
        if stream.cursor is not None:
            check_cursor(stream.cursor, f"{location}.cursor")


def _check(location: str, check: Callable[[str], object], value: str) -> None:
    try:
        check(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{location}: {error}") from None


def _check_base_url(url: str) -> None:
    try:
        Origin.of(url)
    except ValueError as error:
        remedy = "; credentials belong into auth" if "user" in str(error) else ", as in https://api.example.com/v1"
        raise ConfigurationError(f"base_url: {mask_url(url) if '://' in url else url!r}: {error}{remedy}") from None
    if (parts := urlsplit(url)).query or parts.fragment:
        raise ConfigurationError(f"base_url: {mask_url(url)} has a query or a fragment; parameters belong into params")


def _check_names(names: Sequence[str]) -> None:
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"streams: two have the name {doubled[0]!r}; give each a name of its own")
    if not names:
        raise ConfigurationError('streams: the list is empty; add a stream, as in streams = [{ name = "orders" }]')


def _check_path(stream: StreamConfig, location: str) -> None:
    path = stream.path or ""
    if "://" in path or path.startswith("//"):
        raise ConfigurationError(
            f"{location}.path: {mask_url(path)!r} is a whole URL; paths are below base_url, and another host is a "
            "source of its own"
        )
    if "?" in path or "#" in path:
        raise ConfigurationError(
            f"{location}.path: {path.partition('?')[0]!r} has a query; parameters belong into params"
        )


def _check_parents(
    stream: StreamConfig, streams: dict[str, StreamConfig], location: str, line: tuple[str, ...] = ()
) -> None:
    """The parents exist, no stream is its own ancestor, and fields are those of ancestors."""
    line = (*line, stream.name)
    for parent in stream.parents():
        if parent.stream not in streams:
            hint = did_you_mean(parent.stream, streams) or f"the streams are {', '.join(streams)}"
            raise ConfigurationError(
                f"streams.{stream.name}.parent.stream: stream {parent.stream!r} does not exist; {hint}"
            )
        if parent.stream in line:
            raise ConfigurationError(f"{location}.parent.stream: {' -> '.join((*line, parent.stream))} is a circle")
        _check_parents(streams[parent.stream], streams, location, line)


def _check_parent_options(stream: StreamConfig, streams: dict[str, StreamConfig], location: str) -> None:
    names = [name for parent in stream.parents() for name in parent.bind]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(
            f"{location}.parent: two parents bind {doubled[0]!r}; give each a placeholder of its own"
        )
    for parent in stream.parents():
        ancestors = _ancestors(streams[parent.stream], streams)
        for name, text in parent.ancestors():
            if name not in ancestors:
                known = f"its ancestors are {', '.join(ancestors)}" if ancestors else "it has none"
                raise ConfigurationError(
                    f"{location}.parent: {text!r} is a field of {name!r}, which is not an ancestor of "
                    f"{parent.stream!r}; {known}"
                )
        if parent.only_changed is True and streams[parent.stream].cursor is None:
            raise ConfigurationError(
                f"{location}.parent.only_changed: {parent.stream!r} has no cursor; name the field that shows a change, "
                'as in only_changed = "updated_at"'
            )
        if parent.batch is not None and (parent.include or parent.only_changed or stream.cursor or stream.sync_token):
            raise ConfigurationError(
                f"{location}.parent.batch: a batch has several parents, so it has no include, no only_changed, and no "
                "cursor; remove them, or remove batch"
            )


def _ancestors(stream: StreamConfig, streams: dict[str, StreamConfig]) -> list[str]:
    names = [parent.stream for parent in stream.parents()]
    return names + [name for parent in names for name in _ancestors(streams[parent], streams)]


def _check_deletes(stream: StreamConfig, streams: dict[str, StreamConfig], location: str) -> None:
    """Deletes have a key, and streams of keys have a stream whose rows they delete."""
    rules = [rule for rule in stream.responses or [] if rule.action == "delete"]
    if (stream.deleted is not None or rules) and not stream.key():
        raise ConfigurationError(f'{location}: deletes need a primary_key, as in primary_key = "id"')
    known = {name for parent in stream.parents() for name in (*parent.bind, *parent.included_columns())}
    if rules and (missing := [name for name in stream.key() if name not in known.union(*stream.slices)]):
        raise ConfigurationError(
            f"{location}.responses: the response of a deleted record has no key; take {missing[0]!r} from the parent, "
            f'as in parent = {{ stream = "...", bind = {{ {missing[0]} = "id" }} }}'
        )
    if (stream.kind == "rows") != (stream.of is None):
        raise ConfigurationError(f'{location}: kind and of belong together, as in kind = "deletes" and of = "orders"')
    if stream.every is not None and stream.kind != "keys":
        raise ConfigurationError(f'{location}.every: it is for kind = "keys"; remove it')
    if stream.of is not None:
        _check_key_stream(stream, streams.get(stream.of), streams, location)


def _check_key_stream(
    stream: StreamConfig, of: StreamConfig | None, streams: dict[str, StreamConfig], location: str
) -> None:
    if of is None or of.kind != "rows":
        hint = did_you_mean(stream.of or "", streams) or f"the streams are {', '.join(streams)}"
        raise ConfigurationError(f"{location}.of: {stream.of!r} is not a stream of rows; {hint}")
    if not of.key():
        raise ConfigurationError(f'streams.{of.name}: deletes need a primary_key, as in primary_key = "id"')
    if of.cursor is None and of.sync_token is None:
        raise ConfigurationError(
            f"{location}.kind: {of.name!r} is read whole in each run, which deletes what is gone; add a cursor to "
            f"streams.{of.name}, or remove {stream.name!r}"
        )
    if of.parents() or of.slices or stream.parents() or stream.slices:
        raise ConfigurationError(
            f"{location}.kind: {of.name!r} and {stream.name!r} are one partition each, without parent and slices"
        )


def _check_placeholders(stream: StreamConfig, location: str) -> None:
    """Each placeholder has a value, and each value a placeholder."""
    late = stream.late_values()
    valued = (stream.values_known() - set(late)) | set().union(*stream.slices)
    required = stream.placeholders()
    for name in sorted(required - valued - set(late)):
        if name in (CURSOR_START, CURSOR_END):
            raise ConfigurationError(
                f"{location}: the placeholder {{{name}}} has no value; add a cursor, as in "
                'cursor = { field = "updated_at", initial = "2024-01-01T00:00:00Z" }'
            )
        raise ConfigurationError(
            f"{location}: the placeholder {{{name}}} has no value; bind it to a field of a parent (parent = {{ stream "
            f'= "...", bind = {{ {name} = "id" }} }}), or list its values (slices = [{{ {name} = "..." }}])'
        )
    if unused := sorted(valued - required):
        raise ConfigurationError(
            f"{location}: {unused[0]!r} has a value, and no path, parameter or body has the placeholder {{{unused[0]}}}"
        )
    for name in placeholders(stream.path or ""):
        if name in late and name != CURSOR_END and late[name] is None:
            option = "cursor.initial" if name == CURSOR_START else "paginator.initial"
            raise ConfigurationError(
                f"{location}.path: the first request has no value for {{{name}}}; set {option}, the value to begin with"
            )
    for number, values in enumerate(stream.slices):
        if set(values) != set(stream.slices[0]):
            raise ConfigurationError(
                f"{location}.slices[{number}]: it names {sorted(values)}, and the first one {sorted(stream.slices[0])}"
                "; all slices name the same placeholders"
            )


def _check_body(config: RestConfig, stream: StreamConfig, location: str) -> None:
    own = next(each for each in config.streams if each.name == stream.name)
    if stream.graphql is not None and own.body is not None:
        raise ConfigurationError(f"{location}.graphql: it is sent in place of body; remove body, or graphql")
    if (stream.encoding != "json" or stream.compress) and stream.body is None:
        raise ConfigurationError(
            f'{location}: encoding and compress are for a body, and it has none; set body = {{ name = "value" }}'
        )
    if stream.encoding == "json":
        return
    if stream.method != "POST":
        raise ConfigurationError(f'{location}.encoding: a form is posted; set method = "POST"')
    fields = stream.body.items() if isinstance(stream.body, dict) else [("", {})]
    if nested := [name for name, value in fields if isinstance(value, dict)]:
        raise ConfigurationError(
            f'{location}.body: a form has names and texts, and {nested[0]!r} is nested; set encoding = "json"'
        )


def _check_cursor_places(stream: StreamConfig, location: str) -> None:
    """The cursor goes to one place, and its end to one as well."""
    cursor, names = stream.cursor, stream.placeholders()
    if cursor is None:
        return
    for place, option, param in ((CURSOR_START, "param", cursor.param), (CURSOR_END, "end_param", cursor.end_param)):
        if place in names and param != place:
            raise ConfigurationError(
                f"{location}.cursor.{option}: the request has the placeholder {{{place}}} for it; remove {option} or "
                "the placeholder"
            )


def _check_paginator(stream: StreamConfig, location: str) -> None:
    pages = stream.paging()
    if isinstance(pages, CursorPaginator):
        if bool(pages.tokens) == (pages.param is not None):
            raise ConfigurationError(
                f'{location}.paginator: set param and path, as in param = "after" and path = "meta.next", or several: '
                'tokens = { after = "meta.next" }'
            )
        if not pages.tokens and (pages.path is None) == (pages.header is None):
            raise ConfigurationError(
                f"{location}.paginator: the token is in the body or in a header; set one of path and header, as in "
                'path = "meta.next"'
            )
        if pages.tokens and (pages.path is not None or pages.header is not None):
            raise ConfigurationError(
                f"{location}.paginator: tokens name their paths themselves; remove path and header"
            )
    is_sized = isinstance(pages, OffsetPaginator) or getattr(pages, "size", None) is not None
    if getattr(pages, "short_page_ends", False) and not is_sized:
        raise ConfigurationError(
            f"{location}.paginator.short_page_ends: a page is short if it has fewer records than size; set size = 100"
        )
    if isinstance(pages, PagePaginator) and pages.repeated_page_ends and stream.allow_repeated_pages:
        raise ConfigurationError(
            f"{location}.paginator.repeated_page_ends: allow_repeated_pages = true reads on; remove one of them"
        )


def _check_sync_token(stream: StreamConfig, location: str) -> None:
    token = stream.sync_token
    if token is None:
        return
    if stream.cursor is not None:
        raise ConfigurationError(f"{location}.sync_token: it takes the place of a cursor; remove cursor")
    if token.param is not None and token.param.startswith(BODY_PREFIX) and stream.body is None:
        raise ConfigurationError(f"{location}.sync_token.param: {token.param!r} is in the body; set body = {{}}")


def _jmespaths(stream: StreamConfig) -> Iterator[tuple[str, str]]:
    options: list[tuple[str, str | None]] = [("records", stream.records)]
    for name in ("path", "more_path", "total_path"):
        options.append((f"paginator.{name}", getattr(stream.paginator, name, None)))
    tokens = getattr(stream.paginator, "tokens", {})
    options += [(f"paginator.tokens.{name}", path) for name, path in tokens.items()]
    if stream.sync_token is not None:
        options.append(("sync_token.path", stream.sync_token.path))
    for parent in stream.parents():
        fields = {f"parent.bind.{name}": field for name, field in parent.bind.items()}
        fields |= {f"parent.include.{name}": field for name, field in parent.included_columns().items()}
        if isinstance(parent.only_changed, str):
            fields["parent.only_changed"] = parent.only_changed
        options += [(option, path_of(field)) for option, field in fields.items()]
    options.append(("deleted", stream.deleted))
    options += [(f"responses[{number}].when", rule.when) for number, rule in enumerate(stream.responses or [])]
    if stream.cursor is not None:
        options.append(("cursor.field", stream.cursor.field))
    return ((option, path) for option, path in options if path is not None)


def _check_body_params(stream: StreamConfig, location: str) -> None:
    """A parameter in the body leads to a place that exists, or that objects on the way can get."""
    request = HttpRequest("POST", "", body=stream.body)
    paging = [f"paginator.{name}" for name in ("param", "size_param", "offset_param", "limit_param")]
    for path in [*paging, "cursor.param", "cursor.end_param"]:
        holder, _, option = path.partition(".")
        name = getattr(getattr(stream, holder), option, None)
        if isinstance(name, str) and name.startswith(BODY_PREFIX):
            _check(f"{location}.{path}", lambda name: request.with_param(name, 0), name)
