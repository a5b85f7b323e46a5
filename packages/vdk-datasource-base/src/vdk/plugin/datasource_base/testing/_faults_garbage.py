"""What a source should never yield, or raise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ..contract import DataSourcePayload


class Unprintable:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("this cannot be printed")


class UnprintableError(Exception):
    """An error whose message cannot be had, as of a library that formats it too late."""

    def __str__(self) -> str:
        raise RuntimeError("this cannot be printed")

    __repr__ = __str__


def _endless() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


def _payload(data: Any, **others: Any) -> Any:
    return DataSourcePayload(data, **others)


GARBAGE: Mapping[str, Any] = {
    "no payload": {"n": 1},
    "None for a payload": None,
    "a number for data": _payload(5),
    "text for data": _payload("text"),
    "a list of no rows": _payload([{"n": 1}, 2]),
    "a list of lists": _payload([[1, 2]]),
    "a column that is no text": _payload({1: 2}),
    "a reserved column": _payload({"_vdk_x": 1}),
    "two columns of one name": _payload(pa.table([[1], [2]], names=["n", "n"])),
    "a value that cannot be printed": _payload({"n": Unprintable()}),
    "a value that contains itself": _payload({"n": _endless()}),
    "a column named by half of a character": _payload({"\ud800": 1}),
    "an unknown kind": _payload({"n": 1}, kind="upserts"),
    "keys that are deleted, without a key": _payload({"n": 1}, kind="deletes"),
    "a table that is no text": _payload({"n": 1}, destination_table=5),
    "a reserved table": _payload({"n": 1}, destination_table="_vdk_datasource_state"),
    "metadata that is no mapping": _payload({"n": 1}, metadata=5),
    "a state that is no mapping": _payload({"n": 1}, state=5),
    "a state with a key that is no text": _payload({"n": 1}, state={1: 2}),
    "a state with an object": _payload({"n": 1}, state={"n": object()}),
    "a state that cannot be printed": _payload({"n": 1}, state={"n": Unprintable()}),
    "a state that is not a number": _payload({"n": 1}, state={"n": math.nan}),
    "a state that contains itself": _payload({"n": 1}, state={"n": _endless()}),
    "a state with half of a character": _payload({"n": 1}, state={"n": "\ud800"}),
}
"""Payloads that a runtime must refuse, each alone, with an error that names the stream."""
