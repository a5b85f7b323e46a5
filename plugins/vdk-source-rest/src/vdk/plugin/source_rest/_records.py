"""Records in a body: where the configuration says, or where they plainly are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ._messages import Row
from ._paths import find

_ENVELOPES = ("items", "data", "results", "records", "rows", "values", "value", "entries", "content", "hits")
"""Names that answers commonly give to the list of their records."""


class NoRecords(Exception):
    """Records were expected where there are none; the text says what is there."""


def records_in(body: Any, path: str | None, primary_key: Sequence[str] = ()) -> list[Row]:
    """The records of a body, as a list of JSON objects.

    :param path: JMESPath; None: where ``place_of`` finds them, else the body itself.
    :raises NoRecords: for ``null``, and for what is neither a list of objects nor an object.
    """
    if path is None:
        path = place_of(body, primary_key)
    found, place = (body, "as the whole answer") if path is None else (find(path, body), f"at {path!r}")
    if isinstance(found, Mapping):
        return [found]
    if not isinstance(found, list):
        raise NoRecords(f"a list of records was expected {place}, and there is {_named(found)}")
    for one in found if set(map(type, found)) - {dict} else ():
        if not isinstance(one, Mapping):
            raise NoRecords(
                f"a list of records was expected {place}, and there is {_named(one)} in it; records are JSON objects. "
                "A path such as '[].{value: @}' makes objects of plain values"
            )
    return found


def place_of(body: Any, primary_key: Sequence[str] = ()) -> str | None:
    """The path of the only list of objects in a body; None: the body is a list, or is one record itself.

    A body that has the primary key is one record.

    :raises NoRecords: where there are several lists, or ``null`` under a name that lists have.
    """
    if not isinstance(body, Mapping) or (primary_key and all(name in body for name in primary_key)):
        return None
    lists = [name for name, value in body.items() if isinstance(value, list) and _may_be_records(value)]
    if len(lists) == 1:
        return json.dumps(lists[0])  # a quoted name, as JMESPath writes it
    if lists:
        raise NoRecords(f"the answer has several lists ({', '.join(lists)}): say which holds the records with records")
    if nothing := [name for name in _ENVELOPES if name in body and body[name] is None]:
        raise NoRecords(f"a list of records was expected, and {nothing[0]!r} is null")
    return None


def _may_be_records(value: list[Any]) -> bool:
    return not value or isinstance(value[0], Mapping)


def _named(value: Any) -> str:
    if value is None:
        return "null, or nothing"
    kinds = {str: "text", bool: "a truth value", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), f"{value!r:.40}")
