"""Which rows a target refuses, found by giving it fewer and fewer of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from vdk.plugin.datasource_base.parts import RefusedRow, RefusedRowsError, TableBatch

from .values import UnfitValueError

MOST = 100
"""Rows that are found at once; whoever leaves them out and tries again learns of the next."""
_MOST_COLUMNS = 200


def refusal(
    batches: Sequence[TableBatch], attempt: Callable[[TableBatch], object], error: UnfitValueError
) -> RefusedRowsError | UnfitValueError:
    """What to raise in the place of ``error``: the rows that are refused, or itself where it is none of them alone.

    :param attempt: lands a part of a slice, and undoes it; raises ``UnfitValueError``.
    """
    found: list[RefusedRow] = []
    for number, batch in enumerate(batches):
        if len(found) < MOST:
            found += _refused(number, batch, attempt)
    return RefusedRowsError(str(error), found) if found else error


def _refused(number: int, one: TableBatch, attempt: Callable[[TableBatch], object]) -> list[RefusedRow]:
    """Halves what fails, so that a refused row of n costs some 2 n rows of work, and log2(n) attempts."""
    found: list[RefusedRow] = []
    waiting = [(0, one.data.num_rows)]
    while waiting and len(found) < MOST:
        start, stop = waiting.pop()
        part = replace(one, data=one.data.slice(start, stop - start))
        error = _error_of(part, attempt)
        if error is None:
            continue
        if stop - start > 1:
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
            continue
        column = error.column if error.column in one.data.schema.names else _column(part, attempt)
        found.append(RefusedRow(number, start, str(error), column))
    return found


def _error_of(part: TableBatch, attempt: Callable[[TableBatch], object]) -> UnfitValueError | None:
    if not part.data.num_rows:
        return None
    try:
        attempt(part)
    except UnfitValueError as error:
        return error
    return None


def _column(row: TableBatch, attempt: Callable[[TableBatch], object]) -> str | None:
    """The column without whose value the row would be taken."""
    names: list[str] = row.data.schema.names[:_MOST_COLUMNS]
    for index, name in enumerate(names):
        field = row.data.schema.field(index)
        if row.data.column(index).null_count or name in row.table.primary_key:
            continue
        without = replace(row, data=row.data.set_column(index, field, pa.nulls(1, field.type)))
        if _error_of(without, attempt) is None:
            return name
    return None
