# SPDX-License-Identifier: Apache-2.0
"""How a declared type lands, after https://www.sqlite.org/datatype3.html.

SQLite derives an affinity from any words at all, and enforces nothing. Here a declaration counts
only if it is a type that SQLite's page or another database's SQL knows; anything else
(``INTEGER_OR_TEXT``, ``UUID``, nothing) is ignored, and every value is kept as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vdk.plugin.datasource_sql.kinds import (
    ANY,
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    MISFIT_ERRORS,
    TEXT,
    TIMESTAMP,
    TIMESTAMP_UTC,
    WAITING,
    Kind,
    decimal_kind,
)

# DECIMAL_TEXT and INTERVAL MICROSECOND are what vdk-ingest-arrow declares: as DECIMAL, digits would be gone.
_NUMBER = re.compile(r"(?:NUMERIC|DECIMAL|DECIMAL_TEXT|DEC|NUMBER)(?:\((\d+)(?:,(\d+))?\))?")
_WORDS: dict[str, Kind] = {
    **dict.fromkeys(("INT", "INTEGER", "TINYINT", "SMALLINT", "MEDIUMINT", "BIGINT", "INT2", "INT4", "INT8"), INTEGER),
    **dict.fromkeys(("UNSIGNED BIG INT", "BIG INT", "INTERVAL MICROSECOND"), INTEGER),
    **dict.fromkeys(("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT"), DOUBLE),
    **dict.fromkeys(("TEXT", "CLOB", "CHARACTER", "CHAR", "VARCHAR", "VARYING CHARACTER", "CHARACTER VARYING"), TEXT),
    **dict.fromkeys(("NCHAR", "NATIVE CHARACTER", "NVARCHAR", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT"), TEXT),
    **dict.fromkeys(("BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BINARY", "VARBINARY"), BINARY),
    **dict.fromkeys(("BOOLEAN", "BOOL"), BOOLEAN),
}
_TIMES = ("DATE", "DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITHOUT TIME ZONE")


def kind_of(declared: str, sample: Sequence[Any]) -> Kind:
    """The kind of a column declared so, with these values (none of them None) among others.

    ``WAITING`` where the values decide and there are none: a type chosen now could not hold what comes later.
    """
    words = _words(declared)
    if match := _NUMBER.fullmatch(words):
        return decimal_kind(int(match[1]), int(match[2] or 0)) if match[1] else DOUBLE
    bare = _bare(words)
    if (kind := _WORDS.get(re.sub(r" (UNSIGNED|SIGNED|ZEROFILL)$", "", bare))) is not None:
        return kind
    if bare in _TIMES:
        return _time_kind(bare, sample) if sample else WAITING
    if not sample:
        return WAITING
    return BINARY if all(isinstance(value, bytes) for value in sample) else ANY


def _time_kind(declared: str, sample: Sequence[Any]) -> Kind:
    """SQLite has no times: a column declared as one is judged by its values."""
    # DATE before TIMESTAMP: a timestamp takes dates too. A column that may hold times is not a date for its first few.
    candidates = (
        (DATE, TIMESTAMP, TIMESTAMP_UTC, INTEGER, DOUBLE)
        if declared == "DATE"
        else (TIMESTAMP, TIMESTAMP_UTC, INTEGER, DOUBLE)
    )
    return next((kind for kind in candidates if _takes(kind, sample)), ANY)


def not_a_time(declared: str, sample: Sequence[Any]) -> int | None:
    """The place of the first value that is not a time, or one unlike the others, in a column that is declared as one.

    None: the column is declared as something else, or all values are times.
    """
    bare = _bare(_words(declared))
    kind = DATE if bare == "DATE" else TIMESTAMP
    misfits = (place for place, value in enumerate(sample) if value is not None and not _takes(kind, [value]))
    return next(misfits, None) if bare in _TIMES else None


def _words(declared: str) -> str:
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(declared.upper().split()))


def _bare(words: str) -> str:
    """Without what is in brackets, such as a length."""
    return re.sub(r"\(.*?\)", "", words).strip()


def _takes(kind: Kind, sample: Sequence[Any]) -> bool:
    try:
        kind.array(sample)
    except MISFIT_ERRORS:
        return False
    return True
