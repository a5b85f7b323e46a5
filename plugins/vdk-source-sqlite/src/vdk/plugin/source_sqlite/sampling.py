# SPDX-License-Identifier: Apache-2.0
"""How the columns of a table land: by their declared types and, since SQLite enforces none, by their values."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import BadRecordError
from vdk.plugin.datasource_sql import ONE, SqlSession, TablePlan, TableQuery
from vdk.plugin.datasource_sql.kinds import ANY, ANY_OR_BYTES, MISFIT_ERRORS, SAMPLE_ROWS, Kind, resolve_kind

from .declared_types import kind_of, not_a_time
from .repairs import repaired

log = logging.getLogger(__name__)


def column_kinds(session: SqlSession, query: TableQuery) -> dict[str, Kind]:
    """How each column of the plan lands."""
    plan = query.plan
    columns = [query.column(name) for name in plan.columns]
    statement = query.select(*columns)
    rows = session.all(statement.limit(SAMPLE_ROWS))
    if len(rows) == SAMPLE_ROWS and plan.order_key is not None:  # and the newest, which may look different
        newest = statement.order_by(*(query.column(name).desc() for name in plan.order_key.columns))
        rows += session.all(newest.limit(SAMPLE_ROWS))
    samples = list(zip(*rows, strict=True)) or [()] * len(columns)
    kinds = {
        name: kind_of(plan.table.columns[name], [value for value in sample if value is not None])
        for name, sample in zip(plan.columns, samples, strict=True)
    }
    # Primary-key values must always be serialized the same way, or their rows are not matched again: a key whose kind
    # depends on the current values is text. This sample is a text that is not a time.
    kinds |= {name: kind_of(plan.table.columns[name], ["?"]) for name in plan.primary_key}
    kinds = {name: repaired(plan, name, kind) for name, kind in kinds.items()}
    if plan.options.dynamic_types == "text":
        unsteady = [name for name in plan.primary_key if kinds[name] is ANY or pa.types.is_boolean(kinds[name].arrow)]
        kinds |= dict.fromkeys([*unsteady, *_misfits(session, query, kinds)], ANY_OR_BYTES)
    else:
        _warn_of_texts(plan, kinds, samples)
    return kinds


def _warn_of_texts(plan: TablePlan, kinds: Mapping[str, Kind], samples: Sequence[Sequence[Any]]) -> None:
    """Say which columns land as text because of a few values: nothing is lost, and a query may expect dates."""
    values = dict(zip(plan.columns, samples, strict=True))
    for name, kind in kinds.items():
        declared = plan.table.columns[name]
        if kind is not ANY or name in plan.primary_key or (place := not_a_time(declared, values[name])) is None:
            continue
        keys = [values[key][place] for key in plan.primary_key]
        key = f" at key {keys[0] if len(keys) == 1 else tuple(keys)!r}" if keys else ""
        log.warning(
            "%s: column %r is declared %s and lands as text, since not all values are %s, such as %r%s. Correct them "
            'at the source, or, if it is to be text, write %s.dynamic_types = "text"',
            plan.name, name, declared, "dates" if declared.upper() == "DATE" else "times of one form",
            values[name][place], key, plan.config_path,
        )  # fmt: skip


def _misfits(session: SqlSession, query: TableQuery, kinds: dict[str, Kind]) -> set[str]:
    """Columns that hold a value which does not land as their kind: one pass over the table. Kinds that wait for a
    value are resolved in ``kinds`` by the first one.
    """
    fitting = kinds.copy()
    names = list(fitting)
    statement = query.select(*map(query.column, names))
    for page in session.stream(statement, lambda: 10_000, release=False):
        for name, values in zip(names, zip(*page, strict=True), strict=True):
            resolve_kind(kind_of, query.plan.table.columns, fitting, name, values)
            if name in fitting:
                try:
                    fitting[name].array(values)
                except MISFIT_ERRORS:
                    del fitting[name]
    kinds |= fitting
    return set(kinds) - set(fitting)


def check_keys(session: SqlSession, query: TableQuery, kinds: Mapping[str, Kind]) -> None:
    """Refuse keys that differ in the database and are equal once they land: 1 and "1" in a column without a type."""
    plan = query.plan
    if not any(kinds[name] in (ANY, ANY_OR_BYTES) or kinds[name].read is not None for name in plan.primary_key):
        return
    texts = [query.exact(sa.cast(query.column(name), sa.Text)) for name in plan.primary_key]
    repeated = query.select(*texts, sa.func.count()).group_by(*texts).having(sa.func.count() > ONE)
    if rows := session.all(repeated.limit(1)):
        *key, count = rows[0]
        raise BadRecordError(
            f"{count} rows have keys that are the same as text; name another key with "
            f"{plan.config_path}.primary_key, or read the table whole with {plan.config_path}.cursor = false",
            stream=plan.name,
            column="/".join(plan.primary_key),
            key=key[0] if len(key) == 1 else tuple(key),
        )
