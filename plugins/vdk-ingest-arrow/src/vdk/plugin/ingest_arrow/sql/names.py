"""Names in SQL: quoting, what no database takes, and the tables that the framework keeps beside the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX

STATE_TABLE = "_vdk_datasource_state"
"""One row per partition: its state and the version that commits compare and swap."""
STATE_KEY = ("source_id", "source_identity", "stream", "partition", "destination_table")
STATE_COLUMNS = (*STATE_KEY, "version", "state", "run_id", "updated_at")

STAGING_TABLE = "_vdk_datasource_staging"
"""One row per table of rows that are set aside; see ``_staging``."""
STAGED_PREFIX = "_vdk_staged_"


def is_reserved(name: str) -> bool:
    """Whether a column or table is the framework's own."""
    return folded(name).startswith(RESERVED_PREFIX)


def check_name(name: str, what: str) -> None:
    """Raises ``DestinationError`` for a name that no SQL database takes, quoted or not."""
    if name == "" or "\0" in name:
        problem = "is empty" if name == "" else "has a NUL character in it"
        raise DestinationError(f"{what} {name!r} cannot be: the name {problem}")


def folded(name: str) -> str:
    """Equal for the names that DuckDB and SQLite take for one: they fold ASCII letters, and only those."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def check_distinct(names: Iterable[str], table: str, fold: Callable[[str], str] = folded) -> None:
    """Raises ``DestinationError`` naming two columns that the database takes for one."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(fold(name), name)
        if other != name:
            raise DestinationError(
                f"table {table!r}: the columns {other!r} and {name!r} differ in upper and lower case only, which is "
                "one column to the database: rename one of them with a transform"
            )


def check_table(found: Iterable[tuple[str, str]], name: str) -> bool:
    """Whether ``name`` is a table's, of what the database takes for that name: names, and 'table' or 'view' for each.

    :raises DestinationError: where it is a view's, or another table's.
    """
    there = False
    for other, kind in found:
        if kind != "table":
            raise DestinationError(f"{other!r} is a {kind}: rows land in tables, name another destination_table")
        if other != name:
            raise DestinationError(
                f"the tables {name!r} and {other!r} differ in upper and lower case only, which is one table to the "
                "database: name another destination_table for one of them"
            )
        there = True
    return there


def leads(indexes: Iterable[tuple[object, str]], columns: Sequence[str]) -> bool:
    """Whether one of the indexes begins with these columns, in any order.

    :param indexes: the index and a column of it, for each of its columns in their order.
    """
    by_index: dict[object, list[str]] = {}
    for index, column in indexes:
        by_index.setdefault(index, []).append(column)
    return any(set(listed[: len(columns)]) == set(columns) for listed in by_index.values())
