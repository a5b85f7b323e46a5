"""Layer 2, the parts: what the runtime is put together from. Imports the contract only.

Names are imported when they are used, as in the package itself: ``vdk datasource list`` needs one module of these.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .destination import (
        DELETED_AT,
        RESERVED_PREFIX,
        CommitUnit,
        Destination,
        RefusedRow,
        RefusedRowsError,
        SchemaChange,
        StateKey,
        StoredState,
        TableBatch,
        TableSnapshot,
        TableSpec,
        WriteMode,
    )
    from .infer import infer_table, to_json
    from .logged_document import LoggedDocument
    from .numbers import JSON_NUMBERS, HugeNumber, exact_decimal, json_integer, whole_number
    from .redact import Redactor
    from .registry import Registry

_NUMBERS = ("HugeNumber", "JSON_NUMBERS", "exact_decimal", "json_integer", "whole_number")
_ELSEWHERE = {
    "infer_table": ".infer",
    "to_json": ".infer",
    "LoggedDocument": ".logged_document",
    "Redactor": ".redact",
    "Registry": ".registry",
    **dict.fromkeys(_NUMBERS, ".numbers"),
}

__all__ = [
    "DELETED_AT",
    "JSON_NUMBERS",
    "RESERVED_PREFIX",
    "CommitUnit",
    "Destination",
    "HugeNumber",
    "LoggedDocument",
    "Redactor",
    "RefusedRow",
    "RefusedRowsError",
    "Registry",
    "SchemaChange",
    "StateKey",
    "StoredState",
    "TableBatch",
    "TableSnapshot",
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
    return getattr(import_module(_ELSEWHERE.get(name, ".destination"), __name__), name)
