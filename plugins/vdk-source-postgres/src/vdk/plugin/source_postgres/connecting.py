# SPDX-License-Identifier: Apache-2.0
"""Which database a configuration names, and what libpq's and the server's errors mean."""

from __future__ import annotations

import os
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
from vdk.plugin.datasource_base.parts import one_line

APPLICATION = "vdk-source-postgres"
EXAMPLE = "postgresql://user:password@host/database"
_REFUSED: tuple[tuple[str, type[DataSourceError], str], ...] = (
    (
        r"no pg_hba\.conf entry .* no encryption|SSL required|TLS required",
        ConfigurationError,
        "the server may accept encrypted connections only; add sslmode=require to url, as in "
        "'postgresql://user:password@host/database?sslmode=require'",
    ),
    (
        r"password authentication failed|authentication .*failed|no password supplied|role .* does not exist|"
        r"no such user|is not permitted to log in|no pg_hba\.conf entry",
        AuthenticationError,
        "the server refuses the user or password; correct them",
    ),
    (
        r"permission denied for database|is not currently accepting connections",
        AuthenticationError,
        "the user may not connect to this database; a database administrator can run: GRANT CONNECT ON DATABASE {0} "
        "TO {1}",
    ),
    (
        r"database .* does not exist|no such database",
        ConfigurationError,
        "the database does not exist; correct its name in url or database",
    ),
    (
        # Not every error of TLS: "SSL connection has been closed unexpectedly" is a server that restarts.
        r"not support SSL|certificate verify failed|certificate .* does not match|SSL not in use|private key|"
        r"certificate file|revocation list|certificate authorit",
        ConfigurationError,
        "no encrypted connection; correct sslmode, sslrootcert, sslcert and sslkey in url",
    ),
    (
        # A name server that does not answer is another error: "Temporary failure in name resolution".
        r"failed to resolve host .*(?:not known|No address)",
        ConfigurationError,
        "the host does not exist; correct its name in url or host",
    ),
    (
        r"invalid (?:\w+ value|connection option|integer|port)|definition of service|unsupported startup parameter",
        ConfigurationError,
        "the server or libpq rejects an option of url; correct it",
    ),
)
"""What an error of connecting says, its class and its remedy. All others are worth another attempt."""
_PASSING = re.compile(r"08|57P0[1235]|580[03]0|57014|25P0[34]|40001|40P01|53300|55P03")
"""Connections that were cut, servers that restart, standbys that cancel, timeouts, locks."""


def conninfo_of(url: str | None, **parts: Any) -> str:
    """libpq's connection string. Raises ``ConfigurationError``; its text never shows the URL."""
    given = {name: value for name, value in parts.items() if value is not None}
    if url is not None and (both := sorted({"host", "port", "dbname", "user"} & set(given))):
        names = ["database" if name == "dbname" else name for name in both]
        raise ConfigurationError(f"url: it is set together with {', '.join(names)}; write one of the two")
    if url is not None and "://" in url:
        _check_escapes(url.partition("://")[2])
    try:
        known = {**conninfo_to_dict(url or ""), **given}
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            f"url: it is not a URL that libpq accepts; write {EXAMPLE!r}, with special characters as %XX"
        ) from None
    if not known.get("dbname"):
        raise ConfigurationError(f"url: it does not name a database; write {EXAMPLE!r}, or set host and database")
    ports = str(known.get("port", 5432)).split(",")
    if not all(port.isascii() and port.isdigit() and 1 <= int(port) <= 65535 for port in ports if port):
        raise ConfigurationError(
            f"{'port' if url is None else 'url'}: the port is not a number from 1 to 65535; write {EXAMPLE!r}, with "
            "special characters of the password as %XX (a slash as %2F, a colon as %3A)"
        )
    defaults = {"keepalives_idle": "60", "keepalives_interval": "10"}
    # The barrier knows our own readers by the beginning of their name.
    name = "/".join([APPLICATION, *([str(known["application_name"])] if known.get("application_name") else [])])
    return make_conninfo("", **{**defaults, **known, "application_name": name, "client_encoding": "utf8"})


def _check_escapes(rest: str) -> None:
    """Refuse a password with ``@`` or ``/`` as it is: libpq would read a part of it as the host or the database."""
    authority, _, path = rest.partition("/")
    if authority.count("@") > 1 or "@" in path.partition("?")[0]:
        raise ConfigurationError(
            f"url: it has an '@' or a '/' that is not a separator; write an '@' in the password as %40, a '/' as %2F: "
            f"{EXAMPLE!r}"
        )


def identity_of(conninfo: str) -> str:
    """``postgresql://host:port/database``, without I/O. A host that the configuration does not name is libpq's."""
    known = conninfo_to_dict(conninfo)
    service = known.get("service") or os.environ.get("PGSERVICE")
    host = known.get("host") or known.get("hostaddr")
    if host is None and service:  # the file that defines it may be another one on each machine
        return f"postgresql://service={quote(str(service), safe='')}/{quote(str(known['dbname']), safe='')}"
    host = host or os.environ.get("PGHOST") or os.environ.get("PGHOSTADDR") or "localhost"
    hosts = [name if name.startswith(("/", "@")) else name.lower() for name in str(host).split(",")]
    ports = str(known.get("port") or os.environ.get("PGPORT") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    listed = ",".join(sorted(f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=False)))
    return f"postgresql://{listed}/{quote(str(known['dbname']), safe='')}"


def refused(error: psycopg.Error, identity: str, conninfo: str = "") -> DataSourceError:
    """An error of connecting. libpq gives it no SQLSTATE, so its words decide."""
    text = _message(error)
    for pattern, class_, remedy in _REFUSED:
        if re.search(pattern, text, re.IGNORECASE):
            known = conninfo_to_dict(conninfo)
            names = [_quoted(str(known.get(name) or "")) for name in ("dbname", "user")]
            return class_(f"{identity}: {remedy.format(*names)}. It says: {text}")
    return ConnectionFailedError(f"{identity} is unreachable: {text}")


def translated(error: Exception, identity: str, *, standby: bool = False) -> DataSourceError | None:
    """An error of an open connection as one of the contract's; None if it is not the driver's.

    :param standby: whether it is a connection to one. It may end a connection so fast that its reason is lost.
    """
    if not isinstance(error, psycopg.Error):
        return None
    state, text = error.sqlstate or "", _message(error)
    if state == "42501":
        return ConfigurationError(
            f"{identity}: {text}; a database administrator can grant the user of url USAGE on the schema and SELECT "
            "on the table"
        )
    if "conflict with recovery" in text or (standby and "server closed the connection" in text):
        reason = "the standby cancelled the query" if "conflict" in text else "the standby may have cancelled the query"
        return ConnectionFailedError(
            f"{identity}: {reason}, because the primary has changed what it reads; set "
            f"hot_standby_feedback = on at the standby, or raise its max_standby_streaming_delay. It says: {text}"
        )
    if _PASSING.match(state) or (not state and isinstance(error, psycopg.OperationalError)):
        return ConnectionFailedError(f"{identity}: {text}")
    return ConfigurationError(f"{identity}: {text}")


def _quoted(name: str) -> str:
    """A name in SQL."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def _message(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return one_line(re.sub(r"^.*?(?:FATAL|ERROR):\s+", "", text, flags=re.DOTALL), longest=600)
