"""Where the records of an answer are when the configuration does not say.

An answer is a list of records, one record, or an envelope: an object with a list of records in it, at most two
levels down (OData, Solr, Elasticsearch, Reddit, HAL). What may be read in two ways is refused with the lines to
choose from, since a wrong guess lands wrong rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LEVELS = 3
"""Names in a path at most: a list is at the top or one or two levels down."""
_DEEPEST = 20
_LISTS = {
    "items", "data", "results", "result", "records", "rows", "values", "value", "entries", "content", "hits", "docs",
    "nodes", "edges", "children", "elements", "objects", "list", "resources", "contents",
}  # fmt: skip
"""Names that answers commonly give to the list of their records."""
_WRAPPERS = {"d", "data", "result", "results", "response", "payload", "body", "hits", "page", "embedded", "feed"}
"""Names that answers commonly give to the object around that list."""
_ASIDE = {"error", "errors", "warning", "warnings"}
"""Lists that go with records and hold none."""
_PAGING = {
    "total", "count", "size", "page", "pages", "next", "previous", "prev", "first", "last", "offset", "limit", "cursor",
    "token", "more", "done", "link", "links", "href", "self", "meta", "metadata", "ok", "success", "message", "errors",
    "error", "request", "took", "generated", "timestamp", "kind", "etag", "truncated", "start", "after", "before",
}  # fmt: skip
"""Words of fields that an envelope has beside its list."""
_FINE = {"0", "200", "ok", "success", "succeeded", "none", ""}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

Found = tuple[tuple[str, ...], list[Any]]


class NoRecords(Exception):
    """Records were expected where there are none, or may be in several places; the text names what there is."""


class ListPath(str):
    """A path that was found and not configured: each page has a list there."""


NO_RECORDS = ListPath("`[]`")
"""The path of an envelope whose lists are all empty: which of them holds records is for a later page to show."""
WHOLE = ListPath("@")


def place_of(body: Any, key: Sequence[str] = (), names: Sequence[str] = (), *, accepted: bool = False) -> str | None:
    """The path of the list of records in a body; None: the body is one record.

    :param key: the declared primary key, as far as records hold it.
    :param names: what the list may be called beside the usual names.
    :param accepted: a rule says that the answer is no error, whatever it looks like.
    :raises NoRecords: for an error with status 200, and where the place is not certain.
    """
    if isinstance(body, list):
        return WHOLE
    if not isinstance(body, Mapping):
        raise NoRecords(f"a list of records was expected as the whole answer, and there is {named(body)}")
    lists = [one for one in _lists(body) if not _is_aside(one, names)]
    if key and _has(body, key):
        if rivals := [one for one in lists if _is_usual(one, names) and _keyed(one, key)]:
            raise NoRecords(f"the answer and the records of a list in it have the primary key: {_choice(rivals, '@')}")
        return None
    if not lists:
        _check_one_record(body, key, accepted)
        return None
    return _chosen(body, lists, key, names)


def error_in(body: Any, *, empty: bool = False) -> str | None:
    """What shows that an answer is an error, whatever its status: ``error is 'quota'``; None: nothing does.

    :param empty: the answer has no records, so that a message with a code counts too.
    """
    if not isinstance(body, Mapping):
        return None
    marks = [name for name in body if name.lower() in ("ok", "success") and body[name] is False]
    marks += [name for name in body if name.lower() in ("error", "errors") and not _is_fine(body[name])]
    if empty and any(name.lower() == "message" for name in body):
        marks += [name for name in body if name.lower() == "code" and not _is_fine(body[name])]
    failures = ("error", "fail", "failed", "failure")
    marks += [name for name in body if empty and name.lower() == "status" and str(body[name]).lower() in failures]
    return f"{marks[0]} is {json.dumps(body[marks[0]], default=str):.80}" if marks else None


def remedy(mark: str, place: str = "") -> str:
    """The line for an answer that is not an error, though it looks like one: ``mark`` was found at ``place``."""
    name = mark.partition(" is ")[0]
    path = f"{'!' if name.lower() in ('ok', 'success') else ''}{place}{quote_path((name,))}"
    return (
        f'If it is not one, add responses = [{{ when = {toml(path)}, action = "accept" }}]; action = "ignore" if it '
        "means that there are no records"
    )


def quote_path(path: Sequence[str]) -> str:
    """Names as a JMESPath: ``hits.hits``, or in quotes where they need them."""
    return ".".join(name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else json.dumps(name) for name in path)


def words(name: str) -> str:
    """The words of a field's name: ``nextRecordsUrl`` → ``next records url``."""
    return " ".join(_WORD.findall(name)).lower()


def named(value: Any) -> str:
    """What a value is, for a message."""
    if value is None:
        return "null, or nothing"
    kinds = {str: "text", bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"{value!r:.40}")


def _lists(body: Mapping[str, Any], path: tuple[str, ...] = (), levels: int = LEVELS) -> Iterator[Found]:
    """The lists of objects in an object, and the empty ones, by their paths."""
    for name, value in body.items():
        if isinstance(value, list) and (not value or isinstance(value[0], Mapping)):
            yield (*path, name), value
        elif isinstance(value, Mapping) and levels > 1:
            yield from _lists(value, (*path, name), levels - 1)


def _is_aside(found: Found, names: Sequence[str] = ()) -> bool:
    path, values = found
    name = path[-1].lower().strip("_")
    if name == "links":
        return not values or not {"href", "rel"}.isdisjoint(values[0])
    return name in _ASIDE and name not in map(_letters, names)


def _chosen(body: Mapping[str, Any], lists: list[Found], key: Sequence[str], names: Sequence[str]) -> str:
    keyed = [one for one in lists if _keyed(one, key)] if key else []
    if len(keyed) == 1:
        return _path(keyed[0])
    if len(keyed) > 1:
        raise NoRecords(f"the answer has several lists of records with the primary key: {_choice(keyed)}")
    usual = [one for one in lists if _is_usual(one, names)]
    if len(lists) == 1:
        path, values = lists[0]
        if usual or (values and len(path) == 1) or _is_envelope(body, path):
            return _path(lists[0])
        raise NoRecords(f"the answer is one record with a list in it, or an envelope: {_choice(lists, '@')}")
    if not any(values for _, values in lists):
        if usual or _is_envelope(body, *(path for path, _ in lists)):
            return NO_RECORDS
        raise NoRecords(f"the answer is one record with lists in it, or an envelope: {_choice(lists, '@')}")
    for one in usual:
        others = [other for other in lists if other is not one]
        if all(len(path) > len(one[0]) for path, _ in others) and (one[1] or not any(other[1] for other in others)):
            return _path(one)
    raise NoRecords(f"the answer has several lists: {_choice(lists)}")


def _check_one_record(body: Mapping[str, Any], key: Sequence[str], accepted: bool) -> None:
    """An object without a list is a record if it has the primary key, or none is declared and it shows no other."""
    if not accepted and (mark := error_in(body, empty=True)):
        inner = _inner(body, key)
        line = f"{_line(inner)}. " if inner else ""
        raise NoRecords(f"the answer looks like an error ({mark}) and not like a record. {line}{remedy(mark)}")
    if nothing := next((path for path in _nulls(body) if path[-1].lower() in _LISTS), None):
        raise NoRecords(f"a list of records was expected, and {quote_path(nothing)!r} is null")
    deep = next((one for one in _lists(body, levels=_DEEPEST) if one[1] and one[0][-1].strip("_") != "links"), None)
    if deep is not None:
        raise NoRecords(f"the answer is one record with a list in it, or an envelope: {_choice([deep], '@')}")
    if key:
        inner = _inner(body, key)
        raise NoRecords(
            f"the answer is an object without the primary key {', '.join(map(repr, key))}, and no list of records is "
            f"in it; its fields are {_names(body)}. " + _line(inner or ("path", "to", "records"))
        )
    if not body:
        raise NoRecords("a list of records or a record was expected, and the answer is an object without fields")


def _nulls(body: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in body.items():
        if value is None:
            yield (name,)
        elif isinstance(value, Mapping) and name.lower().strip("_") in _WRAPPERS:
            yield from ((name, inner) for inner, one in value.items() if one is None)


def _inner(body: Mapping[str, Any], key: Sequence[str]) -> tuple[str, ...] | None:
    """The object in an envelope that is a record: the one with the key, or the only one there is."""
    objects = [(name, value) for name, value in body.items() if isinstance(value, Mapping)]
    if key:
        objects = [(name, value) for name, value in objects if _has(value, key)]
    return (objects[0][0],) if len(objects) == 1 else None


def _is_envelope(body: Mapping[str, Any], *paths: tuple[str, ...]) -> bool:
    """Whether all that an object has beside the lists is about paging, on the way to them as well."""
    holders = {path[:index] for path in paths for index in range(len(path))}
    lists = {path[: index + 1] for path in paths for index in range(len(path))}
    for holder in holders:
        here: Any = body
        for name in holder:
            here = here[name]
        if not all((*holder, name) in lists or _is_paging(name, value) for name, value in here.items()):
            return False
    return True


def _is_paging(name: str, value: Any) -> bool:
    if value is None or name.lower() in ("code", "status"):
        return _is_fine(value)
    return name.lower() in _ASIDE or bool(set(words(name).split()) & _PAGING)


def _is_usual(found: Found, names: Sequence[str]) -> bool:
    """Whether a list is called as lists of records are, or lies in what is called as envelopes are."""
    own = set(map(_letters, names))
    *holders, name = (one.lower().strip("_") for one in found[0])
    if not holders:
        return name in _LISTS or _letters(name) in own
    return all(holder in _WRAPPERS or _letters(holder) in own for holder in holders)


def _is_fine(value: Any) -> bool:
    return not value or str(value).lower() in _FINE


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _has(record: Any, key: Sequence[str]) -> bool:
    return isinstance(record, Mapping) and all(record.get(name) is not None for name in key)


def _keyed(found: Found, key: Sequence[str]) -> bool:
    return any(_has(record, key) for record in found[1])


def _line(path: Sequence[str]) -> str:
    return f"If its records are elsewhere, say where: records = {toml(quote_path(path))}"


def _path(found: Found) -> ListPath:
    return ListPath(quote_path(found[0]))


def _choice(lists: Sequence[Found], *others: str) -> str:
    """The lines to choose from."""
    paths = [*(quote_path(path) for path, _ in lists[:5]), *others]
    return "name the place of the records with " + " or ".join(f"records = {toml(path)}" for path in paths)


def toml(path: str) -> str:
    """A path as a text of TOML."""
    return f"'{path}'" if '"' in path else f'"{path}"'


def _names(body: Mapping[str, Any]) -> str:
    return ", ".join(repr(name)[:40] for name in list(body)[:10])
