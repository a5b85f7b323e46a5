"""Layer 2, the parts: what the runtime is put together from. Imports the contract only.

Names are imported when they are used, as in the package itself: ``vdk datasource list`` needs one module of these.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._destination import (
        DELETED_AT,
        RESERVED_PREFIX,
        CommitUnit,
        Destination,
        Generation,
        SchemaChange,
        Slice,
        StateKey,
        StoredState,
        TableSpec,
        WriteMode,
    )
    from ._infer import infer_table, to_json
    from ._numbers import JSON_NUMBERS, HugeNumber, exact_decimal, json_integer, whole_number
    from ._redact import Redactor
    from ._registry import Registry

_NUMBERS = ("HugeNumber", "JSON_NUMBERS", "exact_decimal", "json_integer", "whole_number")
_ELSEWHERE = {
    "infer_table": "._infer",
    "to_json": "._infer",
    "Redactor": "._redact",
    "Registry": "._registry",
    **dict.fromkeys(_NUMBERS, "._numbers"),
}

__all__ = [
    "DELETED_AT",
    "JSON_NUMBERS",
    "RESERVED_PREFIX",
    "CommitUnit",
    "Destination",
    "Generation",
    "HugeNumber",
    "Redactor",
    "Registry",
    "SchemaChange",
    "Slice",
    "StateKey",
    "StoredState",
    "TableSpec",
    "WriteMode",
    "exact_decimal",
    "infer_table",
    "json_integer",
    "to_json",
    "whole_number",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "._destination"), __name__), name)
