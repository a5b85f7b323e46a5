"""What SQL targets share: quoting, and the tables that the framework keeps beside the data."""

from __future__ import annotations

from collections.abc import Iterable

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX

STATE_TABLE = "_vdk_datasource_state"
"""One row per partition: its state and the version that commits compare and swap."""
STATE_KEY = ("source_id", "source_identity", "stream", "partition", "destination_table")
STATE_COLUMNS = (*STATE_KEY, "version", "state", "run_id", "updated_at")

STAGING_TABLE = "_vdk_datasource_staging"
"""One row per table of rows that are set aside; see ``_duckdb_staging``."""
STAGED_PREFIX = "_vdk_staged_"


def quoted(name: str) -> str:
    """``name`` as an SQL identifier (ISO 9075, delimited identifier), whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


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


def check_distinct(names: Iterable[str], table: str) -> None:
    """Raises ``DestinationError`` naming two columns that a database takes for one."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(folded(name), name)
        if other != name:
            raise DestinationError(
                f"table {table!r}: the columns {other!r} and {name!r} differ in upper and lower case only, which is "
                "one column to the database: rename one of them with a transform"
            )
