# SPDX-License-Identifier: Apache-2.0
"""The URL of a PostgreSQL target: as libpq needs it, and as people may see it, without secrets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import Redactor

from ..targets import TargetUrl

EXAMPLE = "postgresql://user:password@host/database"
OPTIONS = ("schema", "lock_timeout")
"""Our options. Every other one is libpq's: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
_SECRET_OPTIONS = ("password", "sslpassword", "passfile")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DEFAULTS = {
    "connect_timeout": "30",
    "fallback_application_name": "vdk-ingest-arrow",
    # A dead peer is noticed within minutes, not hours.
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "keepalives_count": "6",
}


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """The parts of a target.

    :param conninfo: for libpq. It contains the password, so it is not part of the repr.
    :param location: the same without user, password and options: ``postgresql://host:5432/database``.
    :param secrets: texts that must not appear in any message, as libpq may spell them.
    """

    conninfo: str = field(repr=False)
    location: str
    schema: str
    lock_timeout: float
    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def parse(cls, target: str | None) -> PostgresqlUrl:
        """Raises ``ConfigurationError`` for a target without a database. Errors never show the target."""
        url = TargetUrl.parse(target)
        authority, _, database = url.rest.partition("/")
        _check(url, authority)
        credentials, _, hosts = authority.rpartition("@")
        password = credentials.partition(":")[2]
        options = {name: value for name, value in url.options.items() if name not in OPTIONS}
        database = unquote(database) or options.get("dbname", "")
        if not database and "service" not in options:
            raise ConfigurationError(f"the target lacks a database: write it as in {EXAMPLE!r}")
        secrets = [password, unquote(password), *(options.get(name, "") for name in _SECRET_OPTIONS)]
        return cls(
            f"postgresql://{url.rest}?{urlencode({**_DEFAULTS, **options}, quote_via=quote)}",
            f"postgresql://{_hosts(hosts, options)}/{quote(database or options['service'], safe='')}",
            url.schema("public"),
            url.lock_timeout(),
            tuple(filter(None, secrets)),
        )

    def redacted(self, text: str) -> str:
        """``text`` without the secrets."""
        return Redactor(secrets=self.secrets)(text)


def _check(url: TargetUrl, authority: str) -> None:
    """Refuse a URL with unescaped characters: part of the password would be read, and shown, as a host or a port."""
    if _ESCAPE.search(url.rest):
        problem = "a '%' that is not the beginning of a %XX"
    elif authority.count("@") > 1:
        problem = "more than one '@' before its host"
    elif url.rest.count("@") > authority.count("@") or any("@" in name for name in url.options):
        problem = "an '@' after a '/' or '?', where the host has ended"
    else:
        return
    raise ConfigurationError(
        f"the target has {problem}: write the characters %, /, ?, @ and # of a user, password or database as %25, %2F, "
        "%3F, %40 and %23"
    )


def _hosts(hosts: str, options: dict[str, str]) -> str:
    """The server as libpq finds it, always with its port. An empty name is a local socket."""
    named = unquote(hosts) or options.get("host") or options.get("hostaddr") or os.environ.get("PGHOST", "")
    if not named or named.startswith(("/", "@")):
        return f"{quote(named, safe='')}:{_port(options)}"
    listed = named.lower().split(",")
    return ",".join(host if re.search(r":\d+$", host) else f"{host}:{_port(options)}" for host in listed)


def _port(options: dict[str, str]) -> str:
    return options.get("port") or os.environ.get("PGPORT") or "5432"
