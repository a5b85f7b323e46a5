# SPDX-License-Identifier: Apache-2.0
"""Which database a configuration names, and what drivers' errors mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Dialect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
)
from vdk.plugin.datasource_base.parts import did_you_mean, one_line

from .config import AnySqlConfig
from .drivers import DIALECTS, PACKAGES, PORTS

EXAMPLE = "mssql+pyodbc://user:password@host/database"
_CREDENTIALS = re.compile(
    r"password|authenticat|access denied for user|login failed|logon denied|invalid username|ORA-01017", re.IGNORECASE
)
_NO_RIGHT = re.compile(r"permission (was )?denied|denied to user|not authorized|ORA-01031|privilege", re.IGNORECASE)
_WRONG = re.compile(
    r"no such|unknown (column|database|table)|does(n't| not) exist|syntax|cannot open database|is not a database|"
    r"unable to open database file|ORA-00942|ORA-12514",
    re.IGNORECASE,
)
_STATE = re.compile(r"[0-9A-Z]{5}")


def url_of(config: AnySqlConfig) -> URL:
    """The URL with everything that the configuration has. Raises ``ConfigurationError``, without the password."""
    names = ("drivername", "host", "port", "database", "user")
    parts = [name for name in names if getattr(config, name) is not None]
    password = None if config.password is None else config.password.reveal()
    if config.url is None:
        if config.drivername is None:
            raise ConfigurationError(
                f"url: it is not set; write url = {EXAMPLE!r}, or drivername, host, database, user and password"
            )
        return URL.create(
            config.drivername,
            username=config.user,
            password=password,
            host=config.host,
            port=config.port,
            database=config.database,
        )
    if parts:
        raise ConfigurationError(f"url: it is set together with {', '.join(parts)}; write one of the two")
    url = _parsed(config.url.reveal())
    return url if password is None else url.set(password=password)


def _parsed(text: str) -> URL:
    authority = text.partition("://")[2].partition("?")[0]
    if authority.count("@") > 1:
        raise ConfigurationError(
            f"url: it contains '@' more than once; write an '@' in the password as %40: {EXAMPLE!r}"
        )
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            f"url: it is not a URL that SQLAlchemy accepts; write {EXAMPLE!r}, with special characters as %XX"
        ) from None


def dialect_of(url: URL) -> type[Dialect]:
    """Raises ``ConfigurationError`` for a dialect or driver that is not installed, and names the package."""
    name, _, driver = url.drivername.partition("+")
    try:
        dialect = url.get_dialect()
    except NoSuchModuleError:
        if name in DIALECTS:
            remedy = f"install it: pip install {DIALECTS[name]}"
        elif name == "postgres":
            remedy = "write postgresql+psycopg://…"
        elif name in PORTS:
            remedy = f"there is no driver {driver!r} for it; see https://docs.sqlalchemy.org/en/20/dialects/"
        else:
            near = did_you_mean(name, [*PORTS, "sqlite", *DIALECTS])
            remedy = f"{near or 'install the package that has it'}; see https://docs.sqlalchemy.org/en/20/dialects/"
        raise ConfigurationError(f"url: SQLAlchemy has no dialect {url.drivername!r}; {remedy}") from None
    try:
        dialect.import_dbapi()
    except ImportError as error:
        module = (error.name or dialect.driver).partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        what = f"install it: pip install {PACKAGES.get(module, module)}" if module else f"it does not load: {error}"
        raise ConfigurationError(f"url: {url.drivername!r} needs the driver {dialect.driver!r}; {what}") from None
    return dialect


_DATABASE = """
SELECT current_schema()::text, (SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()),
    has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
"""
_SYSTEM = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"


def identity_of(url: URL, name: str | None) -> str:
    """``dialect://host:port/database`` without user, password or options, and without I/O."""
    backend = url.get_backend_name()
    if name is not None:
        return f"{backend}://{quote(name, safe='')}"
    if backend == "sqlite":
        return f"sqlite:///{quote(str(Path(url.database or '').resolve()), safe=' +/')}"
    if not url.host:
        raise ConfigurationError(
            "identity: the URL names no host, so its states would be mixed with those of other databases; name the "
            'database: identity = "shop"'
        )
    port = url.port or PORTS.get(backend)
    place = f"{url.host.lower()}:{port}" if port else url.host.lower()
    return f"{backend}://{place}/{quote(url.database or '', safe='')}"


def databases_of(connection: Connection, name: str) -> list[tuple[str, str]]:
    """Names of the database that no other one has, each with the default schema; none, unless it is PostgreSQL's."""
    if connection.dialect.name != "postgresql":
        return []
    schema, oid, may_know = connection.exec_driver_sql(_DATABASE).one()
    system = connection.exec_driver_sql(_SYSTEM).scalar_one() if may_know else None
    return [(each, schema or "") for each in (name, *([f"postgresql:{system}/{oid}"] if system else []))]


def translated(error: Exception, identity: str, url: URL, *, connecting: bool = False) -> DataSourceError:
    """An error of a driver as one of the contract's: by its SQLSTATE if it has one, else by its class and text."""
    text = _message(error)
    if url.password:
        text = text.replace(str(url.password), "***")
    state = _sqlstate(error)
    names = {each.__name__ for each in type(error).__mro__}
    if state[:2] == "28" or (connecting and _CREDENTIALS.search(text)):
        return AuthenticationError(f"{identity} refuses the user or password: {text}")
    if state == "42501" or _NO_RIGHT.search(text):
        return ConfigurationError(f"{identity}: {text}; a database administrator can grant SELECT on the table")
    if state[:2] in ("3D", "42") or _WRONG.search(text):
        return ConfigurationError(f"{identity}: {text}")
    is_passing = state[:2] in ("08", "40", "53", "57", "HY") or state == "55P03"
    if is_passing or connecting or names & {"OperationalError", "InterfaceError", "InternalError", "OSError"}:
        return ConnectionFailedError(f"{identity}{' is unreachable' if connecting else ''}: {text}")
    return ConfigurationError(f"{identity}: {text}")


def _sqlstate(error: Exception) -> str:
    first = error.args[0] if error.args else None
    state = getattr(error, "sqlstate", None) or (first.get("C") if isinstance(first, dict) else first)
    return state if isinstance(state, str) and _STATE.fullmatch(state) else ""


def _message(error: Exception) -> str:
    first: Any = error.args[0] if error.args else None
    return one_line(str(first["M"] if isinstance(first, dict) and "M" in first else error), longest=600)
