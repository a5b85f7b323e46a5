"""Table names as folder names: safe on every file system, and readable back.

A table is a folder of its name. What a file system, a glob or a reader of partitioned folders takes for something
else is written as in a URL (RFC 3986, section 2.1): ``a/b`` is the folder ``a%2Fb``, and ``urllib.parse.unquote`` gives
the name back.
"""

from __future__ import annotations

import re
import unicodedata

from vdk.plugin.datasource_base.contract import DestinationError

LONGEST = 255
"""Bytes in the name of a file: the limit of ext4, XFS, APFS and (in characters) NTFS."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""What Windows keeps for devices, with any suffix (learn.microsoft.com, "Naming Files, Paths, and Namespaces")."""


def folder_name(table: str) -> str:
    """The folder of a table.

    :raises DestinationError: for a name that no folder can have, which is one that is empty, too long or no text.
    """
    if not table or "\0" in table:
        problem = "is empty" if not table else "has a NUL character in it"
        raise DestinationError(f"a table named {table!r} cannot be: the name {problem}")
    try:
        last = len(table) - 1
        name = "".join(
            letter if _is_safe(letter, first=at == 0, last=at == last) else _escaped(letter)
            for at, letter in enumerate(table)
        )
    except UnicodeEncodeError:
        raise DestinationError(f"a table named {table!r} cannot be: the name is no text that UTF-8 can write") from None
    if _DEVICE.fullmatch(name):
        name = _escaped(name[0]) + name[1:]
    if len(name.encode()) > LONGEST:
        raise DestinationError(
            f"table {table!r}: its folder would need a name of {len(name.encode())} bytes, and file systems take "
            f"{LONGEST}: give it a shorter one with destination_table"
        )
    return name


def folded(name: str) -> str:
    """Equal for the folder names that some file system takes for one: it ignores case, or composes accents."""
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
