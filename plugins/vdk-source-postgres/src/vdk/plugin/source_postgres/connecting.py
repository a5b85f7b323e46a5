# SPDX-License-Identifier: Apache-2.0
"""Which database a configuration names, and what libpq's and the server's errors mean."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
)

APPLICATION = "vdk-source-postgres"
EXAMPLE = "postgresql://user:password@host/database"
_CREDENTIALS = re.compile(r"password authentication failed|no password supplied|authentication failed", re.IGNORECASE)
_NO_RIGHT = re.compile(
    r"permission denied for database|no pg_hba\.conf entry|is not permitted to log in", re.IGNORECASE
)
_NO_DATABASE = re.compile(r'database ".*" does not exist', re.IGNORECASE)
_NO_TLS = re.compile(r"SSL|certificate", re.IGNORECASE)
_PASSING = re.compile(r"08|57P0[123]|57014|25P0[34]|40001|40P01|53300|55P03")
"""Connections that were cut, servers that restart, standbys that cancel, timeouts, locks."""


def conninfo_of(url: str | None, **parts: Any) -> str:
    """libpq's connection string. Raises ``ConfigurationError``; its text never shows the URL."""
    given = {name: value for name, value in parts.items() if value is not None}
    if url is not None and (both := sorted({"host", "port", "dbname", "user"} & set(given))):
        names = ["database" if name == "dbname" else name for name in both]
        raise ConfigurationError(f"url: it is set together with {', '.join(names)}; write one of the two")
    if url is not None and "://" in url and url.count("@") > 1:
        raise ConfigurationError(
            f"url: it contains '@' more than once; write an '@' in the password as %40: {EXAMPLE!r}"
        )
    try:
        known = {**conninfo_to_dict(url or ""), **given}
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            f"url: it is not a URL that libpq accepts; write {EXAMPLE!r}, with special characters as %XX"
        ) from None
    if not known.get("dbname"):
        raise ConfigurationError(f"url: it does not name a database; write {EXAMPLE!r}, or set host and database")
    defaults = {"application_name": APPLICATION, "keepalives_idle": "60", "keepalives_interval": "10"}
    return make_conninfo("", **{**defaults, **known, "client_encoding": "utf8"})


def identity_of(conninfo: str) -> str:
    """``postgresql://host:port/database``, without I/O."""
    known = conninfo_to_dict(conninfo)
    hosts = str(known.get("host") or known.get("hostaddr") or "localhost").lower().split(",")
    ports = str(known.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    listed = ",".join(sorted(f"{host}:{port}" for host, port in zip(hosts, ports, strict=False)))
    return f"postgresql://{listed}/{quote(str(known['dbname']), safe='')}"


def refused(error: psycopg.Error, identity: str) -> DataSourceError:
    """An error of connecting. libpq gives it no SQLSTATE, so its words decide."""
    text = _message(error)
    if _CREDENTIALS.search(text):
        return AuthenticationError(f"{identity} refuses the user or password: {text}")
    if _NO_RIGHT.search(text):
        return AuthenticationError(f"{identity}: the user may not connect to this database: {text}")
    if _NO_DATABASE.search(text):
        return ConfigurationError(
            f"{identity}: the database does not exist; correct its name in url or database: {text}"
        )
    if _NO_TLS.search(text):
        return ConfigurationError(f"{identity}: no encrypted connection: {text}; check sslmode in url")
    return ConnectionFailedError(f"{identity} is unreachable: {text}")


def translated(error: Exception, identity: str) -> DataSourceError | None:
    """An error of an open connection as one of the contract's; None if it is not the driver's."""
    if not isinstance(error, psycopg.Error):
        return None
    state, text = error.sqlstate or "", _message(error)
    if state == "42501":
        return ConfigurationError(f"{identity}: {text}; a database administrator can run: GRANT SELECT ON TABLE … TO …")
    if _PASSING.match(state) or (not state and isinstance(error, psycopg.OperationalError)):
        return ConnectionFailedError(f"{identity}: {text}")
    return ConfigurationError(f"{identity}: {text}")


def _message(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    text = " ".join(re.sub(r"^.*?(?:FATAL|ERROR):\s+", "", text, flags=re.DOTALL).split())
    return text if len(text) <= 600 else f"{text[:600]}…"
