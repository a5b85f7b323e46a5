# SPDX-License-Identifier: Apache-2.0
"""The options of a source that reads tables, and of one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, Duration

NullCursor = Literal["include", "exclude", "fail"]
Order = Literal["auto", "cursor", "key"]
SourceBehind = Literal["warn", "fail"]

CURSOR_COLUMNS = ("updated_time", "updated_at", "modified_at", "last_modified")


@dataclass(frozen=True, slots=True)
class Columns:
    """The option ``columns``, read: which land, and how some of them do."""

    include: list[str] | None = None
    exclude: list[str] | None = None
    types: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, option: Mapping[str, list[str] | str] | None, config_path: str) -> Columns:
        """Raises ``ConfigurationError`` for a list that is neither ``include`` nor ``exclude``, and for both."""
        lists = {name: value for name, value in (option or {}).items() if isinstance(value, list)}
        if unknown := sorted(set(lists) - {"include", "exclude"}):
            raise ConfigurationError(
                f"{config_path}.{unknown[0]}: a list of columns is called include or exclude; how a column lands is a "
                f'text, {unknown[0]} = "binary"'
            )
        if len(lists) > 1:
            raise ConfigurationError(f"{config_path}: write include or exclude, not both")
        types = {name: value for name, value in (option or {}).items() if not isinstance(value, list)}
        return cls(lists.get("include"), lists.get("exclude"), types)


class WhereConfig(DataSourceConfig):
    """A condition that a row has to meet, with its values apart."""

    sql: Annotated[str, Meta(min_length=1, description="a condition in SQL; :name stands for a value")]
    params: Annotated[
        dict[str, str | int | float | bool | None],
        Meta(description="the values by name; they are bound, never pasted"),
    ] = msgspec.field(default_factory=dict)


class DeletesConfig(DataSourceConfig):
    """How deleted rows are noticed. A cursor does not show a row that is gone."""

    column: Annotated[
        str | None,
        Meta(description="a soft-delete column: a row is deleted when it holds something other than NULL, 0 or ''"),
    ] = None
    sweep: Annotated[
        Duration | None,
        Meta(description="this often, read all primary keys, so that the destination deletes the rows that are gone"),
    ] = None


class TableOptions(DataSourceConfig):
    """Options that a table may set for itself, and that may be set for all tables. None: not set here."""

    initial_value: Annotated[
        Any, Meta(description="read rows whose cursor is at or above this, as long as there is no state")
    ] = None
    end_value: Annotated[
        Any,
        Meta(description="backfill: read rows with initial_value <= cursor < end_value, and leave the state alone"),
    ] = None
    lookback: Annotated[
        Duration | None,
        Meta(
            description="re-read this far below the highest cursor, for rows that are committed late: more than the "
            "longest write transaction. Default: 5m for times, nothing for plain numbers"
        ),
    ] = None
    safety_lag: Annotated[
        Duration | None, Meta(description="leave rows younger than this to the next run (times only). Default: 0s")
    ] = None
    cursor_format: Annotated[
        str | None,
        Meta(
            description="what the cursor holds: auto, text, number, epoch_s, epoch_ms, epoch_us, epoch_ns, julian_day, "
            'iso (ISO texts in any mix), or a fixed-width pattern such as "%m-%d-%Y". Default: auto'
        ),
    ] = None
    cursor_timezone: Annotated[
        str | None, Meta(description="the time zone of cursors that name none (an IANA name). Default: UTC")
    ] = None
    null_cursor: Annotated[
        NullCursor | None,
        Meta(description="rows without a cursor: include them in each run, exclude them, or fail. Default: include"),
    ] = None
    null_cursor_values: Annotated[
        list[str | int | float] | None,
        Meta(
            description='values of the cursor that stand for none, such as ["", "0000-00-00"]: rows with them are rows '
            "without a cursor, see null_cursor. No index on the cursor serves then"
        ),
    ] = None
    on_source_behind: Annotated[
        SourceBehind | None,
        Meta(
            description="what to do when the highest cursor is below that of the last run, as after a backup was "
            "restored: warn in each run, or fail. Default: warn, but fail if none of the remembered rows exists, "
            "which shows that it is another database, or if the database says so itself"
        ),
    ] = None
    order: Annotated[
        Order | None,
        Meta(
            description="how the first run pages: by cursor, by key (one pass over the table), or auto: by cursor "
            "where an index leads with it. Default: auto"
        ),
    ] = None
    page_rows: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="rows per page. Default: 20480")] = None
    columns: Annotated[
        Mapping[str, list[str] | str] | None,
        Meta(
            description="which columns land: { include = [names] } (primary key and cursor always come along) or "
            "{ exclude = [names] }. Default: all columns"
        ),
    ] = None
    dynamic_types: Annotated[
        Literal["strict", "text"] | None,
        Meta(
            description="what becomes of a column that holds values of another type than it declares: strict (such "
            "rows are bad records) or text (the column lands as text). Default: strict"
        ),
    ] = None
    deletes: Annotated[
        DeletesConfig | None, Meta(description="how deleted rows are noticed. Default: they are not")
    ] = None


class TableConfig(TableOptions):
    """Options of one table."""

    cursor: Annotated[
        str | list[str] | bool | None,
        Meta(
            description="the column that grows with every change; a list: the first of them that is not NULL; "
            'false or "": none, the table is read whole. Default: looked for by cursor_columns'
        ),
    ] = None
    primary_key: Annotated[
        str | list[str] | None, Meta(description="the columns that identify a row. Default: the declared primary key")
    ] = None
    where: Annotated[WhereConfig | None, Meta(description="read the rows that meet this condition only")] = None


class SqlConfig(TableOptions):
    """Options of a source that reads tables; a database's plugin adds how to connect."""

    cursor_columns: Annotated[
        tuple[str, ...], Meta(description="the cursor of a table is the first of these that it has")
    ] = CURSOR_COLUMNS
    views: Annotated[list[str], Meta(description="views to read as streams too, as globs")] = msgspec.field(
        default_factory=list
    )
    tables: Annotated[Mapping[str, TableConfig], Meta(description="options per table, by its name")] = msgspec.field(
        default_factory=dict
    )
    table_type: ClassVar[type[TableConfig]] = TableConfig
    """The type of the values of ``tables``. A plugin that has options of its own declares them in both classes."""
    column_options: ClassVar[tuple[str, ...]] = ()
    """Those of a plugin's options whose values may be mappings from columns."""

    def of(self, table: TableConfig | None) -> TableConfig:
        """The options in force for a table: its own, else those for all tables."""
        table = table or self.table_type()
        shared = {
            name: getattr(self, name)
            for name in table.__struct_fields__
            if name in self.__struct_fields__ and getattr(table, name) is None and getattr(self, name) is not None
        }
        return msgspec.structs.replace(table, **shared)
