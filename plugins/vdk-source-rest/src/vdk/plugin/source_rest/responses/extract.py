# SPDX-License-Identifier: Apache-2.0
"""JMESPath: the value at a path of a body, the records at one, and the list that those come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import one_line

from ..http.types import Row
from .envelopes import LocatedPath, RecordsNotFound, locate_records, toml_text, type_name


def search(path: str, body: Any) -> Any:
    """The value at ``path``; None if it does not exist.

    :raises ConfigurationError: for a path that does not fit the body, such as a function of the wrong type.
    """
    try:
        return compile_path(path).search(body)
    except JMESPathError as error:
        raise ConfigurationError(f"the path {path!r} does not fit the response: {error}") from None


@lru_cache(maxsize=256)
def compile_path(path: str) -> ParsedResult:
    """Raises ``ConfigurationError`` for a text that is not a JMESPath."""
    try:
        return jmespath.compile(path)
    except JMESPathError as error:
        raise ConfigurationError(f"{path!r} is not a JMESPath: {one_line(str(error))}") from None


def records_in(
    body: Any,
    path: str | None,
    primary_key: Sequence[str] = (),
    names: Sequence[str] = (),
    key_field: str | None = None,
) -> list[Row]:
    """The records of a body, as a list of JSON objects.

    :param path: JMESPath; None: the path that ``locate_records`` returns, else the body itself.
    :raises RecordsNotFound: for ``null``, and for a value that is neither a list of objects nor an object.
    """
    if path is None:
        path = locate_records(body, primary_key, names)
    value = body if path is None else search(path, body)
    if key_field is not None:
        if not isinstance(value, Mapping):
            raise RecordsNotFound(
                f"an object of records was expected at {path or '@'!r}, since key_field is set, not {type_name(value)}"
            )
        return keyed_records(value, key_field)
    place = "as the whole response" if path is None or path == "@" else f"at {path!r}"
    if isinstance(value, Mapping) and not isinstance(path, LocatedPath):
        return [value]
    if not isinstance(value, list):
        raise RecordsNotFound(f"a list of records was expected {place}, not {type_name(value)}")
    for record in value if set(map(type, value)) - {dict} else ():
        if not isinstance(record, Mapping):
            objects = toml_text(f"{'' if path in (None, '@') else path}[].{{value: @}}")
            raise RecordsNotFound(
                f"a list of records was expected {place}, not one with {type_name(record)} in it; records are JSON "
                f"objects. To make objects of plain values, set records = {objects}"
            )
    return value


def keyed_records(value: Mapping[str, Any], key_field: str) -> list[Row]:
    """The members of an object as records, each with its name in ``key_field``."""
    return [
        {key_field: name, **(record if isinstance(record, Mapping) else {"value": record})}
        for name, record in value.items()
    ]


def unfiltered(body: Any, path: str | None) -> list[Any] | None:
    """The list in a body that the records at ``path`` come from, before the filters and slices of the path.

    :param path: None: the body, or the only list in it that may contain records.
    :returns: None if the records come from no list.
    """
    if path is None:
        return body if isinstance(body, list) else _only_list(body)
    tree = _unfiltered_tree(path)
    try:
        value = search(path, body) if tree is None else _visit(tree, body)
    except JMESPathError:
        return None
    return value if isinstance(value, list) else None


Node: TypeAlias = Any
"""A node of jmespath's syntax tree: a dictionary with type, children and value."""
_PROJECTIONS = ("projection", "filter_projection", "value_projection")
_SAME_LENGTH = ("sort_by", "sort", "reverse", "to_array", "map")
"""Functions that make a list of a list, of the same length."""


def _visit(tree: Node, body: Any) -> Any:
    """The value of a syntax tree; for ``items[]`` the very list ``items``, unless it contains lists to merge."""
    visit = TreeInterpreter().visit
    if tree["type"] == "flatten":
        inner = visit(tree["children"][0], body)
        if isinstance(inner, list) and list not in set(map(type, inner)):
            return inner
    return visit(tree, body)


def _only_list(body: Any) -> list[Any] | None:
    """For a source that overrides ``records``: the list that it must read, of objects or of lists."""
    values = body.values() if isinstance(body, Mapping) else ()
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], (Mapping, list))]
    return lists[0] if len(lists) == 1 else None


@lru_cache(maxsize=256)
def _unfiltered_tree(path: str) -> Node | None:
    """The syntax tree of ``path`` without its filters; None: it has no filter."""
    parsed: ParsedResult = compile_path(path)
    tree = _source(parsed.parsed)
    return None if tree == parsed.parsed else tree


def _source(node: Node) -> Node:
    """The value that a path projects, filters or sorts: ``data.items`` of ``data.items[?kind=='a'].{id: id}``."""
    kind, children = node["type"], node["children"]
    if kind in ("projection", "filter_projection"):
        return _without_filters(children[0])
    if kind == "value_projection":
        return {**node, "children": [_without_filters(children[0]), {"type": "identity", "children": []}]}
    if kind == "pipe":
        first, second = children
        if second["type"] in (*_PROJECTIONS, "field", "subexpression"):
            return {**node, "children": [_without_filters(first), _source(second)]}
        return _source(first)
    if kind == "function_expression" and node["value"] in _SAME_LENGTH:
        return _source(next(child for child in children if child["type"] != "expref"))
    if kind == "or_expression":
        return {**node, "children": [_source(child) for child in children]}
    return _without_filters(node)


def _without_filters(node: Node) -> Node:
    kind = node["type"]
    children = [_without_filters(child) if isinstance(child, dict) else child for child in node.get("children", ())]
    if kind == "filter_projection":
        return {**node, "type": "projection", "children": children[:2]}
    if kind == "index_expression" and any(isinstance(child, dict) and child["type"] == "slice" for child in children):
        return children[0]
    return {**node, "children": children}
