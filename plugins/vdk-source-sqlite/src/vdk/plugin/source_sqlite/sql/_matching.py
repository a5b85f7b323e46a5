"""Whether cursors that were read have the format that all are said to have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vdk.plugin.datasource_base.contract import BadRecordError, ConfigurationError

from ._bulk import Proven
from ._facts import CursorFacts
from ._formats import CursorFormat
from ._kinds import UNFIT
from ._mixed import mixed_formats
from ._query import Query
from ._session import Row, Session


class CursorCheck:
    """Looks at every cursor that is read, since a look at the column beforehand sees them only nearly."""

    def __init__(self, session: Session, query: Query) -> None:
        self._session, self._query = session, query

    def rows(self, found: CursorFormat | None, rows: Sequence[Row]) -> None:
        """Raises ``ConfigurationError`` for a page with cursors of another format."""
        at = self._query.cursor_index
        values = [row[at] for row in rows if row[at] is not None]
        if values and (found is None or not _all_match(found, values)):
            raise self._mixed()

    def proven(self, found: CursorFormat | None, rows: Proven) -> None:
        """Raises ``ConfigurationError`` for a page that was read in bulk, with cursors of another format."""
        if found is None or not _is_all(found, rows.cursors):
            raise self._mixed()

    def nulls(self, facts: CursorFacts) -> None:
        """Raises ``BadRecordError`` for rows without a cursor, where there must be none."""
        query = self._query
        if not facts.nulls or query.plan.options.null_cursor != "fail":
            return
        row = self._session.one(query.rows(query.cursor.is_null()).limit(1))
        raise BadRecordError(
            f'{facts.nulls} rows have no cursor, and {query.plan.place}.null_cursor is "fail"',
            stream=query.plan.name,
            column="/".join(query.plan.cursor),
            key=tuple(row[index] for index in query.key_indexes) or None,
        )

    def _mixed(self) -> ConfigurationError:
        self._session.end()
        self._session.begin()
        return mixed_formats(self._session, self._query)


def _all_match(found: CursorFormat, values: Sequence[Any]) -> bool:
    """``values`` as the driver's cursor returns them, None left out."""
    if found.numeric:
        return all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    if found.pattern is None:
        return all(isinstance(value, str) for value in values)
    try:
        array = pa.array(values)
    except UNFIT:  # types are mixed
        return False
    return _is_all(found, array)


def _is_all(found: CursorFormat, cursors: pa.Array) -> bool:
    """``cursors`` as an array of one type."""
    if found.numeric:
        is_number = pa.types.is_integer(cursors.type) or pa.types.is_floating(cursors.type)
        return is_number and bool(pc.all(pc.is_finite(cursors)).as_py())
    if not pa.types.is_string(cursors.type):
        return False
    if found.pattern is None:
        return True
    return bool(pc.all(pc.match_substring_regex(cursors, f"^(?:{found.pattern})$")).as_py())
