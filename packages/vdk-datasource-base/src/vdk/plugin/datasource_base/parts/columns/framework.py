# SPDX-License-Identifier: Apache-2.0
"""The columns that the framework adds, such as ``_vdk_synced_at``, and the table of rejected rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ...contract import BadRecordError
from ..destination import RESERVED_PREFIX, TableSpec
from .infer import any_json, infer_array

TIMESTAMP = pa.timestamp("us", tz="UTC")
REJECTED = pa.schema(
    [
        ("rejected_at", TIMESTAMP),
        ("run_id", pa.string()),
        ("source", pa.string()),
        ("stream", pa.string()),
        ("column", pa.string()),
        ("reason", pa.string()),
        ("row", pa.string()),
    ]
)
"""The columns of ``<table>__rejected``; ``row`` is the whole row, as JSON."""


def add_columns(
    table: pa.Table,
    names: Sequence[str],
    facts: Mapping[str, Any],
    metadata: Sequence[Mapping[str, Any]],
    metadata_indexes: pa.Array,
) -> pa.Table:
    """The table with ``_vdk_<name>`` for every name: a fact of the run, or the metadata of the row's payload.

    :param metadata_indexes: for each row the index of its payload's metadata in ``metadata``.
    """
    for name in names:
        if name in facts:
            values = _repeated(facts[name], table.num_rows)
        elif len(metadata) == 1:
            values = _repeated(metadata[0].get(name), table.num_rows)
        else:
            values = infer_array([values.get(name) for values in metadata]).take(metadata_indexes)
        table = table.append_column(f"{RESERVED_PREFIX}{name}", values)
    return table


def _repeated(value: Any, count: int) -> pa.Array:
    column = infer_array([value])
    return pa.repeat(column[0], count) if count else column.slice(0, 0)


def check_names(table: pa.Table, *, stream: str) -> None:
    """Refuse columns of a source that have the framework's prefix, and repeated names."""
    names = table.schema.names
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise BadRecordError("there are several columns of this name", stream=stream, column=repeated)
    reserved = [name for name in names if name.lower().startswith(RESERVED_PREFIX)]
    if reserved:
        raise BadRecordError(
            f"column names that begin with {RESERVED_PREFIX} are the framework's: rename {reserved} "
            "with a transform, or leave them out",
            stream=stream,
        )


REJECT_REMEDY = (
    '; or reject such rows with on_bad_record = "reject", and with max_rejected = "100%" if they are more than 10%'
)
"""The end of the reason of a row that could be rejected. A row that is rejected has the reason without it."""


def rejected_table(
    rows: Sequence[tuple[Mapping[str, Any], BadRecordError]], *, source: str, stream: str, run_id: str
) -> pa.Table:
    """Rejected rows as they land in ``<table>__rejected``: the whole row as JSON, and the reason."""
    now = dt.datetime.now(dt.UTC)
    count = len(rows)
    return pa.table(
        {
            "rejected_at": pa.repeat(pa.scalar(now, TIMESTAMP), count),
            "run_id": pa.repeat(run_id, count),
            "source": pa.repeat(source, count),
            "stream": pa.repeat(stream, count),
            "column": pa.array([error.column for _, error in rows], pa.string()),
            "reason": pa.array([_as_utf8(str(error).replace(REJECT_REMEDY, "")) for _, error in rows], pa.string()),
            "row": pa.array([any_json(dict(row)) for row, _ in rows], pa.string()),
        },
        schema=REJECTED,
    )


def rejected_name(table: str) -> str:
    return f"{table}__rejected"


def rejected_spec(table: str) -> TableSpec:
    """The table for the rejected rows of ``table``."""
    return TableSpec(name=rejected_name(table), write_mode="append", schema=REJECTED)


def _as_utf8(text: str) -> str:
    """The text as valid UTF-8: half of a surrogate pair, quoted from a value, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
