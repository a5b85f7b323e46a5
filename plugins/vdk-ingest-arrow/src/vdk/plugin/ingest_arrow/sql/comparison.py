# SPDX-License-Identifier: Apache-2.0
"""Compares rows of a source with a table, in the database and in the types of its columns.

The rows go into a temporary table, as they would land: what is equal there is equal for every query on the table. One
statement then groups both sides, so that duplicates count.
"""

from __future__ import annotations

import uuid
from functools import partial

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import (
    DELETED_AT,
    HASH,
    MOST_HASHES,
    Comparison,
    ComparisonResult,
    ComparisonSpec,
    TableBatch,
    TableSpec,
    quoted,
)

from ..names import STAGED_PREFIX
from ..values import RefusedValueError, find_refused_rows, fit_types
from .database import Database
from .types import Columns

_CLAIMED = "_vdk_claimed"


class _Rollback(Exception):
    """Ends a transaction that is not committed."""


class SqlComparison(Comparison):
    """A comparison with a table of one schema.

    :raises DestinationError: the table does not exist, or lacks a column of the key.
    """

    def __init__(self, database: Database, spec: ComparisonSpec) -> None:
        self._database, self._spec = database, spec
        self._rows = quoted(f"{STAGED_PREFIX}{uuid.uuid4().hex}")
        self._differing = quoted(f"{STAGED_PREFIX}{uuid.uuid4().hex}")
        self._refused = 0
        with database.translate_errors():
            database.transaction(self._create)

    def _create(self) -> None:
        database, spec = self._database, self._spec
        existing = database.columns(spec.table)
        if existing is None:
            raise DestinationError(f"{database.location}: table {spec.table!r} does not exist")
        spelled = {database.fold(name): name for name in existing}
        self._columns: Columns = {
            name: existing[spelled[database.fold(name)]] for name in spec.columns if database.fold(name) in spelled
        }
        self._uncompared = [name for name in spec.columns if name not in self._columns]
        if missing := sorted({*spec.key, *([spec.cursor] if spec.cursor else [])} & {*self._uncompared}):
            raise DestinationError(f"{database.location}: table {spec.table!r} lacks the columns {missing}")
        self._alive = f"{quoted(DELETED_AT)} IS NULL" if DELETED_AT in existing else "1 = 1"
        bigint = database.types.bigint
        columns = [f"{quoted(name)} {type_}" for name, type_ in self._columns.items()]
        columns += [f"{HASH} {bigint}", f"{_CLAIMED} {bigint}"]
        database.execute(f"CREATE TEMPORARY TABLE {self._rows} ({', '.join(columns)})")

    def add(self, rows: pa.Table, *, claimed: bool) -> None:
        if not rows.num_rows:
            return
        try:
            self._insert(rows, claimed=claimed)
        except RefusedValueError as error:
            rows = self._accepted(rows, error)
            self._insert(rows, claimed=claimed)

    def _accepted(self, rows: pa.Table, error: RefusedValueError) -> pa.Table:
        """The rows without those that the database refuses: they cannot have landed."""
        failure = find_refused_rows([TableBatch(TableSpec(self._spec.table, "append"), "rows", rows)], self._try, error)
        if isinstance(failure, RefusedValueError):
            raise failure
        refused = {row.row for row in failure.rows}
        self._refused += len(refused)
        return rows.take(pa.array([row for row in range(rows.num_rows) if row not in refused], pa.int64()))

    def _try(self, part: TableBatch) -> None:
        try:
            self._insert(part.data, claimed=False, keep=False)
        except _Rollback:
            return

    def _insert(self, rows: pa.Table, *, claimed: bool, keep: bool = True) -> None:
        database, types = self._database, self._database.types
        names = [name for name in self._columns if name in rows.schema.names]
        table = fit_types(rows.select([*names, HASH]), self._spec.table)
        with database.translate_errors():
            database.check_values(table)
            with database.incoming([table]) as (incoming,):

                def insert() -> None:
                    incoming.restart()
                    landing = {**self._columns, HASH: types.bigint}
                    selected = [
                        types.exact_cast_sql(incoming.expressions[name], incoming.types[name], landing[name])
                        for name in incoming.types
                    ]
                    listed = ", ".join(map(quoted, [*incoming.types, _CLAIMED]))
                    database.execute(
                        f"INSERT INTO {self._rows} ({listed}) SELECT {', '.join(selected)}, {int(claimed)} "
                        f"FROM {incoming.relation(list(incoming.types))}"
                    )
                    if not keep:
                        raise _Rollback

                database.transaction(insert)

    def result(self, names: int) -> ComparisonResult:
        with self._database.translate_errors():
            return self._database.transaction(partial(self._result, names))

    def _result(self, names: int) -> ComparisonResult:
        execute, spec = self._database.execute, self._spec
        compared = ", ".join(
            f"{self._comparable(quoted(name), type_)} AS c{number}"
            for number, (name, type_) in enumerate(self._columns.items())
        )
        grouped = ", ".join(f"c{number}" for number in range(len(self._columns)))
        execute(f"DROP TABLE IF EXISTS {self._differing}")
        execute(
            f"CREATE TEMPORARY TABLE {self._differing} AS SELECT {grouped}, SUM(s) AS s, SUM(t) AS t, MIN(h) AS h "
            f"FROM (SELECT {compared}, 1 AS s, 0 AS t, {HASH} AS h FROM {self._rows} WHERE {_CLAIMED} = 1 UNION ALL "
            f"SELECT {compared}, 0, 1, NULL FROM {self._database.qualified(spec.table)} WHERE {self._alive}) AS u "
            f"GROUP BY {grouped} HAVING SUM(s) <> SUM(t)"
        )
        ((rows,),) = execute(f"SELECT count(*) FROM {self._rows} WHERE {_CLAIMED} = 1")
        ((fewer, repeated),) = execute(
            "SELECT COALESCE(SUM(CASE WHEN s > t THEN s - t END), 0), "
            f"COALESCE(SUM(CASE WHEN s > 0 AND t > s THEN t - s END), 0) FROM {self._differing}"
        )
        missing, different, named, hashes = self._missing(int(fewer), names)
        repeated = 0 if spec.versions else int(repeated)
        if repeated:
            often = f"SELECT h FROM {self._differing} WHERE s > 0 AND t > s LIMIT {MOST_HASHES}"
            hashes += [int(row[0]) for row in execute(often)]
        extra, named_extra = self._extra(names)
        return ComparisonResult(
            rows=int(rows),
            missing=missing,
            different=different,
            repeated=repeated,
            extra=extra,
            refused=self._refused,
            uncompared=self._uncompared,
            named=named,
            named_extra=named_extra,
            hashes=hashes,
        )

    def _missing(self, fewer: int, names: int) -> tuple[int, int, list[tuple[str, ...]], list[int]]:
        """Claimed rows that the table has too seldom: how many are missing and how many different, keys, hashes."""
        if not fewer:
            return 0, 0, [], []
        shown = self._shown()
        kind = "'missing'"
        if self._spec.key:
            landed = f"SELECT 1 FROM {self._database.qualified(self._spec.table)} AS landed WHERE {self._alive}"
            same = " AND ".join(f"{self._landed(name)} = d.{self._place(name)}" for name in self._spec.key)
            kind = f"CASE WHEN EXISTS ({landed} AND {same}) THEN 'different' ELSE 'missing' END"
            if (cursor := self._spec.cursor) is not None:
                newer = f"{self._landed(cursor)} > d.{self._place(cursor)}"
                kind = f"CASE WHEN EXISTS ({landed} AND {same} AND {newer}) THEN 'newer' ELSE {kind} END"
        rows = self._database.execute(
            f"SELECT {', '.join(shown)}, h, s - t, {kind} FROM {self._differing} AS d WHERE s > t "
            f"ORDER BY {self._order()} LIMIT {MOST_HASHES}"
        )
        rows = [row for row in rows if row[-1] != "newer"]
        different = sum(int(row[-2]) for row in rows if row[-1] == "different")
        listed = sum(int(row[-2]) for row in rows)
        # beyond the limit nothing is looked up, and rows count as missing
        missing = listed - different if len(rows) < MOST_HASHES else fewer - different
        keys = [tuple(map(_text, row[:-3])) for row in rows[:names]]
        return missing, different, keys, [int(row[-3]) for row in rows]

    def _extra(self, names: int) -> tuple[int, list[tuple[str, ...]]]:
        """Rows of the table whose key the source does not have; without a key, rows that it does not have."""
        condition = "t > 0 AND s = 0"
        if self._spec.key:
            same = " AND ".join(f"{self._row(name)} = d.{self._place(name)}" for name in self._spec.key)
            condition += f" AND NOT EXISTS (SELECT 1 FROM {self._rows} AS r WHERE {same})"
        execute = self._database.execute
        ((extra,),) = execute(f"SELECT COALESCE(SUM(t), 0) FROM {self._differing} AS d WHERE {condition}")
        if not extra:
            return 0, []
        rows = execute(
            f"SELECT {', '.join(self._shown())} FROM {self._differing} AS d WHERE {condition} "
            f"ORDER BY {self._order()} LIMIT {names}"
        )
        return int(extra), [tuple(map(_text, row)) for row in rows]

    def _shown(self) -> list[str]:
        """The columns that name a row, as text."""
        text = self._database.types.text
        return [f"CAST(d.{self._place(name)} AS {text})" for name in self._spec.key or self._columns]

    def _order(self) -> str:
        return ", ".join(f"d.{self._place(name)}" for name in self._spec.key or self._columns)

    def _place(self, name: str) -> str:
        return f"c{list(self._columns).index(name)}"

    def _landed(self, name: str) -> str:
        return self._comparable(f"landed.{quoted(name)}", self._columns[name])

    def _row(self, name: str) -> str:
        return self._comparable(f"r.{quoted(name)}", self._columns[name])

    def _comparable(self, expression: str, type_: str) -> str:
        """JSON is compared as text: not every database groups by it."""
        types = self._database.types
        return f"CAST({expression} AS {types.text})" if type_ == types.json else expression

    def close(self) -> None:
        try:
            for table in (self._rows, self._differing):
                self._database.transaction(partial(self._database.execute, f"DROP TABLE IF EXISTS {table}"))
        except Exception:  # temporary tables go with the connection
            return


def _text(value: object) -> str:
    return "NULL" if value is None else str(value)
