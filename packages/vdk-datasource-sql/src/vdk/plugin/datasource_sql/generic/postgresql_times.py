# SPDX-License-Identifier: Apache-2.0
"""Dates and times of PostgreSQL that Python does not hold: infinities, years before 1 or beyond 9999, and ``24:00``.

Drivers raise for them, or make other times of them. Here they arrive as the text that PostgreSQL writes, which no type
of times accepts, so that their row is a bad record.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import sqlalchemy as sa

from ..expressions import Expression

FIRST: Expression = sa.literal_column("'0001-01-01'")
END: Expression = sa.literal_column("'10000-01-01'")
"""Times outside are those that Python does not hold: their rows have no cursor."""
_OIDS = {"date": 1082, "time": 1083, "timestamp": 1114, "timestamptz": 1184}
_BEYOND = re.compile(r"infinity|BC$|^24:|^\d{5}")


def read_beyond_as_text(connection: Any, driver: str) -> None:
    """Have a connection hand out such times as text; others as before."""
    register = {"psycopg": _psycopg, "psycopg2": _psycopg2, "pg8000": _pg8000}.get(driver)
    if register is not None:
        register(connection)


def _psycopg(connection: Any) -> None:
    driver = import_module("psycopg")
    text_format = driver.pq.Format.TEXT

    def loader_of(native_type: Any) -> type[Any]:
        class TextLoader:
            format = text_format

            def __init__(self, oid: int, context: Any = None) -> None:
                self._native = native_type(oid, context)

            def load(self, data: Any) -> Any:
                try:
                    return self._native.load(data)
                except driver.DataError:
                    return bytes(data).decode()

        return TextLoader

    for oid in _OIDS.values():
        native_type = connection.adapters.get_loader(oid, text_format)
        connection.adapters.register_loader(oid, loader_of(native_type))


def _psycopg2(connection: Any) -> None:
    extensions = import_module("psycopg2.extensions")

    natives = {
        "date": extensions.PYDATE,
        "time": extensions.PYTIME,
        "timestamp": extensions.PYDATETIME,
        "timestamptz": extensions.PYDATETIMETZ,
    }

    def typecaster(native: Any) -> Callable[[str | None, Any], Any]:
        return lambda text, cursor: text if _is_beyond(text) else native(text, cursor)

    for name, native in natives.items():
        extensions.register_type(extensions.new_type((_OIDS[name],), f"vdk_{name}", typecaster(native)), connection)


def _pg8000(connection: Any) -> None:
    def adapter(native: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda text: text if _is_beyond(text) else native(text)

    for oid in _OIDS.values():
        connection.register_in_adapter(oid, adapter(connection.pg_types[oid]))


def _is_beyond(text: str | None) -> bool:
    return text is not None and _BEYOND.search(text) is not None
