# SPDX-License-Identifier: Apache-2.0
"""Where the records of a response are if the configuration does not say.

A response is a list of records, one record, or an envelope: an object that contains a list of records, at most two
levels down (OData, Solr, Elasticsearch, Reddit, HAL). One that can be read in two ways is refused with the lines to
choose from, since a wrong guess loads wrong rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_LEVELS = 3
"""Names in a path at most: a list is at the top, or one or two levels down."""
_DEEPEST = 20
_LIST_NAMES = {
    "items", "data", "results", "result", "records", "rows", "values", "value", "entries", "content", "hits", "docs",
    "nodes", "edges", "children", "elements", "objects", "list", "resources", "contents",
}  # fmt: skip
"""Names that APIs commonly give to the list of their records."""
_WRAPPER_NAMES = {"d", "data", "result", "results", "response", "payload", "body", "hits", "page", "embedded", "feed"}
"""Names that APIs commonly give to the object around that list."""
_NOTICE_NAMES = {"error", "errors", "warning", "warnings"}
"""Lists that come with records and contain none."""
_PAGING_WORDS = {
    "total", "count", "size", "page", "pages", "next", "previous", "prev", "first", "last", "offset", "limit", "cursor",
    "token", "more", "done", "link", "links", "href", "self", "meta", "metadata", "ok", "success", "message", "errors",
    "error", "request", "took", "generated", "timestamp", "kind", "etag", "truncated", "start", "after", "before",
}  # fmt: skip
"""Words of the fields that an envelope has beside its list."""
_SUCCESS_VALUES = {"0", "200", "ok", "success", "succeeded", "none", ""}
_FAILURE_VALUES = ("error", "fail", "failed", "failure")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

PathTo = tuple[str, ...]
ListInBody = tuple[PathTo, list[Any]]
"""A list in a body, with its path."""


class RecordsNotFound(Exception):
    """A response without records where some were expected, or with several candidates; the text names them."""


class LocatedPath(str):
    """A path that ``locate_records`` returned and nobody configured: each page has a list there."""


WHOLE_BODY = LocatedPath("@")
ALL_EMPTY = LocatedPath("`[]`")
"""The path of an envelope whose lists are all empty: a later page shows which of them contains records."""


def locate_records(
    body: Any, key: Sequence[str] = (), names: Sequence[str] = (), *, accepted: bool = False
) -> str | None:
    """The path of the list of records in a body; None: the body is one record.

    :param key: the fields of the declared primary key that records have themselves.
    :param names: further names that the list may have.
    :param accepted: a rule accepts the response, even if it looks like an error.
    :raises RecordsNotFound: for an error with status 200, and if the path is not certain.
    """
    if isinstance(body, list):
        return WHOLE_BODY
    if not isinstance(body, Mapping):
        raise RecordsNotFound(f"a list of records was expected as the whole response, not {type_name(body)}")
    lists = [candidate for candidate in _lists(body) if not _is_notice(candidate, names)]
    if key and _has_key(body, key):
        if rivals := [candidate for candidate in lists if _is_usual(candidate, names) and _is_keyed(candidate, key)]:
            raise RecordsNotFound(
                f"the response and the records of a list in it have the primary key. {_choice(rivals, '@')}"
            )
        return None
    if not lists:
        _check_one_record(body, key, accepted)
        return None
    return _choose(body, lists, key, names)


def error_in(body: Any, *, empty: bool = False) -> str | None:
    """The field that shows that a response is an error, whatever its status: ``error is 'quota'``; None: no field does.

    :param empty: the response has no records, so that a message with a code counts as well.
    """
    if not isinstance(body, Mapping):
        return None
    signs = [name for name in body if name.lower() in ("ok", "success") and body[name] is False]
    signs += [name for name in body if name.lower() in ("error", "errors") and not _is_success(body[name])]
    if empty and any(name.lower() == "message" for name in body):
        signs += [name for name in body if name.lower() == "code" and not _is_success(body[name])]
    signs += [
        name for name in body if empty and name.lower() == "status" and str(body[name]).lower() in _FAILURE_VALUES
    ]
    return f"{signs[0]} is {json.dumps(body[signs[0]], default=str):.80}" if signs else None


def accept_hint(sign: str, place: str = "") -> str:
    """The line that accepts a response that only looks like an error: ``error_in`` returned ``sign``."""
    name = sign.partition(" is ")[0]
    path = f"{'!' if name.lower() in ('ok', 'success') else ''}{place}{quote_path((name,))}"
    return (
        f'If it is not an error, add responses = [{{ when = {toml_text(path)}, action = "accept" }}]; action = '
        '"ignore" if it means an empty list'
    )


def quote_path(path: Sequence[str]) -> str:
    """Names as a JMESPath: ``hits.hits``, in quotes only if they need them."""
    return ".".join(name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else json.dumps(name) for name in path)


def toml_text(path: str) -> str:
    """A path as a string of TOML."""
    return f"'{path}'" if '"' in path else f'"{path}"'


def words_of(name: str) -> str:
    """The words of a field's name: ``nextRecordsUrl`` → ``next records url``."""
    return " ".join(_WORD.findall(name)).lower()


def type_name(value: Any) -> str:
    """The type of a JSON value, for a message."""
    if value is None:
        return "null or a missing value"
    names = {str: "text", bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), f"{value!r:.40}")


def _lists(body: Mapping[str, Any], path: PathTo = (), levels: int = MAX_LEVELS) -> Iterator[ListInBody]:
    """The lists of objects in an object, and the empty ones, with their paths."""
    for name, value in body.items():
        if isinstance(value, list) and (not value or isinstance(value[0], Mapping)):
            yield (*path, name), value
        elif isinstance(value, Mapping) and levels > 1:
            yield from _lists(value, (*path, name), levels - 1)


def _is_notice(candidate: ListInBody, names: Sequence[str] = ()) -> bool:
    path, values = candidate
    name = path[-1].lower().strip("_")
    if name == "links":
        return not values or not {"href", "rel"}.isdisjoint(values[0])
    return name in _NOTICE_NAMES and name not in map(_letters, names)


def _choose(body: Mapping[str, Any], lists: list[ListInBody], key: Sequence[str], names: Sequence[str]) -> str:
    keyed = [candidate for candidate in lists if _is_keyed(candidate, key)] if key else []
    if len(keyed) == 1:
        return _path_of(keyed[0])
    if len(keyed) > 1:
        raise RecordsNotFound(f"the response has several lists of records with the primary key. {_choice(keyed)}")
    usual = [candidate for candidate in lists if _is_usual(candidate, names)]
    if len(lists) == 1:
        path, values = lists[0]
        if usual or (values and len(path) == 1) or _is_envelope(body, path):
            return _path_of(lists[0])
        raise RecordsNotFound(f"the response is one record with a list in it, or an envelope. {_choice(lists, '@')}")
    if not any(values for _, values in lists):
        if usual or _is_envelope(body, *(path for path, _ in lists)):
            return ALL_EMPTY
        raise RecordsNotFound(f"the response is one record with lists in it, or an envelope. {_choice(lists, '@')}")
    for candidate in usual:
        path, values = candidate
        others = [other for other in lists if other is not candidate]
        if all(len(other) > len(path) for other, _ in others) and (values or not any(rows for _, rows in others)):
            return _path_of(candidate)
    raise RecordsNotFound(f"the response has several lists. {_choice(lists)}")


def _check_one_record(body: Mapping[str, Any], key: Sequence[str], accepted: bool) -> None:
    """An object without a list is a record if it has the primary key, or if none is declared and it shows no error."""
    if not accepted and (sign := error_in(body, empty=True)):
        inner = _inner(body, key)
        line = f"{_records_hint(inner)}. " if inner else ""
        raise RecordsNotFound(
            f"the response looks like an error ({sign}) and not like a record. {line}{accept_hint(sign)}"
        )
    if null := next((path for path in _nulls(body) if path[-1].lower() in _LIST_NAMES), None):
        raise RecordsNotFound(f"a list of records was expected, and {quote_path(null)!r} is null")
    deep = next(
        ((path, values) for path, values in _lists(body, levels=_DEEPEST) if values and path[-1].strip("_") != "links"),
        None,
    )
    if deep is not None:
        raise RecordsNotFound(f"the response is one record with a list in it, or an envelope. {_choice([deep], '@')}")
    if key:
        inner = _inner(body, key)
        raise RecordsNotFound(
            f"the response is an object without the primary key {', '.join(map(repr, key))} and without a list of "
            f"records; its fields are {_field_names(body)}. " + _records_hint(inner or ("path", "to", "records"))
        )
    if not body:
        raise RecordsNotFound(
            "a list of records or a record was expected, and the response is an object without fields"
        )


def _nulls(body: Mapping[str, Any]) -> Iterator[PathTo]:
    for name, value in body.items():
        if value is None:
            yield (name,)
        elif isinstance(value, Mapping) and name.lower().strip("_") in _WRAPPER_NAMES:
            yield from ((name, inner) for inner in value if value[inner] is None)


def _inner(body: Mapping[str, Any], key: Sequence[str]) -> PathTo | None:
    """The object in an envelope that is a record: the one with the key, or the only one."""
    objects = [(name, value) for name, value in body.items() if isinstance(value, Mapping)]
    if key:
        objects = [(name, value) for name, value in objects if _has_key(value, key)]
    return (objects[0][0],) if len(objects) == 1 else None


def _is_envelope(body: Mapping[str, Any], *paths: PathTo) -> bool:
    """Whether every field beside the lists is about paging, in the objects on the way to them as well."""
    holders = {path[:index] for path in paths for index in range(len(path))}
    lists = {path[: index + 1] for path in paths for index in range(len(path))}
    for holder in holders:
        fields: Any = body
        for name in holder:
            fields = fields[name]
        if not all((*holder, name) in lists or _is_paging(name, value) for name, value in fields.items()):
            return False
    return True


def _is_paging(name: str, value: Any) -> bool:
    if value is None or name.lower() in ("code", "status"):
        return _is_success(value)
    return name.lower() in _NOTICE_NAMES or bool(set(words_of(name).split()) & _PAGING_WORDS)


def _is_usual(candidate: ListInBody, names: Sequence[str]) -> bool:
    """Whether a list has a usual name of lists of records, or is in objects with usual names of envelopes."""
    own = set(map(_letters, names))
    *holders, name = (part.lower().strip("_") for part in candidate[0])
    if not holders:
        return name in _LIST_NAMES or _letters(name) in own
    return all(holder in _WRAPPER_NAMES or _letters(holder) in own for holder in holders)


def _is_success(value: Any) -> bool:
    return not value or str(value).lower() in _SUCCESS_VALUES


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _has_key(record: Any, key: Sequence[str]) -> bool:
    return isinstance(record, Mapping) and all(record.get(name) is not None for name in key)


def _is_keyed(candidate: ListInBody, key: Sequence[str]) -> bool:
    return any(_has_key(record, key) for record in candidate[1])


def _path_of(candidate: ListInBody) -> LocatedPath:
    return LocatedPath(quote_path(candidate[0]))


def _records_hint(path: Sequence[str]) -> str:
    return f"If its records are elsewhere, set records = {toml_text(quote_path(path))}"


def _choice(lists: Sequence[ListInBody], *others: str) -> str:
    """The lines to choose from."""
    paths = [*(quote_path(path) for path, _ in lists[:5]), *others]
    return "Set " + " or ".join(f"records = {toml_text(path)}" for path in paths)


def _field_names(body: Mapping[str, Any]) -> str:
    return ", ".join(repr(name)[:40] for name in list(body)[:10])
