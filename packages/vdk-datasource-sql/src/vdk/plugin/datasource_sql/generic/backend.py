# SPDX-License-Identifier: Apache-2.0
"""A database that is known by its SQLAlchemy dialect alone.

SQLAlchemy connects, describes the tables and writes the statements; the driver's own cursor executes them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError, Secret
from vdk.plugin.datasource_base.parts import relation_name

from ..backend import Backend, highest_and_nulls
from ..cursors import CursorFormat, Opaque, detect_text, native_format
from ..expressions import Expression
from ..kinds import WAITING, Kind
from ..plans.table_info import CursorInfo, TableInfo
from ..session import SqlSession
from ..statements import TableQuery
from .column_types import ANY, UNKNOWN, Reading, kind_of, kind_of_values, reading_of
from .connecting import databases_of, translated
from .drivers import BEGIN, connect_arguments, cursor_of
from .postgresql_times import END, FIRST, read_beyond_as_text
from .reflection import reflect, types_of


@dataclass(frozen=True)
class AnySqlBackend(Backend):
    """One database.

    :param secret_url: SQLAlchemy's URL as text.
    :param tables_named: those that the configuration names.
    :ivar databases: names of the database that no other one has, and the schema that is the default; known with the
        tables, of PostgreSQL.
    :ivar kinds_by_type: how the types land that the tables have, by their SQL; known once the tables are.
    """

    secret_url: Secret
    name: str
    schemas: tuple[str, ...] = ()
    tables_named: tuple[str, ...] = ()
    connect_timeout: float = 30.0
    databases: list[tuple[str, str]] = field(default_factory=list)
    kinds_by_type: dict[str, Kind] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    _engines: list[sa.Engine] = field(default_factory=list, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engines": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def url(self) -> sa.URL:
        return sa.make_url(self.secret_url.reveal())

    @property
    def engine(self) -> sa.Engine:
        """SQLAlchemy's engine without a pool. It learns the server's version with its first connection."""
        if not self._engines:
            url = self.url
            password = None if url.password is None else str(url.password)
            arguments = connect_arguments(url.get_dialect().driver, self.connect_timeout, password)
            self._engines.append(sa.create_engine(url, poolclass=NullPool, connect_args=arguments))
        return self._engines[0]

    def identity(self) -> str:
        return self.name

    @property
    def dialect(self) -> sa.Dialect:
        return self.engine.dialect

    def connect(self) -> Any:
        url = self.url
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise ConfigurationError(f"url: {url.database!r} does not exist; SQLite would create it")
        try:
            pooled = self.engine.raw_connection()
            pooled.detach()
            connection = pooled.dbapi_connection
            if self.dialect.name == "postgresql":
                # type ignored: the driver's own connection
                self.dialect.set_isolation_level(connection, "REPEATABLE READ")  # type: ignore[arg-type]
                # type ignored: PostgreSQL's dialects have it
                self.dialect.set_readonly(connection, True)  # type: ignore[attr-defined]
                read_beyond_as_text(connection, self.dialect.driver)
            return connection
        except Exception as error:
            raise translated(_origin(error), self.name, url, connecting=True) from None  # it may show the password

    def begin(self, connection: Any) -> None:
        statements = BEGIN.get(self.dialect.name, ())
        if statements:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            cursor.close()

    def cursor(self, connection: Any, *, streaming: bool) -> Any:
        return cursor_of(connection, self.dialect.driver, streaming=streaming)

    def translate(self, error: Exception) -> DataSourceError | None:
        origin = _origin(error)
        dbapi = self.dialect.loaded_dbapi
        if isinstance(origin, (dbapi.Error, OSError)):
            return translated(origin, self.name, self.url)
        return translated(origin, self.name, self.url) if isinstance(origin, SQLAlchemyError) else None

    def tables(self, session: SqlSession) -> Sequence[TableInfo]:
        with self.engine.connect() as connection:
            tables = reflect(connection, self.schemas, self.tables_named)
            dialect = connection.dialect
            self.databases[:] = databases_of(connection, self.name)
        for declared, type_ in types_of(tables, dialect):
            self.kinds_by_type[declared] = kind_of(type_, dialect)
            self.readings[declared] = reading_of(type_, dialect)
        return [table.info(dialect, qualified=len(self.schemas) > 1) for table in tables]

    def relations(self, table: TableInfo) -> Collection[str]:
        return [relation_name(name, table.schema or schema, table.table_name) for name, schema in self.databases]

    def kinds(self, session: SqlSession, query: TableQuery) -> dict[str, Kind]:
        kinds = super().kinds(session, query)
        if query.plan.options.dynamic_types == "text":
            return {name: kind if kind.waits else ANY for name, kind in kinds.items()}
        # A key must always land in the same form, so its values do not decide.
        return {name: ANY if kind.waits and name in query.plan.primary_key else kind for name, kind in kinds.items()}

    def kind(self, declared: str, sample: Sequence[Any]) -> Kind:
        if declared != UNKNOWN:
            return self.kinds_by_type[declared]
        return kind_of_values(sample) if sample else WAITING

    def selected(self, column: Expression, declared: str) -> Expression:
        reading = self.readings.get(declared, "as it is")
        if reading == "as text" or (declared == UNKNOWN and self.dialect.name == "postgresql"):
            return sa.cast(column, sa.Text)
        if reading == "as WKB":
            return sa.func.ST_AsWKB(column)
        return sa.cast(column, sa.Double) if reading == "as a double" else column

    def collated(self, column: Expression, collation: str | None) -> Expression:
        # A key that is unique by its bytes is not under NOCASE, which the column may have and the index not.
        return column.collate("BINARY") if self.dialect.name == "sqlite" else column

    def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
        if self.dialect.name == "sqlite":
            return column.collate("BINARY")  # as Python compares
        return self.selected(column, declared) if self.readings.get(declared) == "as a double" else column

    def has_cursor(self, cursor: Expression, declared: str) -> Expression:
        kind = self.kinds_by_type.get(declared)
        if self.dialect.name != "postgresql" or kind is None or not pa.types.is_temporal(kind.arrow):
            return super().has_cursor(cursor, declared)
        return sa.and_(cursor.is_not(None), cursor >= FIRST, cursor < END)

    def cursor_info(self, session: SqlSession, query: TableQuery, known: str | None) -> CursorInfo:
        declared = query.plan.table.columns[query.plan.cursor[0]]
        if self.dialect.name != "sqlite" and declared != UNKNOWN:
            return super().cursor_info(session, query, known)
        highest, nulls = highest_and_nulls(session, query)
        if highest is None:
            return CursorInfo(None, None, nulls)
        return CursorInfo(self._format_of(highest, query) or self.cursor_format(query), highest, nulls)

    def known_format(self, session: SqlSession, query: TableQuery, known: str) -> CursorFormat | None:
        if self.dialect.name != "sqlite" and query.plan.table.columns[query.plan.cursor[0]] != UNKNOWN:
            return super().known_format(session, query, known)
        return self.cursor_info(session, query, known).format

    def cursor_error(self, session: SqlSession, query: TableQuery) -> ConfigurationError:
        if self.dialect.name != "sqlite":
            return super().cursor_error(session, query)
        plan, stored = query.plan, query.stored_cursor
        type_ = sa.func.typeof(stored)
        count = sa.func.count()
        by_type = query.select(type_, count, sa.func.min(stored), sa.func.max(stored)).where(stored.is_not(None))
        rows = session.all(by_type.group_by(type_).order_by(count.desc()))
        listed = ", ".join(
            f"{number} of type {name} (from {low!r:.80} to {high!r:.80})" for name, number, low, high in rows
        )
        return ConfigurationError(
            f"stream {plan.name!r}: the cursor {'/'.join(plan.cursor)!r} has values of several formats: {listed}. Name "
            f"another column with {plan.config_path}.cursor, read the table whole with {plan.config_path}.cursor = "
            f'false, or read the database with the source "sqlite", which has {plan.config_path}.cursor_format for them'
        )

    def _format_of(self, value: Any, query: TableQuery) -> CursorFormat | None:
        """The format of a column that is known by its values only; None: it does not sort as Python sorts."""
        if isinstance(value, str):  # SQLite's times are texts, and it compares texts by their bytes
            text = detect_text(value, query.plan.zone) or Opaque(numeric=False)
            return text if self.dialect.name == "sqlite" else None
        return native_format(pa.array([value]).type, query.plan.cursor_format, query.plan.zone)


def _origin(error: Exception) -> Exception:
    """The driver's error that one of SQLAlchemy's wraps."""
    return error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error
