# SPDX-License-Identifier: Apache-2.0
"""Parents: the values that a child stream takes from the records of other streams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig, DataSourceError

from .http.types import Row
from .responses.extract import search

_ANCESTOR = re.compile(r"(?P<stream>\w[\w-]*):(?P<field>.+)", re.DOTALL)
"""A field of an ancestor: ``orgs:login``. No JMESPath begins with a name and a colon."""


class ParentConfig(DataSourceConfig):
    """The stream whose records this stream is read for."""

    stream: Annotated[str, Meta(min_length=1, description="the parent stream's name")]
    bind: Annotated[
        dict[str, str],
        Meta(
            min_length=1,
            description="placeholder = field of the parent's record (JMESPath), or of an ancestor's, as stream:field",
        ),
    ]
    include: Annotated[
        list[str] | dict[str, str],
        Meta(description="fields of the parent to load with each record, as <parent>_<field>; or column = field"),
    ] = msgspec.field(default_factory=list)
    only_changed: Annotated[
        bool | str,
        Meta(description="read the children only of parents whose cursor's field, or this field, has changed"),
    ] = False
    batch: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="request the children of so many parents at once")
    ] = None
    separator: Annotated[str, Meta(description="what is between the values of a batch; empty: they are a list")] = ","

    def included_columns(self) -> dict[str, str]:
        """Column → field of the parent."""
        if isinstance(self.include, Mapping):
            return dict(self.include)
        names = {field: field if ":" in field else f"{self.stream}_{field}" for field in self.include}
        return {name.replace(".", "_").replace(":", "_"): field for field, name in names.items()}

    def ancestors(self) -> Iterator[tuple[str, str]]:
        """The ancestors that fields are taken from, each with that text."""
        for text in (*self.bind.values(), *self.included_columns().values()):
            if match := _ANCESTOR.fullmatch(text):
                yield match["stream"], text


@dataclass(frozen=True, slots=True)
class ValueSet:
    """The values of the placeholders of one partition.

    :param columns: what is loaded with each record.
    :param records: the records that the values were taken from, by their streams.
    :param changed: what shows that a parent has changed; None: it is not compared.
    """

    values: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    records: Mapping[str, Row] = field(default_factory=dict)
    changed: Any = None

    def __or__(self, other: ValueSet) -> ValueSet:
        changed = [value for value in (self.changed, other.changed) if value is not None]
        return ValueSet(
            self.values | other.values,
            self.columns | other.columns,
            {**self.records, **other.records},
            changed if len(changed) > 1 else next(iter(changed), None),
        )


def path_of(text: str) -> str:
    """The JMESPath in a field of a parent or an ancestor."""
    match = _ANCESTOR.fullmatch(text)
    return match["field"] if match else text


def value_of(path: str, row: Row, records: Mapping[str, Row]) -> Any:
    """The value at a path of a parent's record, or (``stream:path``) of that of an ancestor."""
    if match := _ANCESTOR.fullmatch(path):
        return search(match["field"], records[match["stream"]])
    return search(path, row)


def bound(config: ParentConfig, row: Row, records: Mapping[str, Row], child: str, changed_at: str | None) -> ValueSet:
    """The values that a child takes from one record of its parent.

    :param records: those of the ancestors.
    :raises DataSourceError: for a record without a value for a placeholder.
    """
    values = {name: value_of(field, row, records) for name, field in config.bind.items()}
    for name, value in values.items():
        if value is None or isinstance(value, (dict, list)):
            place = config.bind[name]
            raise DataSourceError(
                f"stream {child!r}: a record of its parent {config.stream!r} has {value!r:.80} at {place!r}, which is "
                f"not a value for the placeholder {name!r}. To skip such parents, filter the records of "
                f"{config.stream!r}, as in records = '[?{place}]'; this record begins "
                f"{dict(list(row.items())[:3])!r:.200}"
            )
    columns = {name: value_of(field, row, records) for name, field in config.included_columns().items()}
    changed = search(changed_at, row) if changed_at is not None else None
    plain = changed if changed is None or isinstance(changed, (str, int, bool)) else str(changed)
    return ValueSet(values, columns, {**records, config.stream: row}, plain)


def batches(sets: Iterator[ValueSet], size: int, separator: str) -> Iterator[ValueSet]:
    """The values of several parents at once, as texts or lists."""
    pending: list[ValueSet] = []
    for one_set in sets:
        pending.append(one_set)
        if len(pending) == size:
            yield _joined(pending, separator)
            pending = []
    if pending:
        yield _joined(pending, separator)


def _joined(sets: list[ValueSet], separator: str) -> ValueSet:
    lists = {name: list(dict.fromkeys(item.values[name] for item in sets)) for name in sets[0].values}
    if separator:
        return ValueSet({name: separator.join(map(str, values)) for name, values in lists.items()})
    return ValueSet(lists)
