"""JMESPath: where something is in a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter

from vdk.plugin.datasource_base.contract import ConfigurationError

from .envelopes import ListPath, NoRecords, named, place_of
from .http.types import Row


def find(path: str, body: Any) -> Any:
    """What is at ``path``; None where nothing is.

    :raises ConfigurationError: for a path that does not fit what is there, such as a function of the wrong type.
    """
    try:
        return compiled(path).search(body)
    except JMESPathError as error:
        raise ConfigurationError(f"the path {path!r} does not fit the answer: {error}") from None


@lru_cache(maxsize=256)
def compiled(path: str) -> ParsedResult:
    """Raises ``ConfigurationError`` for what is no JMESPath."""
    try:
        return jmespath.compile(path)
    except JMESPathError as error:
        raise ConfigurationError(f"{path!r} is no JMESPath: {' '.join(str(error).split())}") from None


_PROJECTIONS = ("projection", "filter_projection", "value_projection")
_PASSED_THROUGH = ("sort_by", "sort", "reverse", "to_array", "map")
"""Functions that make a list of a list, of the same length."""
Node: TypeAlias = Any
"""A node of jmespath's syntax tree: a dictionary with type, children and value."""


def records_in(body: Any, path: str | None, primary_key: Sequence[str] = (), names: Sequence[str] = ()) -> list[Row]:
    """The records of a body, as a list of JSON objects.

    :param path: JMESPath; None: where ``place_of`` finds them, else the body itself.
    :raises NoRecords: for ``null``, and for what is neither a list of objects nor an object.
    """
    if path is None:
        path = place_of(body, primary_key, names)
    found, place = (body, "as the whole answer") if path is None else (find(path, body), f"at {path!r}")
    place = "as the whole answer" if path == "@" else place
    if isinstance(found, Mapping) and not isinstance(path, ListPath):
        return [found]
    if not isinstance(found, list):
        raise NoRecords(f"a list of records was expected {place}, and there is {named(found)}")
    for one in found if set(map(type, found)) - {dict} else ():
        if not isinstance(one, Mapping):
            raise NoRecords(
                f"a list of records was expected {place}, and there is {named(one)} in it; records are JSON objects. "
                "A path such as '[].{value: @}' makes objects of plain values"
            )
    return found


def unfiltered(body: Any, path: str | None) -> list[Any] | None:
    """The list in a body that the records at ``path`` come from, before filters and slices of the path.

    :param path: None: the body, or the only list in it that may be one of records.
    :returns: None where the records come from no list.
    """
    if path is None:
        return body if isinstance(body, list) else _only_list(body)
    tree = _unfiltered_tree(path)
    try:
        found = find(path, body) if tree is None else _visit(tree, body)
    except JMESPathError:
        return None
    return found if isinstance(found, list) else None


def _visit(tree: Node, body: Any) -> Any:
    """What a syntax tree finds; for ``items[]`` the very list ``items``, unless there are lists in it to merge."""
    visit = TreeInterpreter().visit
    if tree["type"] == "flatten":
        inner = visit(tree["children"][0], body)
        if isinstance(inner, list) and list not in set(map(type, inner)):
            return inner
    return visit(tree, body)


def _only_list(body: Any) -> list[Any] | None:
    """For a source with ``records`` of its own: the list that it must be about, of objects or of lists."""
    values = body.values() if isinstance(body, Mapping) else ()
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], (Mapping, list))]
    return lists[0] if len(lists) == 1 else None


@lru_cache(maxsize=256)
def _unfiltered_tree(path: str) -> Node | None:
    """The syntax tree of ``path`` without its filters; None: it has none of them."""
    parsed: ParsedResult = compiled(path)
    tree = _source(parsed.parsed)
    return None if tree == parsed.parsed else tree


def _source(node: Node) -> Node:
    """What a path projects, filters or sorts: of ``data.items[?kind=='a'].{id: id}`` it is ``data.items``."""
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
    if kind == "function_expression" and node["value"] in _PASSED_THROUGH:
        return _source(next(child for child in children if child["type"] != "expref"))
    if kind == "or_expression":
        return {**node, "children": [_source(child) for child in children]}
    return _without_filters(node)


def _without_filters(node: Node) -> Node:
    kind = node["type"]
    children = [_without_filters(one) if isinstance(one, dict) else one for one in node.get("children", ())]
    if kind == "filter_projection":
        return {**node, "type": "projection", "children": children[:2]}
    if kind == "index_expression" and any(isinstance(child, dict) and child["type"] == "slice" for child in children):
        return children[0]
    return {**node, "children": children}
