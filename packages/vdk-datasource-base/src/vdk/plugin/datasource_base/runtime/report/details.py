# SPDX-License-Identifier: Apache-2.0
"""What a report shows of a stream beyond its counts: rows over time, rejected rows, the columns that landed.

All of it is bounded, whatever a run reads, and is collected once per batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

MAX_POINTS = 240
MAX_EXAMPLES = 20
MAX_COLUMNS = 50
MAX_ROW = 300
"""Characters of a rejected row that are kept."""
MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Point:
    """The rows read and landed by a time, in seconds since the stream began."""

    seconds: float
    read: int
    landed: int


class Timeline:
    """At most ``MAX_POINTS`` points: when they are too many, every other one is dropped."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._interval = 0.0

    def add(self, point: Point) -> None:
        if self.points and point.seconds - self.points[-1].seconds < self._interval:
            return
        self.points.append(point)
        if len(self.points) > MAX_POINTS:
            self.points = self.points[::2]
            self._interval = self.points[-1].seconds / len(self.points)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected row, as text."""

    column: str | None
    reason: str
    row: str


@dataclass(slots=True)
class Rejects:
    """The columns that rows were rejected for, and the first of these rows."""

    examples: list[RejectedRow] = field(default_factory=list)
    columns: Counter[str] = field(default_factory=Counter)

    def add(self, rows: pa.Table) -> None:
        """:param rows: as ``rejected_table`` makes them."""
        for pair in rows.column("column").value_counts().to_pylist():
            self._count(pair["values"] or "", pair["counts"])
        for row in rows.slice(0, MAX_EXAMPLES - len(self.examples)).to_pylist():
            self.examples.append(RejectedRow(row["column"], row["reason"][:MAX_REASON], row["row"][:MAX_ROW]))

    def merge(self, other: Rejects) -> None:
        for name, count in other.columns.items():
            self._count(name, count)
        self.examples += other.examples[: MAX_EXAMPLES - len(self.examples)]

    def _count(self, column: str, rows: int) -> None:
        self.columns[column if column in self.columns or len(self.columns) < MAX_COLUMNS else "…"] += rows


@dataclass(slots=True)
class StreamDetails:
    """The details of one stream. Only the writer's thread adds to them.

    :ivar columns: table → columns and their Arrow types, as they landed.
    """

    timeline: Timeline = field(default_factory=Timeline)
    rejects: Rejects = field(default_factory=Rejects)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)
    """The columns that the stream declares."""
    _schemas: dict[str, pa.Schema] = field(default_factory=dict)

    def add_point(self, started: float, read: int, landed: int) -> None:
        self.timeline.add(Point(time.monotonic() - started, read, landed))

    def add_columns(self, table: str, schema: pa.Schema) -> None:
        if self._schemas.get(table) == schema:
            return
        self._schemas[table] = schema
        self.columns.setdefault(table, {}).update(column_types(schema))


def column_types(schema: pa.Schema) -> dict[str, str]:
    """Column → the name of its Arrow type. A column of Arrow's null type has no value yet."""
    return {field.name: str(field.type) for field in schema if not pa.types.is_null(field.type)}
