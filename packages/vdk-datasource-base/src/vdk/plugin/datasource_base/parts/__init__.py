"""Layer 2, the parts: what the runtime is put together from. Imports the contract only."""

from ._destination import (
    DELETED_AT,
    RESERVED_PREFIX,
    CommitUnit,
    Destination,
    Generation,
    Slice,
    StateKey,
    StoredState,
    TableSpec,
    WriteMode,
)
from ._infer import infer_table, to_json
from ._registry import Registry

__all__ = [
    "DELETED_AT",
    "RESERVED_PREFIX",
    "CommitUnit",
    "Destination",
    "Generation",
    "Registry",
    "Slice",
    "StateKey",
    "StoredState",
    "TableSpec",
    "WriteMode",
    "infer_table",
    "to_json",
]
