"""Which PostgreSQL database a target names, for libpq, and for people without the secrets in it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

from vdk.plugin.datasource_base.contract import ConfigurationError

from ..targets import TargetUrl

EXAMPLE = "postgresql://user:password@host/database"
OPTIONS = ("schema", "lock_timeout")
"""Ours. Every other is libpq's: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
_SECRET = ("password", "sslpassword", "passfile")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DEFAULTS = {
    "connect_timeout": "30",
    "fallback_application_name": "vdk-ingest-arrow",
    # A peer that is gone without a word is noticed within minutes, not hours.
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "keepalives_count": "6",
}


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """A target taken apart.

    :param conninfo: what libpq connects with. Its repr is never shown: the password is in it.
    :param location: the same without user, password and options: ``postgresql://host:5432/database``.
    :param secrets: what must not be seen in any text, as libpq may spell it.
    """

    conninfo: str = field(repr=False)
    location: str
    schema: str
    lock_timeout: float
    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def parse(cls, target: str | None) -> PostgresqlUrl:
        """Raises ``ConfigurationError`` for what names no database. Errors never show the target."""
        url = TargetUrl.parse(target)
        authority, _, database = url.rest.partition("/")
        _check(url, authority)
        credentials, _, hosts = authority.rpartition("@")
        password = credentials.partition(":")[2]
        options = {name: value for name, value in url.options.items() if name not in OPTIONS}
        database = unquote(database) or options.get("dbname", "")
        if not database and "service" not in options:
            raise ConfigurationError(f"the target names no database: write it as in {EXAMPLE!r}")
        secrets = [password, unquote(password), *(options.get(name, "") for name in _SECRET)]
        return cls(
            f"postgresql://{url.rest}?{urlencode({**_DEFAULTS, **options}, quote_via=quote)}",
            f"postgresql://{_hosts(hosts, options)}/{quote(database or options['service'], safe='')}",
            url.schema("public"),
            url.lock_timeout(),
            tuple(sorted({secret for secret in secrets if secret}, key=len, reverse=True)),
        )

    def redacted(self, text: str) -> str:
        """``text`` without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def _check(url: TargetUrl, authority: str) -> None:
    """Refuse what would be taken apart elsewhere than it is meant, and show part of a password as a host or a port."""
    if _ESCAPE.search(url.rest):
        problem = "a '%' in front of its options that begins no %XX"
    elif authority.count("@") > 1:
        problem = "more than one '@' in front of its host"
    elif url.rest.count("@") > authority.count("@") or any("@" in name for name in url.options):
        problem = "an '@' behind a '/' or '?', where a host was over"
    else:
        return
    raise ConfigurationError(
        f"the target has {problem}: write the characters %, /, ?, @ and # of a user, password or database as %25, %2F, "
        "%3F, %40 and %23"
    )


def _hosts(hosts: str, options: dict[str, str]) -> str:
    """The server as libpq finds it; the port is told even where it is the usual one. Nothing: a local socket."""
    named = unquote(hosts) or options.get("host") or options.get("hostaddr") or os.environ.get("PGHOST", "")
    if not named or named.startswith(("/", "@")):
        return f"{quote(named, safe='')}:{_port(options)}"
    first = named.lower().split(",")
    return ",".join(one if re.search(r":\d+$", one) else f"{one}:{_port(options)}" for one in first)


def _port(options: dict[str, str]) -> str:
    return options.get("port") or os.environ.get("PGPORT") or "5432"
