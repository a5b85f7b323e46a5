# SPDX-License-Identifier: Apache-2.0
"""Names of tables, columns and folders: which are equal, which are reserved, and which are refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX, StateKey

ALL_PARTITIONS = "*"
"""Stands for every partition of a stream in a ``StateKey`` (see ``Destination.discard``)."""


def covers(key: StateKey, other: StateKey) -> bool:
    """Whether rows staged for ``other`` are among those of ``key``, which may be of every partition."""
    same = (key.source_id, key.stream, key.table) == (other.source_id, other.stream, other.table)
    return same and key.partition in (other.partition, ALL_PARTITIONS)


STATE_TABLE = "_vdk_datasource_state"
"""One row per partition: its state and the version that commits compare and swap."""
STATE_KEY = ("source_id", "source_identity", "stream", "partition", "destination_table")
STATE_COLUMNS = (*STATE_KEY, "version", "state", "run_id", "updated_at")

STAGING_TABLE = "_vdk_datasource_staging"
"""One row per table of staged rows; see ``sql.staging``."""
STAGED_PREFIX = "_vdk_staged_"

OWNER_TABLE = "_vdk_datasource_tables"
"""One row per table and stream that has rows in it; see ``sql.owner_table``."""

PART_COLUMN = "_vdk_datasource_part"
"""Tells the rows of several partitions apart while they are staged in one table; see ``sql.staging``."""

RUN_TABLE = "_vdk_datasource_runs"
"""One row per run and stream; see ``sql.run_table``."""


# In SQL.


def is_reserved(name: str) -> bool:
    """Whether a column or table belongs to the framework."""
    return fold_ascii(name).startswith(RESERVED_PREFIX)


def fold_ascii(name: str) -> str:
    """Equal for names that DuckDB and SQLite treat as one: they fold ASCII letters, and only those."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def check_name(name: str, what: str) -> None:
    """Raises ``DestinationError`` for a name that no SQL database accepts, quoted or not."""
    if name == "" or "\0" in name:
        problem = "is empty" if name == "" else "contains a NUL character"
        raise DestinationError(f"{what} {name!r} is not possible: the name {problem}: choose another one")


def check_distinct(names: Iterable[str], table: str, fold: Callable[[str], str] = fold_ascii) -> None:
    """Raises ``DestinationError`` naming two columns that the database treats as one."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(fold(name), name)
        if other != name:
            raise DestinationError(
                f"table {table!r}: the columns {other!r} and {name!r} differ in upper and lower case only, which is "
                "one column to the database: rename one of them with a transform"
            )


def table_exists(entries: Iterable[tuple[str, str]], name: str) -> bool:
    """Whether ``name`` is a table, by what a catalog lists under that name: (name, 'table' or 'view') pairs.

    :raises DestinationError: where it is a view, or a table whose name differs in case only.
    """
    exists = False
    for other, kind in entries:
        if kind != "table":
            raise DestinationError(f"{other!r} is a {kind}, and rows land in tables: name another destination_table")
        if other != name:
            raise DestinationError(
                f"the tables {name!r} and {other!r} differ in upper and lower case only, which is one table to the "
                "database: name another destination_table for one of them"
            )
        exists = True
    return exists


def has_leading_index(indexes: Iterable[tuple[object, str]], columns: Sequence[str]) -> bool:
    """Whether one of the indexes begins with these columns, in any order.

    :param indexes: (index, column) pairs, for each index in the order of its columns.
    """
    by_index: dict[object, list[str]] = {}
    for index, column in indexes:
        by_index.setdefault(index, []).append(column)
    return any(set(listed[: len(columns)]) == set(columns) for listed in by_index.values())


# As folders. A table is a folder of its name. A character that means something to a file system, a glob or a reader of
# partitioned folders is written as in a URL (RFC 3986, section 2.1): "a/b" is the folder "a%2Fb", and
# urllib.parse.unquote restores the name.

MAX_NAME_BYTES = 255
"""Bytes in the name of a file: the limit of ext4, XFS, APFS and (in characters) NTFS."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""What Windows keeps for devices, with any suffix (learn.microsoft.com, "Naming Files, Paths, and Namespaces")."""


def folder_name(table: str) -> str:
    """The folder of a table.

    :raises DestinationError: for a name that is empty, too long or not encodable, which no folder can have.
    """
    check_name(table, "a table named")
    try:
        last = len(table) - 1
        name = "".join(
            letter if _is_safe(letter, first=index == 0, last=index == last) else _escaped(letter)
            for index, letter in enumerate(table)
        )
    except UnicodeEncodeError:
        raise DestinationError(
            f"a table named {table!r} is not possible: UTF-8 cannot encode the name. Rename it with destination_table"
        ) from None
    if _DEVICE.fullmatch(name):
        name = _escaped(name[0]) + name[1:]
    if len(name.encode()) > MAX_NAME_BYTES:
        raise DestinationError(
            f"table {table!r}: its folder would need a name of {len(name.encode())} bytes, and file systems allow "
            f"{MAX_NAME_BYTES}: give it a shorter one with destination_table"
        )
    return name


def fold_folder_name(name: str) -> str:
    """Equal for folder names that some file system treats as one: it ignores case, or composes accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _is_safe(letter: str, *, first: bool, last: bool) -> bool:
    """Letters, digits and accents of any script; ``_`` and ``.`` where they do not hide the folder from readers."""
    if letter in "_.":
        return not first and not (last and letter == ".")  # Windows drops a dot at the end
    if letter == " ":
        return not first and not last
    return letter == "-" or unicodedata.category(letter)[0] in "LNM"
