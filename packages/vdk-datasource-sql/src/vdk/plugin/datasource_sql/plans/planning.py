# SPDX-License-Identifier: Apache-2.0
"""What is read from one table: its options and its reflection, checked against each other. No I/O."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import DELETED_AT, LANDING_COLUMNS, toml_key

from ..config import Columns, SqlConfig, TableConfig
from ..cursors.formats import fits_64_bits
from .names import find_name, named_like
from .table_info import KeyInfo, TableInfo

RangeOrder = Literal["key", "cursor"]
T = TypeVar("T")
NEED_A_CURSOR = frozenset(
    {
        *("initial_value", "end_value", "lookback", "safety_lag", "null_cursor", "cursor_format", "order"),
        *("null_cursor_values", "on_source_behind"),
    }
)


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound of a backfill, as it was configured, and where; None: there is none."""

    value: Any
    config_path: str


@dataclass(frozen=True, slots=True)
class RowRange:
    """The rows of a table from one position to another one.

    :param by: what positions are: keys, whose columns tell rows apart, or cursors, of which each is in one range.
    :param after: the position that it begins after; None: with the first row.
    :param upto: the position of its last row; None: it has no end.
    """

    by: RangeOrder
    after: tuple[Any, ...] | None
    upto: tuple[Any, ...] | None


@dataclass(frozen=True)
class TablePlan:
    """How a table is read.

    :param columns: the columns that land, in the table's order.
    :param primary_key: what identifies a row at the destination.
    :param cursor: empty: the table is read whole; more than one: the first that is not NULL.
    :param order_key: a key that the database keeps unique, which tells apart rows of one cursor; None: it keeps none.
    """

    table: TableInfo
    options: TableConfig
    columns: tuple[str, ...]
    primary_key: tuple[str, ...]
    cursor: tuple[str, ...]
    order_key: KeyInfo | None
    deleted_column: str | None = None
    column_types: dict[str, str] = field(default_factory=dict)
    """How columns land that the configuration names a type for."""
    own_options: frozenset[str] = frozenset()
    """Options that were set for this very table."""
    limits: tuple[str | None, str | None] | None = None
    """The range of a run, as it was written: the cursors from the first on and below the second; None: no range."""
    part: RowRange | None = None
    """The rows that are read of those that the options select; None: all."""

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def config_path(self) -> str:
        return table_path(self.table.name)

    @property
    def page_rows(self) -> int:
        return self.options.page_rows or 20_480

    @property
    def cursor_format(self) -> str:
        return self.options.cursor_format or "auto"

    @property
    def zone(self) -> str:
        return self.options.cursor_timezone or "UTC"

    @property
    def sweep(self) -> dt.timedelta | None:
        """How often all keys are compared; None: never."""
        deletes = self.options.deletes
        return deletes.sweep if deletes is not None and self.cursor and self.primary_key else None

    @property
    def hidden_mark(self) -> str | None:
        """The column in which our own destinations mark a deleted row, unless rows are looked at by it anyway."""
        mark = next((name for name in self.table.columns if name.lower() == DELETED_AT), None)
        return None if mark == self.deleted_column else mark

    @property
    def state_columns(self) -> tuple[str, ...]:
        """The columns whose values are in a state: where a pass ended, or stopped."""
        key = self.order_key.columns if self.order_key is not None else ()
        return (*self.cursor, *key) if self.cursor else ()

    @property
    def backfill(self) -> bool:
        return self.limits is not None or self.options.end_value is not None

    @property
    def bounds(self) -> tuple[Bound, Bound]:
        """The begin and the end of a backfill: those of the run, else those of the options."""
        if self.limits is not None:
            return Bound(self.limits[0], "--since"), Bound(self.limits[1], "--until")
        initial, end = self.options.initial_value, self.options.end_value
        return Bound(initial, f"{self.config_path}.initial_value"), Bound(end, f"{self.config_path}.end_value")

    def by_column(self, option: str, values: Mapping[str, T]) -> dict[str, T]:
        """Values of an option by the columns' names in the database. Those for all tables apply to the tables that
        have the column.

        :raises ConfigurationError: for a column that this table does not have, if the option is its own.
        """
        return _by_column(self.table, values, f"{self.config_path}.{option}", is_own=option in self.own_options)


def table_path(name: str) -> str:
    """Where the options of a table are in the source's options, as TOML writes it: ``tables."two words"``."""
    return f"tables.{toml_key(name)}"


def make_plan(table: TableInfo, config: SqlConfig, own: TableConfig | None) -> TablePlan:
    """Raises ``ConfigurationError`` for options that name what does not exist or contradict each other."""
    options = config.of(own)
    config_path = table_path(table.name)
    primary_key = _primary_key(table, options, config_path)
    cursor = _cursor(table, options, config.cursor_columns, config_path)
    deleted = _deleted_column(table, options, own, config_path)
    plan = TablePlan(
        table=table,
        options=options,
        columns=_columns(table, options, own, {*primary_key, *cursor[:1]}, config_path),
        primary_key=primary_key,
        cursor=cursor,
        order_key=table.keys[0] if table.keys else None,
        deleted_column=deleted,
        column_types=_by_column(
            table,
            Columns.of(options.columns, f"{config_path}.columns").types,
            f"{config_path}.columns",
            is_own=own is not None and own.columns is not None,
        ),
        own_options=frozenset(name for name in options.__struct_fields__ if getattr(own, name, None) is not None),
    )
    _check(plan)
    return plan


def _check(plan: TablePlan) -> None:
    config_path = plan.config_path
    if not plan.cursor and (unused := sorted(plan.own_options & NEED_A_CURSOR)):
        raise ConfigurationError(
            f"{config_path}.{unused[0]}: the table has no cursor; name one with {config_path}.cursor"
        )
    if plan.deleted_column is not None and plan.cursor and not plan.primary_key:
        raise ConfigurationError(
            f"{config_path}.deletes: a deleted row is found by its primary key, and the table has none; "
            f"name one with {config_path}.primary_key"
        )
    deletes = plan.options.deletes
    if "deletes" in plan.own_options and deletes is not None and deletes.sweep is not None and plan.sweep is None:
        why = "no primary key to find rows by" if plan.cursor else "no cursor: it is read whole, which replaces it"
        raise ConfigurationError(f"{config_path}.deletes.sweep: the table has {why}")
    if wrong := [value for value in plan.options.null_cursor_values or () if not fits_64_bits(value)]:
        raise ConfigurationError(
            f"{config_path}.null_cursor_values: {wrong[0]} is beyond the integers of the database, which have 64 bits"
        )
    try:
        ZoneInfo(plan.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"{config_path}.cursor_timezone: there is no time zone {plan.zone!r}") from None


def _primary_key(table: TableInfo, options: TableConfig, config_path: str) -> tuple[str, ...]:
    if options.primary_key is None:
        return table.primary_key
    return _names(table, _listed(options.primary_key), f"{config_path}.primary_key")


def _cursor(table: TableInfo, options: TableConfig, looked_for: Sequence[str], config_path: str) -> tuple[str, ...]:
    configured = options.cursor
    if configured is True:
        raise ConfigurationError(f"{config_path}.cursor: name a column, or say false for none")
    if configured is None:
        alike = (named_like(name, table.columns) for name in looked_for)
        return tuple(next((names for names in alike if len(names) == 1), []))
    return _names(table, _listed(configured) if configured else (), f"{config_path}.cursor")


def _deleted_column(table: TableInfo, options: TableConfig, own: TableConfig | None, config_path: str) -> str | None:
    deletes = options.deletes
    if deletes is None:
        return None
    if deletes.column is None and deletes.sweep is None:
        raise ConfigurationError(
            f'{config_path}.deletes: name the soft-delete column, deletes = {{ column = "deleted_at" }}, or say how '
            'often all keys are compared, deletes = { sweep = "1d" }'
        )
    if deletes.column is None:
        return None
    if own is None or own.deletes is None:  # set for all tables: it holds for those that have the column
        return _meant(table, deletes.column, f"{config_path}.deletes.column")
    return _names(table, (deletes.column,), f"{config_path}.deletes.column")[0]


def _columns(
    table: TableInfo, options: TableConfig, own: TableConfig | None, needed: set[str], config_path: str
) -> tuple[str, ...]:
    chosen = Columns.of(options.columns, f"{config_path}.columns")
    # Columns that a vdk destination added describe the landing of a row and are not part of it. What else begins with
    # their prefix may be somebody's own, so it is not left out in silence: the stream is refused.
    own_columns = [name for name in table.columns if name not in LANDING_COLUMNS or name in needed]
    if chosen.include is None and chosen.exclude is None:
        return tuple(own_columns)
    listed = chosen.include if chosen.include is not None else chosen.exclude or []
    if own is None or own.columns is None:
        path = f"{config_path}.columns"
        names = {column for name in listed if (column := _meant(table, name, path)) is not None}
    else:
        names = set(_names(table, listed, f"{config_path}.columns"))
    if chosen.include is not None:
        return tuple(name for name in own_columns if name in names | needed)
    if lost := sorted(names & needed):
        raise ConfigurationError(f"{config_path}.columns.exclude: {lost} are primary key or cursor, which always land")
    return tuple(name for name in own_columns if name not in names)


def _by_column(table: TableInfo, values: Mapping[str, T], config_path: str, *, is_own: bool) -> dict[str, T]:
    if is_own:
        return dict(zip(_names(table, list(values), config_path), values.values(), strict=True))
    meant = {name: _meant(table, name, config_path) for name in values}
    return {column: values[name] for name, column in meant.items() if column is not None}


def _meant(table: TableInfo, name: str, config_path: str) -> str | None:
    """The column of a table that an option for all tables names; None: the table has none.

    :raises ConfigurationError: if several differ from it in nothing but case.
    """
    alike = named_like(name, table.columns)
    if len(alike) > 1:
        raise ConfigurationError(
            f"{config_path}: {name!r} may be {' or '.join(map(repr, alike))} of {table.kind} {table.name!r}; spell it "
            "as one of them"
        )
    return alike[0] if alike else None


def _names(table: TableInfo, names: Sequence[str], config_path: str) -> tuple[str, ...]:
    what = f"a column of {table.kind} {table.name!r}"
    return tuple(find_name(name, table.columns, config_path=config_path, what=what) for name in names)


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
