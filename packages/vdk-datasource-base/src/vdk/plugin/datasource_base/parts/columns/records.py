# SPDX-License-Identifier: Apache-2.0
"""Reads records into columns, without a mapping for each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...contract import BadRecordError, DataSourceError, RecordColumns, StreamSchema, record_columns

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordValues:
    """The values of records, column by column, and the records whose resolvers failed, as rows with the error."""

    columns: Mapping[str, Sequence[Any]]
    count: int
    rejected: Sequence[tuple[Row, BadRecordError]] = ()

    def rows(self) -> list[Row]:
        """The values as rows."""
        if not self.columns:
            return [{} for _ in range(self.count)]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]


def has_records(rows: Sequence[Any], schema: StreamSchema | None) -> bool:
    """Whether some of the rows are records, or mappings of a ``TypedDict`` whose schema changes its columns."""
    if schema is not None and schema.record is not None and schema.record.fields:
        return True
    return not all(issubclass(kind, Mapping) for kind in set(map(type, rows)))


def read_records(rows: Sequence[Any], schema: StreamSchema | None, *, stream: str) -> RecordValues | None:
    """Read records of one class; None: the rows are not of one class, or have keys of their own.

    :raises DataSourceError: for a record of another class than the schema's.
    """
    kinds = set(map(type, rows))
    if len(kinds) != 1 or issubclass(kind := kinds.pop(), Mapping):
        return None
    return _read(rows, _columns_for(kind, schema, stream), schema, stream)


def to_rows(
    rows: Sequence[Any], schema: StreamSchema | None, *, stream: str
) -> tuple[list[Row], list[tuple[Row, BadRecordError]]]:
    """The rows as mappings, and those whose resolvers failed, each with its error."""
    whole = read_records(rows, schema, stream=stream)
    if whole is not None:
        return whole.rows(), list(whole.rejected)
    result: list[Row] = []
    rejected: list[tuple[Row, BadRecordError]] = []
    typed_dict = schema.record if schema is not None and schema.record is not None and schema.record.fields else None
    for row in rows:
        if isinstance(row, Mapping) and typed_dict is None:
            result.append(row)
            continue
        columns = typed_dict if isinstance(row, Mapping) else _columns_for(type(row), schema, stream)
        assert columns is not None  # it is None for mappings alone
        read = _read([row], columns, schema, stream)
        others = {key: row[key] for key in row if key not in columns.fields} if isinstance(row, Mapping) else {}
        result += [{**others, **item} for item in read.rows()]
        rejected += [({**others, **item}, error) for item, error in read.rejected]
    return result, rejected


def _columns_for(kind: type, schema: StreamSchema | None, stream: str) -> RecordColumns:
    declared = schema.record if schema is not None else None
    if declared is None:
        return record_columns(kind)
    if not declared.covers(kind):
        raise DataSourceError(
            f"stream {stream!r} yielded a record of the class {kind.__qualname__}, and its schema is that of "
            f"{declared.cls.__qualname__}; yield {declared.cls.__qualname__}, or write "
            f"StreamSchema.of({kind.__qualname__})"
        )
    if others := declared.further_fields(kind):
        raise DataSourceError(
            f"stream {stream!r} yielded a {kind.__qualname__}, whose fields {', '.join(others)} the schema of "
            f"{declared.cls.__qualname__} lacks; write StreamSchema.of({kind.__qualname__})"
        )
    return declared


def _read(records: Sequence[Any], columns: RecordColumns, schema: StreamSchema | None, stream: str) -> RecordValues:
    values: dict[str, list[Any]] = {}
    failed: dict[int, tuple[str, Exception]] = {}
    for column, get in columns.values.items():
        values[column] = (
            _resolved(records, column, get, failed) if column in columns.resolved else list(map(get, records))
        )
    if not failed:
        return RecordValues(values, len(records))
    key = schema.primary_key if schema is not None else ()
    rejected = []
    for index, (column, error) in sorted(failed.items()):
        row = {name: column_values[index] for name, column_values in values.items()}
        rejected.append((row, _resolver_error(error, column, {name: row[name] for name in key if name in row}, stream)))
    kept = [index for index in range(len(records)) if index not in failed]
    return RecordValues({name: [items[index] for index in kept] for name, items in values.items()}, len(kept), rejected)


def _resolved(
    records: Sequence[Any], column: str, get: Callable[[Any], Any], failed: dict[int, tuple[str, Exception]]
) -> list[Any]:
    """The values of a resolver, called once for each record; where it fails, None, and its error in ``failed``.

    What an unreachable system raises is raised: the attempt is retried, and no row is rejected for it.
    """
    values: list[Any] = []
    for index, record in enumerate(records):
        try:
            values.append(get(record))
            continue
        except BadRecordError as error:
            failed.setdefault(index, (column, error))
        except (DataSourceError, ConnectionError, TimeoutError):
            raise
        except Exception as error:
            failed.setdefault(index, (column, error))
        values.append(None)
    return values


def _resolver_error(error: Exception, column: str, key: Row, stream: str) -> BadRecordError:
    if isinstance(error, BadRecordError):
        return BadRecordError(
            error.reason,
            stream=error.stream or stream,
            column=error.column or column,
            key=error.key or key or None,
            value=error.value,
        )
    reason = f"the column's resolver raised {type(error).__name__}: {error}"
    return BadRecordError(reason, stream=stream, column=column, key=key or None)
