# SPDX-License-Identifier: Apache-2.0
"""Layer 2, the parts: what the runtime and the plugins are put together from. Imports the contract only.

A plugin imports these names from here, never from the modules below. They are imported when they are used, as in the
package itself: ``vdk datasource list`` needs one module of these.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..contract.remedies import closest, did_you_mean, one_line
    from ..contract.toml import toml_key, toml_value
    from .backoff import Backoff, may_wait
    from .columns.compute import pc
    from .columns.convert import cast_exactly
    from .columns.framework import REJECT_REMEDY, rejected_name
    from .columns.hashes import row_hashes, row_texts
    from .columns.infer import infer_table, is_valid_json, to_json
    from .columns.nested import SEPARATOR, flattened
    from .columns.numbers import JSON_NUMBERS, HugeNumber, exact_decimal, json_integer, whole_number
    from .columns.policy import ColumnPolicy
    from .columns.rows import rows_of
    from .columns.types import column_type
    from .comparison import HASH, MOST_HASHES, Comparison, ComparisonResult, ComparisonSpec
    from .destination import (
        DELETED_AT,
        LANDING_COLUMNS,
        RESERVED_PREFIX,
        TOMBSTONE,
        BatchKind,
        CommitUnit,
        Destination,
        RefusedRow,
        RefusedRowsError,
        SchemaChange,
        StateKey,
        StoredState,
        TableBatch,
        TableOwner,
        TableSnapshot,
        TableSpec,
        WriteMode,
    )
    from .expectations import EXPECTATIONS, Expectations, TableFacts, judge
    from .plugins.registry import Registry
    from .plugins.urls import takes_urls
    from .redact import Redactor
    from .run_records import KEPT_RECORDS, KEPT_RUNS, RECORD_FIELDS, RECORD_KEY, RunRecord, kept_records
    from .sql_text import literal, quoted, relation_name
    from .states.logged_document import LoggedDocument, sync_folder, write_synced

_OUTSIDE_DESTINATION = {
    "..contract.remedies": ("closest", "did_you_mean", "one_line"),
    "..contract.toml": ("toml_key", "toml_value"),
    ".backoff": ("Backoff", "may_wait"),
    ".columns.compute": ("pc",),
    ".columns.convert": ("cast_exactly",),
    ".columns.framework": ("REJECT_REMEDY", "rejected_name"),
    ".columns.hashes": ("row_hashes", "row_texts"),
    ".columns.infer": ("infer_table", "is_valid_json", "to_json"),
    ".columns.numbers": ("JSON_NUMBERS", "HugeNumber", "exact_decimal", "json_integer", "whole_number"),
    ".columns.nested": ("SEPARATOR", "flattened"),
    ".columns.policy": ("ColumnPolicy",),
    ".columns.rows": ("rows_of",),
    ".columns.types": ("column_type",),
    ".comparison": ("HASH", "MOST_HASHES", "Comparison", "ComparisonResult", "ComparisonSpec"),
    ".expectations": ("EXPECTATIONS", "Expectations", "TableFacts", "judge"),
    ".plugins.registry": ("Registry",),
    ".plugins.urls": ("takes_urls",),
    ".redact": ("Redactor",),
    ".run_records": ("KEPT_RECORDS", "KEPT_RUNS", "RECORD_FIELDS", "RECORD_KEY", "RunRecord", "kept_records"),
    ".sql_text": ("literal", "quoted", "relation_name"),
    ".states.logged_document": ("LoggedDocument", "sync_folder", "write_synced"),
}
_MODULE_OF = {name: module for module, names in _OUTSIDE_DESTINATION.items() for name in names}

__all__ = [
    "DELETED_AT",
    "EXPECTATIONS",
    "HASH",
    "JSON_NUMBERS",
    "KEPT_RECORDS",
    "KEPT_RUNS",
    "LANDING_COLUMNS",
    "MOST_HASHES",
    "RECORD_FIELDS",
    "RECORD_KEY",
    "REJECT_REMEDY",
    "RESERVED_PREFIX",
    "SEPARATOR",
    "TOMBSTONE",
    "Backoff",
    "BatchKind",
    "ColumnChange",
    "ColumnPolicy",
    "CommitUnit",
    "Comparison",
    "ComparisonResult",
    "ComparisonSpec",
    "Destination",
    "Expectations",
    "HugeNumber",
    "LoggedDocument",
    "Redactor",
    "RefusedRow",
    "RefusedRowsError",
    "Registry",
    "RunRecord",
    "SchemaChange",
    "StateKey",
    "StoredState",
    "TableBatch",
    "TableFacts",
    "TableOwner",
    "TableSnapshot",
    "TableSpec",
    "WriteMode",
    "cast_exactly",
    "closest",
    "column_type",
    "did_you_mean",
    "exact_decimal",
    "flattened",
    "infer_table",
    "is_valid_json",
    "json_integer",
    "judge",
    "kept_records",
    "literal",
    "may_wait",
    "one_line",
    "pc",
    "quoted",
    "rejected_name",
    "relation_name",
    "row_hashes",
    "row_texts",
    "rows_of",
    "sync_folder",
    "takes_urls",
    "to_json",
    "toml_key",
    "toml_value",
    "whole_number",
    "write_synced",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF.get(name, ".destination"), __name__), name)
