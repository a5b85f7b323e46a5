# SPDX-License-Identifier: Apache-2.0
"""Which database a configuration names, and connections to it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pymysql.connections import Connection as DriverConnection
from pymysql.constants import FIELD_TYPE
from pymysql.constants.SERVER_STATUS import SERVER_STATUS_IN_TRANS
from pymysql.converters import encoders
from pymysql.cursors import SSCursor

from vdk.plugin.datasource_base.contract import ConfigurationError, Secret
from vdk.plugin.datasource_sql.connections import is_silent

SslMode = Literal["disabled", "preferred", "required", "verify_ca", "verify_identity"]
EXAMPLE = "mysql://user:password@host/database"
_SCHEMES = ("mysql", "mariadb")
_INTEGERS = (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR)
_CONVERTERS: dict[Any, Any] = {**encoders, **dict.fromkeys(_INTEGERS, int), FIELD_TYPE.DOUBLE: float}
"""All other values stay text, as the server writes them, or bytes."""
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
"""A server that is gone without a word is noticed after two minutes, where the operating system has the options."""


@dataclass(frozen=True)
class Address:
    """Where a database is, and as whom and how to connect. Picklable."""

    host: str
    port: int
    database: str
    user: str
    password: Secret
    ssl_mode: SslMode = "preferred"
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    connect_timeout: float = 30.0

    @property
    def identity(self) -> str:
        """``mysql://host:port/database``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mysql://{host.lower()}:{self.port}/{quote(self.database, safe='')}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """None: the driver encrypts if the server can. Raises ``ConfigurationError`` for a file that is not usable."""
        if self.ssl_mode in ("disabled", "preferred"):
            return None
        context = _unchecked_context()
        try:
            if self.ssl_mode != "required":  # the authorities of the system, if no other is named
                context = ssl.create_default_context(cafile=self.ssl_ca)
                context.check_hostname = self.ssl_mode == "verify_identity"
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates that MySQL made for itself fail it
            if self.ssl_cert is not None:
                context.load_cert_chain(self.ssl_cert, self.ssl_key)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"ssl_ca, ssl_cert, ssl_key: one of the files cannot be used: {error}") from None
        return context


def _unchecked_context() -> ssl.SSLContext:
    """Encryption, whoever the server is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def address_of(url: str | None, parts: Mapping[str, Any], **options: Any) -> Address:
    """The address that a configuration names. Raises ``ConfigurationError``; its text never shows the URL.

    :param parts: ``host``, ``port``, ``database``, ``user``, ``password``; None: not set.
    """
    given = {name: value for name, value in parts.items() if value is not None}
    if url is not None:
        if both := sorted(set(given) - {"password"}):
            raise ConfigurationError(f"url: it is set together with {', '.join(both)}; write one of the two")
        given = {**_parts_of(url), **given}
    if not given.get("database"):
        raise ConfigurationError(f"url: it does not name a database; write {EXAMPLE!r}, or set host and database")
    if not given.get("user"):
        raise ConfigurationError(f"url: it does not name a user; write {EXAMPLE!r}, or set user")
    if not 0 < (port := given.get("port") or 3306) < 65536:
        raise ConfigurationError(f"port: {port} is not a port; write a number from 1 to 65535, as a rule 3306")
    given["port"], given["password"] = port, Secret(given.get("password", ""))
    return Address(**{"host": "localhost", **given}, **options)


def _parts_of(url: str) -> dict[str, Any]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise ConfigurationError(f"url: it does not begin with mysql:// or mariadb://; write {EXAMPLE!r}")
    authority, _, path = rest.partition("/")
    if authority.count("@") > 1 or "@" in path or "#" in rest:
        raise ConfigurationError(
            f"url: it has an '@', '/' or '#' that is not a separator; in the password write '@' as %40, '/' as %2F and "
            f"'#' as %23: {EXAMPLE!r}"
        )
    try:
        parsed = urlsplit(url)
        host, port = parsed.hostname, parsed.port
    except ValueError:
        raise ConfigurationError(
            f"url: its host or port cannot be read; write {EXAMPLE!r}, with special characters of the password as %XX "
            "(a colon as %3A)"
        ) from None
    if parsed.query:
        raise ConfigurationError(
            "url: what follows the '?' is not supported; set options beside url, such as ssl_mode = \"required\""
        )
    return {
        **({"host": host} if host else {}),
        **({"port": port} if port is not None else {}),
        "database": unquote(parsed.path.removeprefix("/")),
        **({"user": unquote(parsed.username)} if parsed.username else {}),
        **({"password": unquote(parsed.password)} if parsed.password else {}),
    }


class Connection(DriverConnection):
    """A connection whose values are as the server writes them, and that closes without reading what is left."""

    _sock: socket.socket
    server_status: int
    _result: Any

    def __init__(self, address: Address) -> None:
        context = address.ssl_context()
        super().__init__(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.reveal().encode(),  # of a str the driver keeps Latin-1
            database=address.database,
            charset="utf8mb4",
            conv=_CONVERTERS,
            autocommit=True,
            local_infile=False,  # else the server could ask for any file of this machine
            connect_timeout=address.connect_timeout,
            read_timeout=address.connect_timeout,
            ssl=context,
            ssl_disabled=address.ssl_mode == "disabled",
            program_name="vdk-source-mysql",
        )
        # The timeout is for the server's greeting. Statements take as long as they take: see statement_timeout.
        self._read_timeout = None
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                self._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        """The driver would read all of the system's authorities for each connection, and check nothing by them."""
        return sslp if isinstance(sslp, ssl.SSLContext) else _unchecked_context()

    @property
    def is_mariadb(self) -> bool:
        # type ignored: PyMySQL's types lack it
        return "mariadb" in str(self.get_server_info()).lower()  # type: ignore[no-untyped-call]

    def is_idle(self) -> bool:
        """Whether it is open, in no transaction, and has no row left to read."""
        is_read = self._result is None or not self._result.unbuffered_active
        return is_read and self.open and not self.server_status & SERVER_STATUS_IN_TRANS and is_silent(self._sock)

    def close(self) -> None:
        """Idempotent. The driver reads all rows of an open cursor first, which may be a whole table."""
        if self._result is not None:
            self._result.unbuffered_active = False
        if self.open:
            super().close()


class StreamingCursor(SSCursor):
    """A cursor that keeps no rows; if it is closed before the last one, so is its connection."""

    _result: Any

    def close(self) -> None:
        connection: Any = self.connection
        if connection is not None and self._result is not None and self._result.unbuffered_active:
            connection.close()
        super().close()
