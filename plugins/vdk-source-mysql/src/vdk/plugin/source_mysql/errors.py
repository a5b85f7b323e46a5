# SPDX-License-Identifier: Apache-2.0
"""What the driver's and the server's errors mean."""

from __future__ import annotations

import pymysql

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
)
from vdk.plugin.datasource_base.parts import one_line

from .connecting import Address

_REFUSED: dict[int, tuple[type[DataSourceError], str]] = {
    1045: (AuthenticationError, "the server refuses the user or password; correct them"),
    1698: (AuthenticationError, "the server refuses the user or password; correct them"),
    1044: (
        AuthenticationError,
        "the user may not use the database; a database administrator can run: GRANT SELECT ON `{database}`.* TO "
        "`{user}`",
    ),
    1049: (ConfigurationError, "the database does not exist; correct its name in url or database"),
    1130: (
        AuthenticationError,
        "the server accepts no connection from this machine; a database administrator can create the user `{user}`@'%'",
    ),
    1820: (AuthenticationError, "the password has expired; set a new one with the mysql client"),
    1862: (AuthenticationError, "the password has expired; set a new one with the mysql client"),
    3118: (AuthenticationError, "the account is locked; a database administrator can unlock it"),
    3159: (ConfigurationError, 'the server accepts encrypted connections only; set ssl_mode = "required"'),
    4151: (AuthenticationError, "the account is locked; a database administrator can unlock it"),
    1142: (ConfigurationError, "a database administrator can grant the user SELECT on the table"),
    1143: (
        ConfigurationError,
        "a database administrator can grant the user SELECT on the column, or leave it out with columns = {{ exclude = "
        "[…] }}",
    ),
    1370: (ConfigurationError, "a database administrator can grant the user EXECUTE on what the view calls"),
    2026: (
        ConfigurationError,
        'no encrypted connection; correct ssl_mode, ssl_ca, ssl_cert and ssl_key, or set ssl_mode = "preferred"',
    ),
}
"""Errors that another attempt would meet again, and what to do about them."""
_PASSING = {
    1040: "too many connections; raise max_connections, or run fewer jobs at a time",
    1203: "too many connections of this user; raise max_user_connections, or run fewer jobs at a time",
    1226: "the user has used up its resources on the server",
    1969: "the statement took too long; raise statement_timeout",
    3024: "the statement took too long; raise statement_timeout",
    **dict.fromkeys((1053, 1205, 1213, 1317, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031), ""),
    **dict.fromkeys((1042, 1043, 1077, 1078, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1189, 1190), ""),
}
"""Connections that were cut, servers that restart, timeouts, locks: worth another attempt."""


def refused(error: Exception, address: Address) -> DataSourceError | None:
    """An error of connecting; None if it is neither the driver's nor one of a library that it needs."""
    if isinstance(error, pymysql.Error):
        number, text = _parts(error)
        is_tls = number == 2026 or (number == 2003 and "ssl" in text.lower())
        if number in (0, 2002, 2003) and not is_tls:
            return ConnectionFailedError(f"{address.identity} is unreachable: {text}")
        return translated(error, address, 2026 if is_tls else None)
    if isinstance(error, (RuntimeError, OSError, ImportError)):  # an authentication method, TLS
        return ConfigurationError(f"{address.identity}: cannot log in: {error}")
    return None


def translated(error: Exception, address: Address, meaning: int | None = None) -> DataSourceError | None:
    """An error of an open connection as one of the contract's; None if it is not the driver's.

    :param meaning: the number that the error should have, if that is another one.
    """
    if not isinstance(error, pymysql.Error):
        return None
    number, text = _parts(error)
    number = meaning or number
    if number in _REFUSED:
        class_, remedy = _REFUSED[number]
        if class_ is AuthenticationError and address.ssl_mode == "disabled":  # the server's error is the same
            remedy += ', or, if the server accepts encrypted connections only, set ssl_mode = "required"'
        named = {name: getattr(address, name).replace("`", "``") for name in ("database", "user")}
        return class_(f"{address.identity}: {remedy.format(**named)}. It says: {text} ({number})")
    if number in _PASSING or isinstance(error, pymysql.InterfaceError):
        remedy = f"{_PASSING[number]}. It says: " if _PASSING.get(number) else ""
        return ConnectionFailedError(f"{address.identity}: {remedy}{text} ({number})")
    return ConfigurationError(f"{address.identity}: {text} ({number})")


def _parts(error: pymysql.Error) -> tuple[int, str]:
    """Number and text; 0: it has none."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    return number, one_line(" ".join(str(part) for part in error.args[1:] or error.args), longest=600)
